"""What the kernels compute, in plain MLX, slowly and readably: specification and test oracle.

Pools are returned instead of written in place. Nothing is split, tiled or fused.
"""

import mlx.core as mx
import numpy as np

from mlx_backends.kernels.pool import Pool, QuantizedPool, group_size


def quantize(rows: mx.array, bits: int) -> tuple[mx.array, mx.array]:
    """Codes and scales of rows, as ``QuantizedPool`` keeps them.

    8 bits: ``scale = max(|value|) / 127`` of the row and ``code = round(value / scale) + 128``.
    4 bits, in groups: ``scale = (high - low) / 15``, ``bias = low`` and
    ``code = round((value - bias) / scale)``. Scales and biases are rounded to float16 first, ties
    of codes go to the even one, and codes are clipped to their bits.

    Args:
        rows: ``(..., head_dim)``.
        bits: 8 or 4.

    Returns:
        ``(..., head_dim * bits / 32)`` uint32 and ``(..., scales_per_row)`` float16.
    """
    rows = rows.astype(mx.float32)
    if bits == 8:
        scales = _as_half(mx.abs(rows).max(axis=-1, keepdims=True) / 127)
        return _words(_steps(rows, scales, -127, 127) + 128, bits), scales
    groups = rows.reshape(*rows.shape[:-1], -1, group_size(rows.shape[-1]))
    low, high = groups.min(axis=-1, keepdims=True), groups.max(axis=-1, keepdims=True)
    scale, bias = _as_half((high - low) / 15), _as_half(low)
    codes = _steps(groups - bias.astype(mx.float32), scale, 0, 15)
    scales = mx.concatenate([scale, bias], axis=-1)
    return _words(codes.reshape(rows.shape), bits), scales.reshape(*rows.shape[:-1], -1)


def dequantize(pool: QuantizedPool) -> mx.array:
    """The rows of a quantized pool as float32."""
    shifts = mx.arange(0, 32, pool.bits, dtype=mx.uint32)
    words = (pool.codes[..., None] >> shifts) & (2**pool.bits - 1)
    shape = *pool.codes.shape[:2], pool.head_dim
    codes, scales = words.astype(mx.float32).reshape(shape), pool.scales.astype(mx.float32)
    if pool.bits == 8:
        return (codes - 128) * scales
    scales = scales.reshape(*shape[:2], -1, 2)
    groups = codes.reshape(*scales.shape[:3], -1)
    return (groups * scales[..., :1] + scales[..., 1:]).reshape(shape)


def kv_append(
    k_pool: Pool, v_pool: Pool, k: mx.array, v: mx.array, slots: mx.array
) -> tuple[Pool, Pool]:
    """The pools with the rows written; arguments as in ``kernels.kv_append``."""
    if k.ndim == 3:
        k, v, slots = k[:, :, None], v[:, :, None], slots[:, None]
    kept = mx.array(np.flatnonzero(np.array(slots) >= 0))
    if kept.size == 0:
        return k_pool, v_pool
    where = slots.reshape(-1)[kept]
    new_k, new_v = (
        x.transpose(1, 0, 2, 3).reshape(x.shape[1], -1, x.shape[3])[:, kept] for x in (k, v)
    )
    return _write(k_pool, where, new_k), _write(v_pool, where, new_v)


def kv_copy(
    k_pool: Pool, v_pool: Pool, sources: mx.array, targets: mx.array, *, block_size: int
) -> tuple[Pool, Pool]:
    """The pools with the blocks copied; arguments as in ``kernels.kv_copy``."""
    within = mx.arange(block_size)
    where, to = ((ids[:, None] * block_size + within).reshape(-1) for ids in (sources, targets))

    def copied(rows: mx.array) -> mx.array:
        written = rows + 0
        written[:, to] = rows[:, where]
        return written

    def copied_pool(pool: Pool) -> Pool:
        if not isinstance(pool, QuantizedPool):
            return copied(pool)
        return QuantizedPool(copied(pool.codes), copied(pool.scales), pool.bits)

    return copied_pool(k_pool), copied_pool(v_pool)


def kv_gather(
    k_pool: Pool,
    v_pool: Pool,
    block_ids: mx.array,
    bounds: tuple[int, int],
    *,
    length: int,
    block_size: int,
    dtype: mx.Dtype,
) -> tuple[mx.array, mx.array]:
    """Rows of one sequence, zeros past the end; arguments as in ``kernels.kv_gather``."""
    first, end = bounds
    positions = mx.arange(first, min(end, first + length))
    slots = block_ids[positions // block_size] * block_size + positions % block_size
    padding = [(0, 0), (0, length - len(slots)), (0, 0)]
    keys, values = (
        dequantize(pool) if isinstance(pool, QuantizedPool) else pool for pool in (k_pool, v_pool)
    )
    keys, values = (mx.pad(rows[:, slots].astype(dtype), padding)[None] for rows in (keys, values))
    return keys, values


def paged_attention(
    q: mx.array,
    k_pool: Pool,
    v_pool: Pool,
    block_tables: mx.array,
    context_lens: mx.array,
    *,
    block_size: int,
    scale: float,
    window: int | None = None,
    soft_cap: float | None = None,
    sinks: mx.array | None = None,
) -> tuple[mx.array, mx.array]:
    """Output and log-sum-exp; arguments as in ``kernels.paged_attention``."""
    keys, values = (
        dequantize(pool) if isinstance(pool, QuantizedPool) else pool for pool in (k_pool, v_pool)
    )
    outputs, log_sums = [], []
    for row, context in enumerate(np.array(context_lens)):
        positions = mx.arange(int(context))
        slots = block_tables[row, positions // block_size] * block_size + positions % block_size
        output, log_sum = _attend(
            q[row], keys[:, slots], values[:, slots], scale, window, soft_cap, sinks
        )
        outputs.append(output)
        log_sums.append(log_sum)
    return mx.stack(outputs).astype(q.dtype), mx.stack(log_sums)


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
    window: int | None = None,
    soft_cap: float | None = None,
    sinks: mx.array | None = None,
) -> tuple[mx.array, Pool, Pool]:
    """Output and the pools with the new rows; arguments as in ``kernels.paged_decode``."""
    last = context_lens - 1
    blocks = mx.take_along_axis(block_tables, (last // block_size)[:, None], axis=1)
    slots = blocks * block_size + (last % block_size)[:, None]
    k_pool, v_pool = kv_append(k_pool, v_pool, k, v, slots)
    output, _ = paged_attention(
        q, k_pool, v_pool, block_tables, context_lens, block_size=block_size, scale=scale,
        window=window, soft_cap=soft_cap, sinks=sinks,
    )  # fmt: skip
    return output, k_pool, v_pool


def _attend(
    q: mx.array,
    keys: mx.array,
    values: mx.array,
    scale: float,
    window: int | None,
    soft_cap: float | None,
    sinks: mx.array | None,
) -> tuple[mx.array, mx.array]:
    """Attention of one sequence: q ``(heads, length, dim)``, keys ``(kv_heads, n, dim)``."""
    heads, length, _ = q.shape
    shared = heads // keys.shape[0]
    keys, values = (mx.repeat(x.astype(mx.float32), shared, axis=0) for x in (keys, values))
    scores = (q.astype(mx.float32) * scale) @ keys.transpose(0, 2, 1)
    if soft_cap is not None:
        scores = soft_cap * mx.tanh(scores / soft_cap)
    context = keys.shape[1]
    own = mx.arange(context - length, context)[:, None]
    seen = mx.arange(context)[None, :]
    is_visible = seen <= own
    if window is not None:
        is_visible = is_visible & (seen > own - window)
    scores = mx.where(is_visible, scores, -mx.inf)
    if sinks is not None:
        sink = mx.broadcast_to(sinks.astype(mx.float32)[:, None, None], (heads, length, 1))
        scores = mx.concatenate([scores, sink], axis=-1)
    weights = mx.softmax(scores, axis=-1, precise=True)[..., :context]
    return weights @ values, mx.logsumexp(scores, axis=-1)


def _write(pool: Pool, slots: mx.array, rows: mx.array) -> Pool:
    if not isinstance(pool, QuantizedPool):
        written = pool + 0
        written[:, slots] = rows
        return written
    codes, scales = quantize(rows, pool.bits)
    new_codes, new_scales = pool.codes + 0, pool.scales + 0
    new_codes[:, slots] = codes
    new_scales[:, slots] = scales
    return QuantizedPool(new_codes, new_scales, pool.bits)


def _steps(values: mx.array, scale: mx.array, least: int, most: int) -> mx.array:
    """The nearest whole number of steps of a float16 scale; none where it is zero."""
    inverse = mx.where(scale > 0, 1.0 / scale.astype(mx.float32), 0.0)
    return mx.clip(mx.round(values * inverse), least, most)


def _words(codes: mx.array, bits: int) -> mx.array:
    """Codes in 32-bit words, the first lowest. Shapes: (..., D) -> (..., D * bits / 32)."""
    words = codes.astype(mx.uint32).reshape(*codes.shape[:-1], -1, 32 // bits)
    shifts = mx.arange(0, 32, bits, dtype=mx.uint32)
    return (words << shifts).sum(axis=-1).astype(mx.uint32)


def _as_half(x: mx.array) -> mx.array:
    return mx.clip(x, -65504.0, 65504.0).astype(mx.float16)
