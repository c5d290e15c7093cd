"""One memory: an array of MLX seen by numpy without a copy, and weights loaded once."""

from typing import Any

import mlx.core as mx
import numpy as np

from mlx_backends import Engine, EngineConfig
from mlx_backends.engine.footprint import predict


def main(model: str = "bundled") -> tuple[bool, float]:
    array: Any = mx.arange(8).astype(mx.float32)  # its stub does not tell of the buffer protocol
    mx.eval(array)
    views = [np.array(array, copy=False), np.from_dlpack(array), np.asarray(memoryview(array))]
    is_shared = len({view.ctypes.data for view in views}) == 1
    print(f"three views of one array, one address: {is_shared}")

    config = EngineConfig(model=model)
    found = predict(config, prompt_tokens=64, new_tokens=16)
    before = mx.get_active_memory()
    with Engine(config) as engine:
        engine.load()
        held = mx.get_active_memory() - before
    expected = found.weight_bytes + found.pool_bytes
    print(f"weights and KV pool: {held:,} bytes held, {expected:,} predicted before loading")
    return is_shared, held / expected


if __name__ == "__main__":
    main()
