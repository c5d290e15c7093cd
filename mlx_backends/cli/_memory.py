"""``doctor --memory``: what a model takes, and where it fits, as plain values."""

import time
from typing import Any

import mlx.core as mx

from mlx_backends.cli._chips import CHIPS, likely_speed, smallest_that_fits
from mlx_backends.cli._diagnosis import total_memory_bytes
from mlx_backends.config import EngineConfig
from mlx_backends.engine.footprint import Footprint, predict
from mlx_backends.models.loader import pick_device, use_device
from mlx_backends.models.paging import NotPageableError

PROMPT_TOKENS, NEW_TOKENS = 2_048, 512
_COPY_BYTES = 256 << 20
_COPY_ROUNDS = 5


def memory_of(model: str) -> dict[str, dict[str, Any]]:
    """Sections of findings about one model's memory.

    Raises:
        ModelError: The model cannot be read.
        MemoryLimitError: It does not fit the memory limit.
    """
    window = _context_window(model)
    prompt = max(1, min(PROMPT_TOKENS, window - NEW_TOKENS, window * 3 // 4))
    new = min(NEW_TOKENS, window - prompt)
    try:
        found = predict(EngineConfig(model=model), prompt_tokens=prompt, new_tokens=new)
    except NotPageableError as reason:
        return {"memory": {"not planned": f"it keeps mlx-lm's own caches, because {reason}"}}
    return {
        f"memory of {model}, one sequence of {prompt:,} + {new:,} tokens": _parts(found),
        "this machine": _this_machine(found, prompt + new),
        "Apple silicon (16-bit activations, weights as on disk)": _chips(found, prompt + new),
    }


def _context_window(model: str) -> int:
    from mlx_backends.engine.model_files import read_model_files

    return read_model_files(EngineConfig(model=model)).context_window


def _parts(found: Footprint) -> dict[str, Any]:
    return {
        "weights on disk, bytes": found.file_bytes,
        "weights as they run here": found.weight_bytes,
        "KV entries a token": found.kv_bytes_per_token,
        "KV pool": found.pool_bytes,
        "largest step": found.activation_bytes,
        "peak": found.peak_bytes,
        "peak while loading": found.load_peak_bytes,
        "held back between steps, at most": found.buffer_bytes,
    }


def _this_machine(found: Footprint, tokens: int) -> dict[str, Any]:
    memory = total_memory_bytes()
    bandwidth = copy_bandwidth()
    read = found.read_bytes_per_token + tokens * found.kv_bytes_per_token
    return {
        "memory, bytes": memory,
        "fits": None if memory is None else found.peak_bytes + found.buffer_bytes < memory,
        "copy bandwidth, GB/s": round(bandwidth / 1e9, 1),
        "decode at that bandwidth, tokens/s": round(bandwidth / read, 1),
    }


def copy_bandwidth() -> float:
    """Bytes a second that MLX reads and writes when it copies, the best of a few tries."""
    with use_device(pick_device("auto")):
        source = mx.zeros(_COPY_BYTES // 4)
        mx.eval(source)
        best = 0.0
        for _ in range(_COPY_ROUNDS):
            started = time.perf_counter()
            mx.eval(source + 1.0)
            best = max(best, 2 * _COPY_BYTES / (time.perf_counter() - started))
    return best


def _chips(found: Footprint, tokens: int) -> dict[str, str]:
    """For each chip the memory that it takes and the decode speed that its bandwidth allows."""
    # A GPU keeps weights packed, and keys and values in 16 bits: a CPU here doubles the latter.
    is_wide = not mx.is_available(mx.gpu)
    share = found.read_bytes_per_token / found.weight_bytes
    kv = found.kv_bytes_per_token // (2 if is_wide else 1)
    needed = found.file_bytes + kv * tokens + found.activation_bytes // (2 if is_wide else 1)
    read = share * found.file_bytes + kv * tokens
    rows = {}
    for chip in CHIPS:
        size = smallest_that_fits(chip, needed)
        if size is None:
            rows[chip.name] = f"does not fit in {chip.memory_gib[-1]} GB"
            continue
        ceiling = chip.bandwidth * 1e9 / read
        rows[chip.name] = (
            f"{chip.bandwidth} GB/s, fits from {size} GB, at most {ceiling:,.0f} tokens/s, "
            f"likely {likely_speed(ceiling):,.0f}"
        )
    return rows
