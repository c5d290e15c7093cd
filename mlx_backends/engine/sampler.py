"""Chooses the next token of every row of a batch: pure functions from logits to token ids.

Rows have their own parameters and their own random keys, so what a row draws does not depend on the
rows beside it. The order is mlx-lm's (``mlx_lm/sample_utils.py``): penalties on the logits, then
log-probabilities, then ``top_p``, ``min_p`` and ``top_k``, each judged on the whole distribution,
then the draw at the row's temperature.

``draw`` takes arrays only and can be compiled with the model; ``sample`` adds what needs the host's
knowledge of a row: penalties, forbidden ids and a grammar's mask.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import mlx.core as mx
import numpy as np

from mlx_backends.core import SamplingParams
from mlx_backends.engine.penalties import masked, penalized

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
        allowed_bitmask: (ceil(V / 32),) uint32, bit ``i % 32`` of word ``i // 32`` set where token
            ``i`` may be drawn; None allows all.
    """

    params: SamplingParams
    seed: int
    prompt_tail: Sequence[int] = ()
    output_token_ids: Sequence[int] = ()
    forbidden_token_ids: Sequence[int] = ()
    allowed_bitmask: np.ndarray | None = None


@dataclass(frozen=True, slots=True)
class RowArrays:
    """The parameters of a batch's rows as arrays, which stay the same from step to step.

    Attributes:
        temperatures: (B, 1) float32; 1 where greedy.
        noise: (B, 1) float32; 0 where greedy, else 1.
        top_p: (B, 1) float32.
        min_p: (B, 1) float32.
        top_k: (B, 1) int32; the largest integer keeps all.
        keys: (B, 2) uint32, random key of each row at position 0.
        draws: Whether any row is not greedy.
        truncates: Whether any row leaves tokens out.
    """

    temperatures: mx.array
    noise: mx.array
    top_p: mx.array
    min_p: mx.array
    top_k: mx.array
    keys: mx.array
    draws: bool
    truncates: bool

    @classmethod
    def of(cls, params: Sequence[SamplingParams], seeds: Sequence[int]) -> "RowArrays":
        if all(p.is_greedy for p in params):
            return _greedy_rows(len(params))
        return cls(
            temperatures=_column([p.temperature or 1.0 for p in params]),
            noise=_column([float(not p.is_greedy) for p in params]),
            top_p=_column([p.top_p for p in params]),
            min_p=_column([p.min_p for p in params]),
            top_k=mx.array([[min(p.top_k or 2**31 - 1, 2**31 - 1)] for p in params]),
            keys=mx.array([_key_words(seed) for seed in seeds], dtype=mx.uint32),
            draws=any(not p.is_greedy for p in params),
            truncates=any(_truncates(p) for p in params if not p.is_greedy),
        )

    @property
    def arrays(self) -> list[mx.array]:
        return [self.temperatures, self.noise, self.top_p, self.min_p, self.top_k, self.keys]

    def with_arrays(self, arrays: Sequence[mx.array]) -> "RowArrays":
        """The same kinds of draw on other arrays, such as those of a trace."""
        return RowArrays(*arrays, draws=self.draws, truncates=self.truncates)


@dataclass(frozen=True, slots=True)
class Sampled:
    """Lazy results of one draw.

    Attributes:
        token_ids: (B,) int32.
        highest: (B,) the largest logit; not finite where the logits held NaN or infinity.
        logprobs: (B, V) float32, before truncation and temperature.
    """

    token_ids: mx.array
    highest: mx.array
    logprobs: mx.array


def sample(
    logits: mx.array, rows: Sequence[RowContext], arrays: RowArrays | None = None
) -> Sampled:
    """Draw one token a row.

    Args:
        logits: (B, V) of any float type, with one entry of ``rows`` for each row.
        rows: What each draw depends on.
        arrays: The same rows' parameters, if they are at hand.

    Numerics: all in float32.
    """
    logits = penalized(logits.astype(mx.float32), rows)
    logits = masked(logits, [row.allowed_bitmask for row in rows])
    arrays = arrays or RowArrays.of([row.params for row in rows], [row.seed for row in rows])
    positions = mx.array([len(row.output_token_ids) for row in rows], dtype=mx.uint32)
    return draw(logits, arrays, positions)


def draw(logits: mx.array, rows: RowArrays, positions: mx.array) -> Sampled:
    """Draw one token a row, by arrays alone.

    Shapes: logits (B, V), positions (B,) uint32: tokens that the row has generated.

    Numerics: the draw and the log-probabilities are in float32; greedy rows need no conversion.
    """
    exact = logits.astype(mx.float32)
    logprobs = exact - mx.logsumexp(exact, axis=-1, keepdims=True)
    if rows.draws:
        token_ids = mx.argmax(_noisy(logprobs, rows, positions), axis=-1)
    else:
        token_ids = mx.argmax(logits, axis=-1)
    return Sampled(token_ids.astype(mx.int32), logits.max(axis=-1), logprobs)


def top_logprobs(logprobs: mx.array, count: int) -> tuple[mx.array, mx.array]:
    """The likeliest tokens of one row, best first.

    Shapes: logprobs (V,) -> ids (count,), log-probabilities (count,).
    """
    ids = mx.argsort(-logprobs)[:count]
    return ids, logprobs[ids]


def _noisy(logprobs: mx.array, rows: RowArrays, positions: mx.array) -> mx.array:
    """The Gumbel trick: argmax of scaled log-probabilities plus noise is a sample.

    Shapes: logprobs (B, V), positions (B,) -> (B, V).
    """
    if rows.truncates:
        order = mx.argsort(-logprobs, axis=-1)
        ranked = mx.take_along_axis(logprobs, order, axis=-1)
        # Back in the order of ids: noise must meet the same token, sorted or not.
        logprobs = mx.put_along_axis(logprobs, order, _truncated(ranked, rows), axis=-1)
    offsets = mx.stack([mx.zeros_like(positions), positions], axis=-1)
    noise = mx.vmap(lambda key: mx.random.gumbel(logprobs.shape[-1:], key=key))(rows.keys + offsets)
    return logprobs / rows.temperatures + rows.noise * noise


def _truncated(ranked: mx.array, rows: RowArrays) -> mx.array:
    """Set what ``top_p``, ``min_p`` and ``top_k`` leave out to minus infinity.

    Shapes: ranked (B, V), log-probabilities sorted downwards; returns the same shape.
    """
    probabilities = mx.exp(ranked)
    mass_before = mx.cumsum(probabilities, axis=-1) - probabilities
    # Rounding can leave the whole mass a hair under 1; top_p = 1 keeps every token.
    keep = (mass_before < rows.top_p) | (rows.top_p >= 1.0)
    keep &= probabilities >= rows.min_p * probabilities[:, :1]
    rank = mx.arange(ranked.shape[-1])[None]
    keep = (keep & (rank < rows.top_k)) | (rank == 0)  # the likeliest token always stays
    return mx.where(keep, ranked, -mx.inf)


def _truncates(params: SamplingParams) -> bool:
    return params.top_p < 1.0 or params.top_k > 0 or params.min_p > 0.0


def _key_words(seed: int) -> tuple[int, int]:
    """Two words in which near seeds have nothing in common; the position is added to the second.

    Threefry, MLX's generator, is a function of key and counter made for neighbouring keys.
    Source: the finalizer of SplitMix64 (Steele, Lea and Flood 2014, doi:10.1145/2714064.2660195).
    """
    z = (seed + 0x9E3779B97F4A7C15) & _MASK_64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & _MASK_64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & _MASK_64
    z ^= z >> 31
    return z >> 32, z & (2**32 - 1)


@cache
def _greedy_rows(count: int) -> RowArrays:
    """Parameters that no greedy draw reads: made once, as each array costs a GPU some time."""
    ones = _column([1.0] * count)
    return RowArrays(
        temperatures=ones,
        noise=_column([0.0] * count),
        top_p=ones,
        min_p=_column([0.0] * count),
        top_k=mx.array([[2**31 - 1]] * count),
        keys=mx.array([[0, 0]] * count, dtype=mx.uint32),
        draws=False,
        truncates=False,
    )


def _column(values: list[float]) -> mx.array:
    return mx.array([[value] for value in values], dtype=mx.float32)
