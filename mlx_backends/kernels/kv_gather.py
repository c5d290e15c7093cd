"""Copying rows of K and V out of their pools into contiguous arrays."""

import mlx.core as mx

from mlx_backends.errors import ConfigError
from mlx_backends.kernels.kernel import Kernel, constants, element_constants
from mlx_backends.kernels.pool import (
    CHUNK,
    Pool,
    pool_arrays,
    pool_constants,
    words_of,
)

_THREADS = 256
_UNITS_A_THREAD = 4


def kv_gather(
    k_pool: Pool,
    v_pool: Pool,
    block_ids: mx.array,
    bounds: tuple[int, int],
    *,
    length: int,
    num_kv_heads: int,
    head_dim: int,
    block_size: int,
    dtype: mx.Dtype,
    order: mx.array,
) -> tuple[mx.array, mx.array]:
    """Copy the rows of one sequence, dequantized, in the order of their positions.

    Args:
        k_pool: ``(num_kv_heads, num_slots, head_dim)``, its 32-bit words, or a ``QuantizedPool``;
            whole or as a ``window``.
        v_pool: Likewise.
        block_ids: ``(blocks,)`` int32, the blocks of the sequence from position 0 on.
        bounds: First position to copy, and the end of what the pools hold.
        length: Rows of the result; those past the end are zeros.
        num_kv_heads: KV heads of the layer.
        head_dim: Elements a row.
        block_size: Slots a block.
        dtype: Type of the result and of a pool of floats.
        order: Order token of the last write to these pools.

    Returns:
        Keys and values, each ``(1, num_kv_heads, length, head_dim)``.

    Raises:
        ConfigError: The arrays do not fit together.
    """
    if block_ids.dtype != mx.int32 or block_ids.ndim != 1:
        raise ConfigError(f"block_ids is {block_ids.shape} {block_ids.dtype}; it is (n,) int32.")
    if isinstance(k_pool, mx.array) and isinstance(v_pool, mx.array):
        k_pool, v_pool = words_of(k_pool), words_of(v_pool)
        stored = {"HEAD_DIM": head_dim, "K_BITS": 0, "V_BITS": 0, "GROUP": 0}
        width, item, units_a_row = head_dim * dtype.size // 4, mx.uint32, head_dim * dtype.size // 4
    else:
        stored = pool_constants(k_pool, v_pool, dtype, head_dim)
        width, item, units_a_row = head_dim, dtype, head_dim // CHUNK
    arrays = pool_arrays("k", k_pool) | pool_arrays("v", v_pool)
    kernel = Kernel(
        name="kv_gather",
        inputs=(*arrays, "block_ids", "bounds", "order"),
        outputs=("keys", "values"),
        constants=constants(
            element_constants(dtype),
            stored,
            BLOCK_SIZE=block_size,
            THREADS=_THREADS,
            UNITS_A_THREAD=_UNITS_A_THREAD,
        ),
        functions=("chunk.h", "pool.h"),
    )
    outputs = kernel.launch(
        [*arrays.values(), block_ids, mx.array([*bounds, length], dtype=mx.int32), order],
        groups=(-(-length * units_a_row // (_THREADS * _UNITS_A_THREAD)), num_kv_heads, 1),
        group_size=_THREADS,
        output_shapes=[(1, num_kv_heads, length, width)] * 2,
        output_dtypes=[item] * 2,
    )
    return outputs[0].view(dtype), outputs[1].view(dtype)
