"""Chooses the next token of every row of a batch: pure functions from logits to token ids.

Rows have their own parameters and their own random keys, so what a row draws does not depend on the
rows beside it. The order is mlx-lm's (``mlx_lm/sample_utils.py``): penalties on the logits, then
log-probabilities, then ``top_p``, ``min_p`` and ``top_k``, each judged on the whole distribution,
then the draw at the row's temperature.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx
import numpy as np

from mlx_backends.core import SamplingParams

_MASK_64 = 2**64 - 1


@dataclass(frozen=True, slots=True)
class RowContext:
    """What sampling one row depends on, besides its logits.

    Attributes:
        params: The row's parameters.
        seed: The row's stream of random numbers; together with the position it fixes the draw.
        prompt_tail: The last prompt tokens, as many as the repetition penalty looks at.
        output_token_ids: Tokens generated so far.
        forbidden_token_ids: Ids that must not be drawn now.
        allowed_bitmask: The only tokens that may be drawn, a bit each (``engine.constraint``).
    """

    params: SamplingParams
    seed: int
    prompt_tail: Sequence[int] = ()
    output_token_ids: Sequence[int] = ()
    forbidden_token_ids: Sequence[int] = ()
    allowed_bitmask: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class Sampled:
    """Lazy results of one draw.

    Attributes:
        token_ids: (B,) int32.
        is_finite: (B,) bool; False where the logits held NaN or infinity.
        logprobs: (B, V) float32, before truncation and temperature.
    """

    token_ids: mx.array
    is_finite: mx.array
    logprobs: mx.array


def sample(logits: mx.array, rows: Sequence[RowContext]) -> Sampled:
    """Draw one token a row.

    Shapes: logits (B, V) of any float type, with one entry of ``rows`` for each row.
    Numerics: all in float32.
    """
    logits = logits.astype(mx.float32)
    if any(_has_penalty(row) for row in rows):
        logits = mx.stack([_penalized(logits[i], row) for i, row in enumerate(rows)])
    normalizer = mx.logsumexp(logits, axis=-1, keepdims=True)
    logprobs = logits - normalizer
    is_finite = mx.isfinite(normalizer[:, 0])
    if all(row.params.is_greedy for row in rows):
        return Sampled(mx.argmax(logprobs, axis=-1), is_finite, logprobs)
    return Sampled(_draw(logprobs, rows), is_finite, logprobs)


def top_logprobs(logprobs: mx.array, count: int) -> tuple[mx.array, mx.array]:
    """The likeliest tokens of one row, best first.

    Shapes: logprobs (V,) -> ids (count,), log-probabilities (count,).
    """
    ids = mx.argsort(-logprobs)[:count]
    return ids, logprobs[ids]


def _draw(logprobs: mx.array, rows: Sequence[RowContext]) -> mx.array:
    """Draw by the Gumbel trick: argmax of scaled log-probabilities plus noise is a sample."""
    if any(_truncates(row.params) for row in rows):
        order = mx.argsort(-logprobs, axis=-1)
        ranked = mx.take_along_axis(logprobs, order, axis=-1)
        # Back in the order of ids: noise must meet the same token, sorted or not.
        logprobs = mx.put_along_axis(logprobs, order, _truncated(ranked, rows), axis=-1)
    noise = mx.stack([_noise(row, logprobs.shape[-1]) for row in rows])
    temperatures = mx.array([row.params.temperature or 1.0 for row in rows])
    return mx.argmax(logprobs / temperatures[:, None] + noise, axis=-1)


def _noise(row: RowContext, width: int) -> mx.array:
    """Gumbel noise of the row at its position; zeros make the row greedy."""
    if row.params.is_greedy:
        return mx.zeros((width,))
    position = len(row.output_token_ids)
    return mx.random.gumbel((width,), key=mx.random.key(_mixed(row.seed, position)))


def _mixed(seed: int, position: int) -> int:
    """A 64-bit key in which near seeds and positions have nothing in common.

    Source: the finalizer of SplitMix64 (Steele, Lea and Flood 2014, doi:10.1145/2714064.2660195).
    """
    z = (seed + 0x9E3779B97F4A7C15 * (position + 1)) & _MASK_64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK_64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK_64
    return z ^ (z >> 31)


def _truncates(params: SamplingParams) -> bool:
    return params.top_p < 1.0 or params.top_k > 0 or params.min_p > 0.0


def _truncated(ranked: mx.array, rows: Sequence[RowContext]) -> mx.array:
    """Set what ``top_p``, ``min_p`` and ``top_k`` leave out to minus infinity.

    Shapes: ranked (B, V), log-probabilities sorted downwards; returns the same shape.
    """
    width = ranked.shape[-1]
    params = [row.params for row in rows]
    top_p = mx.array([p.top_p for p in params])[:, None]
    min_p = mx.array([p.min_p for p in params])[:, None]
    top_k = mx.array([p.top_k or width for p in params])[:, None]
    probabilities = mx.exp(ranked)
    mass_before = mx.cumsum(probabilities, axis=-1) - probabilities
    # Rounding can leave the whole mass a hair under 1; top_p = 1 keeps every token.
    keep = (mass_before < top_p) | (top_p >= 1.0)
    keep &= probabilities >= min_p * probabilities[:, :1]
    rank = mx.arange(width)[None]
    keep = (keep & (rank < top_k)) | (rank == 0)  # the likeliest token always stays
    return mx.where(keep, ranked, -mx.inf)


def _has_penalty(row: RowContext) -> bool:
    params = row.params
    return bool(
        row.forbidden_token_ids
        or row.allowed_bitmask is not None
        or params.repetition_penalty != 1.0
        or params.presence_penalty
        or params.frequency_penalty
    )


def _penalized(logits: mx.array, row: RowContext) -> mx.array:
    """Apply the row's penalties and forbidden ids. Shapes: (V,) -> (V,)."""
    params = row.params
    size = params.repetition_context_size
    recent = [*row.prompt_tail, *row.output_token_ids][-size:] if size else []
    if params.repetition_penalty != 1.0 and recent:
        ids = mx.array(sorted(set(recent)))
        seen = logits[ids]
        penalty = params.repetition_penalty
        logits[ids] = mx.where(seen < 0, seen * penalty, seen / penalty)
    if (params.presence_penalty or params.frequency_penalty) and row.output_token_ids:
        counts = Counter(row.output_token_ids)
        ids = mx.array(list(counts))
        times = mx.array(list(counts.values()), dtype=mx.float32)
        logits[ids] = logits[ids] - params.presence_penalty - params.frequency_penalty * times
    if row.forbidden_token_ids:
        logits[mx.array(list(row.forbidden_token_ids))] = -mx.inf
    if row.allowed_bitmask is not None:
        return mx.where(_allowed(row.allowed_bitmask, logits.shape[-1]), logits, -mx.inf)
    return logits


def _allowed(bitmask: np.ndarray, width: int) -> mx.array:
    """Shapes: (ceil(V / 32),) uint32 -> (width,) bool; what the mask does not reach is False."""
    bits = np.unpackbits(bitmask.view(np.uint8), bitorder="little")[:width]
    return mx.array(np.pad(bits, (0, width - len(bits))).astype(bool))
