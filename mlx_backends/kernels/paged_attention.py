"""Attention over a paged KV pool: for up to eight new tokens, or fused with the write of one."""

from dataclasses import dataclass
from functools import cache

import mlx.core as mx

from mlx_backends.errors import ConfigError
from mlx_backends.kernels.kernel import Kernel, constants, element_constants
from mlx_backends.kernels.pool import CHUNK, Pool, pool_arrays, pool_constants
from mlx_backends.kernels.tuning import (
    DEFAULT_SIMDGROUPS,
    Tuning,
    chunk_of_codes,
    default_tuning,
    num_splits,
    rows_per_tile,
)

Outputs = dict[str, tuple[tuple[int, ...], mx.Dtype]]

MAX_QUERIES = 8
_MAX_WINDOW = 1 << 24  # the window travels as a float32


def paged_attention(
    q: mx.array,
    k_pool: Pool,
    v_pool: Pool,
    block_tables: mx.array,
    context_lens: mx.array,
    *,
    block_size: int,
    scale: float,
    order: mx.array,
    window: int | None = None,
    soft_cap: float | None = None,
    sinks: mx.array | None = None,
    return_lse: bool = False,
    num_kv_heads: int | None = None,
    tuning: Tuning | None = None,
) -> mx.array | tuple[mx.array, mx.array]:
    """Attend from the last tokens of each sequence to its context, which is in the pools already.

    Token ``i`` of ``length`` stands at position ``context_len - length + i`` and sees itself and
    what lies before it. Softmax is online (Milakov and Gimelshein 2018, arXiv:1805.02867) with
    float32 accumulation; long contexts are split and joined (Dao et al. 2023, "Flash-Decoding").

    Args:
        q: ``(batch, num_heads, length, head_dim)`` with length up to 8 and any strides.
        k_pool: ``(num_kv_heads, num_slots, head_dim)``, or a ``QuantizedPool``.
        v_pool: Likewise.
        block_tables: ``(batch, width)`` int32: the blocks of each sequence, then anything.
        context_lens: ``(batch,)`` int32: tokens of each sequence, the new ones included.
        block_size: Slots a block.
        scale: Factor of the scores.
        order: Order token of the last write to these pools.
        window: Each token sees so many tokens, itself included.
        soft_cap: Scores become ``soft_cap * tanh(score / soft_cap)`` (Gemma 2).
        sinks: ``(num_heads,)`` scores that take part in the softmax without a value (GPT-OSS).
        return_lse: Also return the log of the softmax's denominator, sinks included.
        num_kv_heads: Of pools that come as a ``window``; None is the pools' own.
        tuning: Layout of the launch; None is chosen.

    Returns:
        ``(batch, num_heads, length, head_dim)`` in q's type, the heads of a token side by side in
        memory; with ``return_lse`` also ``(batch, num_heads, length)`` float32.

    Raises:
        ConfigError: The arrays do not fit together.
    """
    options = _Options(block_size, scale, window, soft_cap, sinks, return_lse, num_kv_heads, tuning)
    outputs = _attend({"q": q}, k_pool, v_pool, block_tables, context_lens, order, options)
    return (outputs[0], outputs[1]) if return_lse else outputs[0]


def paged_decode(
    q: mx.array,
    k: mx.array,
    v: mx.array,
    k_pool: Pool,
    v_pool: Pool,
    block_tables: mx.array,
    context_lens: mx.array,
    *,
    block_size: int,
    scale: float,
    order: mx.array,
    window: int | None = None,
    soft_cap: float | None = None,
    sinks: mx.array | None = None,
    tuning: Tuning | None = None,
) -> tuple[mx.array, mx.array]:
    """Write one new token's K and V into the pools in place and attend over the whole context.

    The same as ``kv_append`` at the slot of position ``context_len - 1``, then ``paged_attention``,
    in one launch, or two where the block tables are wide.

    Args:
        q: ``(batch, num_heads, 1, head_dim)``, any strides.
        k: ``(batch, num_kv_heads, 1, head_dim)``, any strides.
        v: Likewise.
        k_pool: See ``paged_attention``, as are the other arguments; whole or as a ``window``.
        v_pool: Likewise.
        block_tables: Rows of one call end in distinct blocks.
        context_lens: The new token included.
        block_size: Slots a block.
        scale: Factor of the scores.
        order: Order token of the last write to these pools.
        window: Each token sees so many tokens, itself included.
        soft_cap: Scores become ``soft_cap * tanh(score / soft_cap)``.
        sinks: ``(num_heads,)`` scores that take part in the softmax without a value.
        tuning: Layout of the launch; None is chosen.

    Returns:
        The attention's output, like q, and the order token of this write.

    Raises:
        ConfigError: The arrays do not fit together.
    """
    if q.shape[2] != 1 or k.shape != v.shape or k.shape[2] != 1 or k.shape[0] != q.shape[0]:
        raise ConfigError(
            f"paged_decode takes one new token: q is {q.shape}, k {k.shape} and v {v.shape}."
        )
    options = _Options(block_size, scale, window, soft_cap, sinks, False, k.shape[1], tuning)
    new = {"q": q, "k": k, "v": v}
    output, next_order = _attend(new, k_pool, v_pool, block_tables, context_lens, order, options)
    return output, next_order


@dataclass(frozen=True, slots=True)
class _Options:
    block_size: int
    scale: float
    window: int | None
    soft_cap: float | None
    sinks: mx.array | None
    return_lse: bool
    num_kv_heads: int | None
    tuning: Tuning | None


def _attend(
    new: dict[str, mx.array],
    k_pool: Pool,
    v_pool: Pool,
    block_tables: mx.array,
    context_lens: mx.array,
    order: mx.array,
    options: _Options,
) -> list[mx.array]:
    """Attention's outputs, and the next order token if ``new`` has rows of K and V to write."""
    q, appends = new["q"], "k" in new
    pools = pool_arrays("k", k_pool) | pool_arrays("v", v_pool)
    num_kv_heads = options.num_kv_heads or len(pools["k_pool"])
    _check(q, num_kv_heads, block_tables, context_lens, options)
    batch, num_heads, queries, head_dim = q.shape
    stored = pool_constants(k_pool, v_pool, q.dtype, head_dim)

    num_rows = num_heads // num_kv_heads * queries
    is_quantized = stored["GROUP"] > 0
    rows, tuning = _layout(num_rows, queries, head_dim, is_quantized, options.tuning)
    tiles = -(-num_rows // rows)
    max_context = block_tables.shape[1] * options.block_size
    splits = tuning.splits or num_splits(max_context, batch * num_kv_heads * tiles)

    settings = _settings(
        options.scale, options.soft_cap or 0.0, options.window or 0, tuning.step, num_kv_heads
    )
    softmax = {"context_lens": context_lens, "settings": settings}
    if options.sinks is not None:
        softmax["sinks"] = options.sinks
    arrays = {**new, **pools, "block_tables": block_tables, **softmax, "order": order}
    common = constants(
        element_constants(q.dtype),
        HEAD_DIM=head_dim,
        SINKS=options.sinks is not None,
        LOG_SUM_EXP=options.return_lse,
    )
    # A token's heads lie side by side; of one token they do anyway, and nothing need be transposed.
    out_shape = q.shape if queries == 1 else (batch, queries, num_heads, head_dim)
    results = {"out": (out_shape, q.dtype)}
    if options.return_lse:
        results["log_sum_exp"] = (q.shape[:3], mx.float32)
    written = results if splits == 1 else _partials(q.shape, splits)
    if appends:
        written = written | {"next_order": ((1,), mx.int32)}
    kernel = Kernel(
        name="paged_attention",
        inputs=tuple(arrays),
        outputs=tuple(written),
        constants=constants(
            dict(common),
            stored,
            CHUNK=chunk_of_codes(head_dim, tuning.lanes) if is_quantized else CHUNK,
            STEP=tuning.step,
            ROWS=rows,
            LANES=tuning.lanes,
            TOKENS=tuning.tokens,
            SIMDGROUPS=tuning.simdgroups,
            BLOCK_SIZE=options.block_size,
            SPLITS=splits > 1,
            APPENDS=appends,
            CAUSAL=queries > 1,
            SOFT_CAP=options.soft_cap is not None,
        ),
        in_place=tuple(pools) if appends else (),
        scratch=("partial_sums", "partial_states"),
        functions=("chunk.h", "pool.h", "split.h", *(("store.h",) if appends else ())),
    )
    outputs = kernel.launch(
        list(arrays.values()),
        groups=(splits, num_kv_heads * tiles, batch),
        group_size=tuning.simdgroups * 32,
        output_shapes=[shape for shape, _ in written.values()],
        output_dtypes=[dtype for _, dtype in written.values()],
    )
    if splits > 1:
        outputs = _reduce(outputs[:2], softmax, common, results) + outputs[2:]
    if queries > 1:
        outputs[0] = outputs[0].swapaxes(1, 2)
    return outputs


def _layout(
    num_rows: int, queries: int, head_dim: int, is_quantized: bool, tuning: Tuning | None
) -> tuple[int, Tuning]:
    """Query rows a tile, and the layout for them."""
    simdgroups = tuning.simdgroups if tuning else DEFAULT_SIMDGROUPS
    rows = rows_per_tile(num_rows, head_dim, simdgroups, queries=queries)
    return rows, tuning or default_tuning(head_dim, rows, is_quantized=is_quantized)


def _partials(shape: tuple[int, ...], splits: int) -> Outputs:
    *lead, head_dim = shape
    return {
        "partial_sums": ((*lead, splits, head_dim), mx.float32),
        "partial_states": ((*lead, splits, 2), mx.float32),
    }


def _reduce(
    partials: list[mx.array],
    softmax: dict[str, mx.array],
    common: tuple[tuple[str, int], ...],
    results: Outputs,
) -> list[mx.array]:
    """Join the splits of every query row."""
    batch, num_heads, queries, _, head_dim = partials[0].shape
    kernel = Kernel(
        name="paged_reduce",
        inputs=("partial_sums", "partial_states", *softmax),
        outputs=tuple(results),
        constants=common,
        functions=("split.h",),
    )
    return kernel.launch(
        [*partials, *softmax.values()],
        groups=(1, num_heads * queries, batch),
        group_size=-(-head_dim // 32) * 32,
        output_shapes=[shape for shape, _ in results.values()],
        output_dtypes=[dtype for _, dtype in results.values()],
    )


def _check(
    q: mx.array,
    num_kv_heads: int,
    block_tables: mx.array,
    context_lens: mx.array,
    options: _Options,
) -> None:
    batch, num_heads, queries, _ = q.shape
    sinks, window = options.sinks, options.window
    if not 1 <= queries <= MAX_QUERIES:
        raise ConfigError(f"{queries} new tokens a sequence; the kernel takes 1 to {MAX_QUERIES}.")
    if num_heads % num_kv_heads:
        raise ConfigError(f"{num_heads} query heads are no multiple of {num_kv_heads} KV heads.")
    if block_tables.dtype != mx.int32 or block_tables.ndim != 2 or len(block_tables) != batch:
        raise ConfigError(
            f"block_tables is {block_tables.shape} {block_tables.dtype}; it is "
            f"({batch}, width) int32."
        )
    if context_lens.dtype != mx.int32 or context_lens.shape != (batch,):
        raise ConfigError(
            f"context_lens is {context_lens.shape} {context_lens.dtype}; it is ({batch},) int32."
        )
    if sinks is not None and (sinks.shape != (num_heads,) or sinks.dtype != q.dtype):
        raise ConfigError(f"sinks is {sinks.shape} {sinks.dtype}; it is ({num_heads},) {q.dtype}.")
    if window is not None and not 0 < window <= _MAX_WINDOW:
        raise ConfigError(f"window={window}: a window is 1 to {_MAX_WINDOW} tokens.")


@cache
def _settings(scale: float, soft_cap: float, window: int, step: int, num_kv_heads: int) -> mx.array:
    return mx.array([scale, soft_cap, window, step, num_kv_heads], dtype=mx.float32)
