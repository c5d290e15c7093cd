"""Writing new rows of K and V into their pools, in place."""

import mlx.core as mx

from mlx_backends.errors import ConfigError
from mlx_backends.kernels.kernel import Kernel, constants, element_constants
from mlx_backends.kernels.pool import CHUNK, Pool, pool_arrays, pool_constants

_THREADS = 128


def kv_append(
    k_pool: Pool, v_pool: Pool, k: mx.array, v: mx.array, slots: mx.array, order: mx.array
) -> mx.array:
    """Write rows of K and V into the pools in place, quantizing them if the pools are quantized.

    MLX does not see the write: pass the returned order token to every later reader and writer of
    these pools, and evaluate it.

    Args:
        k_pool: ``(num_kv_heads, num_slots, head_dim)``; see ``QuantizedPool`` for the other form.
        v_pool: Likewise.
        k: ``(batch, num_kv_heads, length, head_dim)`` or ``(rows, num_kv_heads, head_dim)``, with
            any strides.
        v: Likewise.
        slots: ``(batch, length)`` or ``(rows,)`` int32; a negative slot skips its row. Slots of
            one call are distinct.
        order: Order token of the last write to these pools, ``(1,)`` int32.

    Returns:
        The order token of this write.

    Raises:
        ConfigError: The arrays do not fit together.
    """
    if k.ndim == 3:
        k, v, slots = k[:, :, None], v[:, :, None], slots[:, None]
    if k.shape != v.shape or slots.shape != (k.shape[0], k.shape[2]) or slots.dtype != mx.int32:
        raise ConfigError(
            f"k {k.shape}, v {v.shape} and slots {slots.shape} {slots.dtype} do not fit: k and v "
            "have one shape, and slots has one int32 a row."
        )
    arrays = pool_arrays("k", k_pool) | pool_arrays("v", v_pool)
    batch, num_heads, length, head_dim = k.shape
    lanes = 1 << (head_dim // CHUNK - 1).bit_length()
    kernel = Kernel(
        name="kv_append",
        inputs=(*arrays, "k", "v", "slots", "order"),
        outputs=("next_order",),
        constants=constants(
            element_constants(k.dtype),
            pool_constants(k_pool, v_pool, k.dtype, head_dim),
            LANES=lanes,
            THREADS=_THREADS,
        ),
        in_place=tuple(arrays),
        functions=("chunk.h", "pool.h", "store.h"),
    )
    rows = batch * num_heads * length
    return kernel.launch(
        [*arrays.values(), k, v, slots, order],
        groups=(-(-rows * lanes // _THREADS), 1, 1),
        group_size=_THREADS,
        output_shapes=[(1,)],
        output_dtypes=[mx.int32],
    )[0]
