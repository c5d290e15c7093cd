"""Memory that is reused: a prompt seen before, and the peak that was predicted before loading."""

import mlx.core as mx

from mlx_backends import Engine, EngineConfig, SamplingParams
from mlx_backends.engine.footprint import predict

PROMPT_TOKENS, NEW_TOKENS = 256, 16


def main(model: str = "bundled") -> tuple[float, int]:
    config = EngineConfig(model=model)
    found = predict(config, prompt_tokens=PROMPT_TOKENS, new_tokens=NEW_TOKENS)
    before = mx.get_active_memory()
    with Engine(config) as engine:
        engine.load()
        mx.reset_peak_memory()
        prompt = [(7 * i) % 900 + 3 for i in range(PROMPT_TOKENS)]
        params = SamplingParams(max_tokens=NEW_TOKENS, ignore_eos=True)
        engine.submit(prompt, params).result()
        peak = mx.get_peak_memory() - before
        again = engine.submit(prompt, params).result()
    assert again.usage is not None  # the last output has it
    cached = again.usage.cached_tokens
    print(f"peak {peak:,} bytes, predicted {found.peak_bytes:,}")
    print(f"of {PROMPT_TOKENS} prompt tokens, {cached} came from the cache the second time")
    return peak / found.peak_bytes, cached


if __name__ == "__main__":
    main()
