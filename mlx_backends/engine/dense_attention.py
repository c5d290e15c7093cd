"""Attention to keys and values that lie in one array: what prefill on a GPU uses."""

import mlx.core as mx


def dense_attention(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    *,
    scale: float,
    positions: mx.array | None = None,
    window: int | None = None,
    soft_cap: float | None = None,
    sinks: mx.array | None = None,
) -> mx.array:
    """Causal attention.

    Shapes: queries (1, Hq, L, D), keys (1, H, S, D), values (1, H, S, Dv) -> (1, Hq, L, Dv).

    Args:
        queries: Of the last L of S tokens, unless ``positions`` says otherwise.
        keys: As many tokens as there are, from the first that any query sees.
        values: Likewise.
        scale: Factor of the scores.
        positions: (L,) int32, index in ``keys`` of each query's own token; keys beyond are unseen.
        window: Most tokens that a query sees, its own included.
        soft_cap: Bound of the scores, ``soft_cap * tanh(score / soft_cap)``.
        sinks: (Hq,) scores that take part in the softmax without a value.
    """
    mask = _mask(queries.shape[2], keys.shape[2], positions, window)
    if soft_cap is not None:
        return _capped_attention(queries, keys, values, scale, mask, soft_cap)
    sinks = None if sinks is None else sinks.astype(queries.dtype)
    return mx.fast.scaled_dot_product_attention(
        queries, keys, values, scale=scale, mask=mask, sinks=sinks
    )


def _mask(
    num_queries: int, num_keys: int, positions: mx.array | None, window: int | None
) -> mx.array | str:
    """``"causal"`` where that says it all, else (L, S) bool."""
    if positions is None and (window is None or num_keys <= window):
        return "causal"
    if positions is None:
        positions = mx.arange(num_keys - num_queries, num_keys)
    own, seen = positions[:, None], mx.arange(num_keys)[None]
    mask = seen <= own
    return mask if window is None else mask & (seen > own - window)


def _capped_attention(
    queries: mx.array,
    keys: mx.array,
    values: mx.array,
    scale: float,
    mask: mx.array | str,
    soft_cap: float,
) -> mx.array:
    """Attention in matrix products, because no fused kernel of MLX caps scores."""
    _, num_heads, length, width = queries.shape
    grouped = queries.reshape(1, keys.shape[1], -1, length, width) * scale
    scores = grouped @ keys[:, :, None].swapaxes(-1, -2)
    scores = soft_cap * mx.tanh(scores / soft_cap)
    if isinstance(mask, str):
        mask = mx.arange(scores.shape[-1]) <= mx.arange(-length, 0)[:, None] + scores.shape[-1]
    weights = mx.softmax(mx.where(mask, scores, -mx.inf), axis=-1, precise=True)
    out = weights @ values[:, :, None]
    return out.reshape(1, num_heads, length, -1)
