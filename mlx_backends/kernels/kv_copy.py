"""Copying blocks of K and V from one place in their pools to another."""

import mlx.core as mx

from mlx_backends.errors import ConfigError
from mlx_backends.kernels.kernel import Kernel, constants, element_constants
from mlx_backends.kernels.pool import Pool, QuantizedPool, pool_arrays, words_of

_THREADS = 256


def kv_copy(
    k_pool: Pool,
    v_pool: Pool,
    sources: mx.array,
    targets: mx.array,
    *,
    num_kv_heads: int,
    block_size: int,
    order: mx.array,
) -> mx.array:
    """Copy blocks in place, as they are stored.

    MLX does not see the write: pass the returned order token to every later reader and writer of
    these pools, and evaluate it.

    Args:
        k_pool: ``(num_kv_heads, num_slots, head_dim)``, its 32-bit words, or a ``QuantizedPool``;
            whole or as a ``words_window``.
        v_pool: Likewise.
        sources: ``(n,)`` int32, block ids.
        targets: ``(n,)`` int32, distinct blocks that are no sources.
        num_kv_heads: KV heads of the layer.
        block_size: Slots a block.
        order: Order token of the last write to these pools.

    Returns:
        The order token of this write.

    Raises:
        ConfigError: The arrays do not fit together.
    """
    if sources.shape != targets.shape or sources.ndim != 1 or sources.dtype != mx.int32:
        raise ConfigError(
            f"sources {sources.shape} {sources.dtype} and targets {targets.shape} "
            f"{targets.dtype} do not fit: each has one int32 a copy."
        )
    pools = {"k": _in_words(k_pool), "v": _in_words(v_pool)}
    arrays = pool_arrays("k", pools["k"]) | pool_arrays("v", pools["v"])
    widths = {name: array.shape[2] for name, array in arrays.items()}
    kernel = Kernel(
        name="kv_copy",
        inputs=(*arrays, "sources", "targets", "order"),
        outputs=("next_order",),
        constants=constants(
            element_constants(mx.float32),  # words have no type of their own
            BLOCK_SIZE=block_size,
            THREADS=_THREADS,
            K_WORDS=widths["k_pool"],
            V_WORDS=widths["v_pool"],
            K_SCALES=widths.get("k_scales", 0),
            V_SCALES=widths.get("v_scales", 0),
        ),
        in_place=tuple(arrays),
    )
    return kernel.launch(
        [*arrays.values(), sources, targets, order],
        groups=(-(-block_size * max(widths.values()) // _THREADS), num_kv_heads, len(sources)),
        group_size=_THREADS,
        output_shapes=[(1,)],
        output_dtypes=[mx.int32],
    )[0]


def _in_words(pool: Pool) -> Pool:
    return pool if isinstance(pool, QuantizedPool) else words_of(pool)
