"""How much freed memory MLX may hold back for the next step.

MLX keeps freed buffers in a pool and takes from it what fits. What one step frees the next one asks
for again, so the pool pays up to the size of the largest step; what it holds beyond that is memory
that nobody else can use. Its own default fits neither end: 32 MiB on a CPU, less than a chunk of a
prompt needs, and on Metal nearly all of the machine's memory.
"""

import mlx.core as mx

from mlx_backends.engine.memory_plan import MemoryPlan

MIN_BYTES = 64 << 20
MAX_BYTES = 2 << 30

_largest = 0  # the limit is one of the process, and several engines share it


def limit_buffers(plan: MemoryPlan) -> int:
    """Let MLX hold back what the largest step of this engine, or of one before, can use again.

    Returns:
        The limit in bytes.
    """
    global _largest
    _largest = max(_largest, bytes_to_hold(plan))
    mx.set_cache_limit(_largest)
    return _largest


def bytes_to_hold(plan: MemoryPlan) -> int:
    """The largest step's activations and logits, within bounds."""
    return min(max(plan.activation_bytes + plan.logits_bytes, MIN_BYTES), MAX_BYTES)
