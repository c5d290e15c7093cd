"""The engine alone: a prompt in, tokens out as they come."""

from mlx_backends import Engine, EngineConfig, SamplingParams


def main(model: str = "bundled") -> str:
    with Engine(EngineConfig(model=model)) as engine:
        prompt = engine.tokenizer.encode_chat([{"role": "user", "content": "Hello"}])
        handle = engine.submit(prompt, SamplingParams(max_tokens=32))
        text = ""
        for output in engine.stream(handle):
            print(output.text, end="", flush=True)
            text += output.text
            if output.metrics is not None:
                print(f"\n{output.usage}\n{output.metrics}")
    return text


if __name__ == "__main__":
    main()
