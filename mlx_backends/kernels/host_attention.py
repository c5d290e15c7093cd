"""Attention over the paged pool for a CPU: ordinary operations on views of the pool.

A row whose blocks follow each other reads the pool in place. The heads that share a key head are
one product; new tokens are taken in tiles, each over the keys that it can see, so that nothing
above the diagonal is computed. The slow, readable twin is ``kernels.reference``.
"""

from collections.abc import Sequence as Seq

import mlx.core as mx

from mlx_backends.kernels.host_exp import exp_of_difference

# Scores of a tile stay in the caches of the CPU; measured against 32, 128, 256 and 512.
_TILE_TOKENS = 64


def attend(
    q: mx.array,
    k_pool: mx.array,
    v_pool: mx.array,
    block_ids_per_row: Seq[Seq[int]],
    context_lens: Seq[int],
    *,
    block_size: int,
    scale: float,
    window: int | None = None,
    soft_cap: float | None = None,
    sinks: mx.array | None = None,
) -> mx.array:
    """Causal attention of each row's new tokens to its tokens so far.

    Shapes: q (B, Hq, L, D), k_pool (Hkv, num_slots, D), v_pool (Hkv, num_slots, Dv), sinks (Hq,);
    returns (B, Hq, L, Dv) of q's type.
    Numerics: scores and their sum in float32, products in the pool's type.

    Args:
        q: Queries; a row's are its last L tokens, whose keys and values are in the pool.
        k_pool: Keys of all sequences.
        v_pool: Values of all sequences.
        block_ids_per_row: Blocks of each row, in the order of its tokens.
        context_lens: Tokens of each row, the new ones included.
        block_size: Slots a block.
        scale: Factor of the scores.
        window: Most tokens that a query sees, its own included.
        soft_cap: Bound of the scores, ``soft_cap * tanh(score / soft_cap)``.
        sinks: A score a head that takes its share of the weight and adds nothing (Xiao et al. 2023,
            arXiv:2309.17453, as gpt-oss learns it).
    """
    rows = []
    for row, (block_ids, num_tokens) in enumerate(
        zip(block_ids_per_row, context_lens, strict=True)
    ):
        first = _first_visible(num_tokens - q.shape[2], window)
        slots = (block_ids, block_size, first, num_tokens)
        keys, values = _context(k_pool, *slots), _context(v_pool, *slots)
        rows.append(_attend_row(q[row] * scale, keys, values, window, soft_cap, sinks))
    out = rows[0][None] if len(rows) == 1 else mx.stack(rows)
    return out.astype(q.dtype)


def _first_visible(position: int, window: int | None) -> int:
    """The first token that the query at a position sees."""
    return 0 if window is None else max(0, position - window + 1)


def _context(
    pool: mx.array, block_ids: Seq[int], block_size: int, first: int, stop: int
) -> mx.array:
    """Rows of the tokens ``first`` to ``stop`` of a sequence: a view if their blocks are one run.

    Shapes: pool (H, num_slots, D) -> (H, stop - first, D).
    """
    first_block = first // block_size
    ids = list(block_ids[first_block : -(-stop // block_size)])
    start, length = first - first_block * block_size, stop - first
    if ids == list(range(ids[0], ids[0] + len(ids))):
        start += ids[0] * block_size
        return pool[:, start : start + length]
    return _gathered(pool, ids, block_size)[:, start : start + length]


def _gathered(pool: mx.array, ids: Seq[int], block_size: int) -> mx.array:
    """A copy of blocks side by side. Shapes: (H, num_slots, D) -> (H, len(ids) * block_size, D)."""
    heads, num_slots, width = pool.shape
    # One block of one head is one piece of memory: indices over both copy whole pieces.
    pieces = pool.reshape(heads * (num_slots // block_size), block_size * width)
    offsets = mx.arange(heads)[:, None] * (num_slots // block_size)
    return pieces[offsets + mx.array(ids)].reshape(heads, -1, width)


def _attend_row(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    window: int | None,
    soft_cap: float | None,
    sinks: mx.array | None,
) -> mx.array:
    """Attention of one row, a tile of new tokens after the other.

    Shapes: queries (Hq, L, D), keys (Hkv, S, D), values (Hkv, S, Dv) -> (Hq, L, Dv); the queries
    are of the last L of S tokens.
    """
    num_queries, num_keys = queries.shape[1], keys.shape[1]
    tiles = []
    for start in range(0, num_queries, _TILE_TOKENS):
        stop = min(start + _TILE_TOKENS, num_queries)
        last = num_keys - num_queries + stop
        first = _first_visible(last - (stop - start), window)
        tile = queries[:, start:stop]
        tiles.append(
            _attend_tile(tile, keys[:, first:last], values[:, first:last], window, soft_cap, sinks)
        )
    return tiles[0] if len(tiles) == 1 else mx.concatenate(tiles, axis=1)


def _attend_tile(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    window: int | None,
    soft_cap: float | None,
    sinks: mx.array | None,
) -> mx.array:
    """Softmax attention of the last tokens of a context; shapes as in ``_attend_row``."""
    num_heads, length, width = queries.shape
    num_kv_heads, num_keys, _ = keys.shape
    grouped = queries.reshape(num_kv_heads, -1, width).astype(keys.dtype)
    scores = (grouped @ keys.swapaxes(1, 2)).astype(mx.float32)
    if soft_cap is not None:
        scores = soft_cap * mx.tanh(scores / soft_cap)
    if length > 1:
        shape = (num_heads, length, num_keys)
        scores = (scores.reshape(shape) + _causal_bias(length, num_keys, window)).reshape(
            num_kv_heads, -1, num_keys
        )
    if length == 1 and sinks is None:
        # Few numbers: one operation beats a faster exponential in six.
        out = mx.softmax(scores, axis=-1).astype(values.dtype) @ values
    else:
        out = _mixed(scores, values, None if sinks is None else mx.repeat(sinks, length))
    return out.reshape(num_heads, length, -1)


def _mixed(scores: mx.array, values: mx.array, sinks: mx.array | None) -> mx.array:
    """Values weighted by the softmax of the scores, sinks included.

    Shapes: scores (H, N, S), values (H, S, Dv), sinks (H * N,) -> (H, N, Dv).
    """
    peak = scores.max(axis=-1, keepdims=True)
    if sinks is not None:
        sinks = sinks.astype(mx.float32).reshape(peak.shape)
        peak = mx.maximum(peak, sinks)
    weights = exp_of_difference(scores, peak)
    total = weights.sum(axis=-1, keepdims=True)
    if sinks is not None:
        total = total + mx.exp(sinks - peak)
    # Dividing after the product touches Dv numbers a query rather than one for every key.
    return (weights.astype(values.dtype) @ values) / total


def _causal_bias(length: int, num_keys: int, window: int | None) -> mx.array:
    """0 where a query sees a key, else minus infinity. Shapes: returns (length, num_keys)."""
    query = mx.arange(num_keys - length, num_keys)[:, None]
    key = mx.arange(num_keys)[None]
    sees = key <= query
    if window is not None:
        sees &= key > query - window
    return mx.where(sees, mx.array(0.0), mx.array(-mx.inf))
