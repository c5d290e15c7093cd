"""Attention over the paged pool for a CPU: ordinary operations on views of the pool.

Runs of consecutive blocks are read in place. The heads that share a key head are one product. New
tokens are taken in tiles, each over the keys that it can see, so that nothing above the diagonal is
computed. The slow, readable twin is ``kernels.reference``.
"""

import functools
import itertools
import operator

import mlx.core as mx

from mlx_backends.kernels.host_context import Contexts, PaddedContexts
from mlx_backends.kernels.host_exp import exp_of_difference
from mlx_backends.kernels.pool import Pool

# Scores of a tile stay in the caches of the CPU; measured against 32, 128, 256 and 512.
_TILE_TOKENS = 64
# Up to here rows are copied side by side for one product, which saves operations a row.
_MAX_PADDED_TOKENS = 512
# From here on a faster exponential pays, in six operations for one.
_MIN_SCORES_OF_FAST_EXP = 8_192


def attend(
    q: mx.array,
    k_pool: Pool,
    v_pool: Pool,
    contexts: Contexts,
    *,
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
        contexts: Where the tokens of each row are, the new ones included.
        scale: Factor of the scores.
        window: Most tokens that a query sees, its own included.
        soft_cap: Bound of the scores, ``soft_cap * tanh(score / soft_cap)``.
        sinks: A score a head that takes its share of the weight and adds nothing (Xiao et al. 2023,
            arXiv:2309.17453, as gpt-oss learns it).
    """
    lengths = contexts.lengths
    are_short = max(lengths) <= min(_MAX_PADDED_TOKENS, window or _MAX_PADDED_TOKENS)
    if len(lengths) > 1 and q.shape[2] == 1 and are_short:
        padded = contexts.padded
        return _attend_padded(q * scale, k_pool, v_pool, padded, soft_cap, sinks).astype(q.dtype)
    rows = []
    for row, num_tokens in enumerate(lengths):
        context = contexts.of_row(row, _first_visible(num_tokens - q.shape[2], window))
        keys, values = context.rows(k_pool), context.rows(v_pool)
        queries = (q.squeeze(0) if len(lengths) == 1 else q[row]) * scale
        rows.append(_attend_row(queries, keys, values, window, soft_cap, sinks))
    out = rows[0][None] if len(rows) == 1 else mx.stack(rows)
    return out.astype(q.dtype)


def _first_visible(position: int, window: int | None) -> int:
    """The first token that the query at a position sees."""
    return 0 if window is None else max(0, position - window + 1)


def _attend_padded(
    queries: mx.array,
    k_pool: Pool,
    v_pool: Pool,
    contexts: PaddedContexts,
    soft_cap: float | None,
    sinks: mx.array | None,
) -> mx.array:
    """Attention of one new token of each row, as if rows were heads. Shapes: as in ``attend``."""
    batch, num_heads, length, width = queries.shape
    heads = queries.reshape(batch * num_heads, length, width)
    keys, values = contexts.rows(k_pool), contexts.rows(v_pool)
    all_sinks = None if sinks is None else mx.tile(sinks, batch)
    bias = contexts.bias(len(keys) // batch)
    out = _attend_tile(heads, [keys], [values], bias, soft_cap, all_sinks)
    return out.reshape(batch, num_heads, length, -1)


def _attend_row(
    queries: mx.array,
    keys: list[mx.array],
    values: list[mx.array],
    window: int | None,
    soft_cap: float | None,
    sinks: mx.array | None,
) -> mx.array:
    """Attention of one row, a tile of new tokens after the other.

    Shapes: queries (Hq, L, D), keys (Hkv, S, D) and values (Hkv, S, Dv) in pieces -> (Hq, L, Dv);
    the queries are of the last L of S tokens.
    """
    num_queries = queries.shape[1]
    if num_queries == 1:
        return _attend_tile(queries, keys, values, None, soft_cap, sinks)
    all_keys, all_values = _joined(keys), _joined(values)
    num_keys = all_keys.shape[1]
    tiles = []
    for start in range(0, num_queries, _TILE_TOKENS):
        stop = min(start + _TILE_TOKENS, num_queries)
        last = num_keys - num_queries + stop
        first = _first_visible(last - (stop - start), window)
        seen = [all_keys[:, first:last]], [all_values[:, first:last]]
        bias = _causal_bias(stop - start, last - first, window)
        tiles.append(_attend_tile(queries[:, start:stop], *seen, bias, soft_cap, sinks))
    return _joined(tiles)


def _joined(pieces: list[mx.array]) -> mx.array:
    return pieces[0] if len(pieces) == 1 else mx.concatenate(pieces, axis=1)


def _attend_tile(
    queries: mx.array,
    keys: list[mx.array],
    values: list[mx.array],
    bias: mx.array | None,
    soft_cap: float | None,
    sinks: mx.array | None,
) -> mx.array:
    """Softmax attention; shapes as in ``_attend_row``, bias broadcast to (Hkv, Hq / Hkv, L, S)."""
    num_heads, length, width = queries.shape
    num_kv_heads = keys[0].shape[0]
    grouped = queries.reshape(num_kv_heads, -1, width).astype(keys[0].dtype)
    products = [grouped @ piece.swapaxes(1, 2) for piece in keys]
    scores = products[0] if len(products) == 1 else mx.concatenate(products, axis=-1)
    scores = scores.astype(mx.float32)
    if soft_cap is not None:
        scores = soft_cap * mx.tanh(scores / soft_cap)
    if bias is not None:
        shape = scores.shape
        scores = (scores.reshape(num_kv_heads, -1, length, shape[-1]) + bias).reshape(shape)
    if sinks is None and scores.size < _MIN_SCORES_OF_FAST_EXP:
        out = _weighted_sum(mx.softmax(scores, axis=-1), values)
    else:
        out = _mixed(scores, values, None if sinks is None else mx.repeat(sinks, length))
    return out.reshape(num_heads, length, -1)


def _mixed(scores: mx.array, values: list[mx.array], sinks: mx.array | None) -> mx.array:
    """Values weighted by the softmax of the scores, sinks included.

    Shapes: scores (H, N, S), values (H, S, Dv) in pieces, sinks (H * N,) -> (H, N, Dv).
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
    return _weighted_sum(weights, values) / total


def _weighted_sum(weights: mx.array, values: list[mx.array]) -> mx.array:
    """Shapes: weights (H, N, S), values (H, S, Dv) in pieces -> (H, N, Dv)."""
    weights = weights.astype(values[0].dtype)
    if len(values) == 1:
        return weights @ values[0]
    ends = list(itertools.accumulate(piece.shape[1] for piece in values))
    parts = mx.split(weights, ends[:-1], axis=-1)
    products = [part @ piece for part, piece in zip(parts, values, strict=True)]
    return functools.reduce(operator.add, products)


def _causal_bias(length: int, num_keys: int, window: int | None) -> mx.array:
    """Minus infinity where a query does not see a key. Shapes: returns (length, num_keys)."""
    query = mx.arange(num_keys - length, num_keys)[:, None]
    key = mx.arange(num_keys)[None]
    sees = key <= query
    if window is not None:
        sees &= key > query - window
    return mx.where(sees, mx.array(0.0), mx.array(-mx.inf))
