"""One pipeline, any device: the device and the type are settings, the code is the same."""

from mlx_backends import Engine, EngineConfig, SamplingParams
from mlx_backends.config import Device
from mlx_backends.models.loader import pick_device


def answer(model: str, device: Device) -> list[int]:
    with Engine(EngineConfig(model=model, device=device, dtype="float32")) as engine:
        prompt = engine.tokenizer.encode_chat([{"role": "user", "content": "Say hello."}])
        params = SamplingParams(temperature=0.0, max_tokens=16)
        result = engine.submit(prompt, params).result()
        print(f"{device} ({pick_device(device)}): {result.text!r}")
        return list(result.token_ids)


def main(model: str = "bundled") -> list[list[int]]:
    return [answer(model, "cpu"), answer(model, "auto")]


if __name__ == "__main__":
    main()
