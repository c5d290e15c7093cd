"""A draw that was launched, and what it found once somebody asks."""

import math
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from mlx_backends.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a step found for one sequence.

    Attributes:
        token_id: The token drawn; None if the logits were not finite.
        logprob: Its log-probability; None unless asked for.
        top: Pairs of token id and log-probability, best first.
    """

    token_id: int | None
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


@dataclass(frozen=True, slots=True)
class RowLogprobs:
    """Lazy log-probabilities of one row: of the chosen token, and the likeliest with their ids."""

    chosen: mx.array
    top_ids: mx.array
    top_values: mx.array


@dataclass(frozen=True, slots=True)
class Launched:
    """One token for each of some sequences, on its way.

    Attributes:
        sequences: Whose tokens; the first rows of ``token_ids``.
        token_ids: (B,) int32 with B at least their number.
        highest: (B,) the largest logit of each; a token counts only where it is finite.
        logprobs: One entry for each sequence, or none at all.
    """

    sequences: tuple[Sequence, ...]
    token_ids: mx.array
    highest: mx.array
    logprobs: tuple[RowLogprobs | None, ...] = ()

    @property
    def arrays(self) -> list[mx.array]:
        """All that has to be computed."""
        rows = [row for row in self.logprobs if row is not None]
        extras = [array for row in rows for array in (row.chosen, row.top_ids, row.top_values)]
        return [self.token_ids, self.highest, *extras]

    def results(self) -> list[StepResult]:
        """Wait for the tokens; one result for each sequence, in order."""
        count = len(self.sequences)
        token_ids = values_of(self.token_ids)[:count]
        is_finite = [math.isfinite(value) for value in values_of(self.highest)[:count]]
        logprobs = self.logprobs or (None,) * count
        return [_result(*row) for row in zip(token_ids, is_finite, logprobs, strict=True)]


def values_of(array: mx.array) -> list[Any]:
    """Python values of a 1-d array; MLX types ``tolist`` for arrays of any rank."""
    values = array.tolist()
    assert isinstance(values, list)
    return values


def _result(token_id: int, is_finite: bool, logprobs: RowLogprobs | None) -> StepResult:
    if not is_finite:
        return StepResult(None)
    if logprobs is None:
        return StepResult(token_id)
    top: Seq[tuple[int, float]] = tuple(
        zip(values_of(logprobs.top_ids), values_of(logprobs.top_values), strict=True)
    )
    (chosen,) = values_of(logprobs.chosen.reshape(1))
    return StepResult(token_id, chosen, top)
