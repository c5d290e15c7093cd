"""A draw that was launched, and what it found once somebody asks."""

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

import mlx.core as mx

from mlx_backends.engine.sequence import Sequence

# Stands for a token where the logits were not finite.
NOT_FINITE = -1


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
        token_ids: (B,) int32 with B at least their number; ``NOT_FINITE`` where logits were not.
        logprobs: One entry for each sequence, or none at all.
    """

    sequences: tuple[Sequence, ...]
    token_ids: mx.array
    logprobs: tuple[RowLogprobs | None, ...] = ()

    @property
    def arrays(self) -> list[mx.array]:
        """All that has to be computed."""
        rows = [row for row in self.logprobs if row is not None]
        extras = [array for row in rows for array in (row.chosen, row.top_ids, row.top_values)]
        return [self.token_ids, *extras]

    def results(self) -> list[StepResult]:
        """Wait for the tokens; one result for each sequence, in order."""
        token_ids = values_of(self.token_ids)[: len(self.sequences)]
        logprobs = self.logprobs or (None,) * len(token_ids)
        return [_result(*pair) for pair in zip(token_ids, logprobs, strict=True)]


def values_of(array: mx.array) -> list[Any]:
    """Python values of a 1-d array; MLX types ``tolist`` for arrays of any rank."""
    values = array.tolist()
    assert isinstance(values, list)
    return values


def _result(token_id: int, logprobs: RowLogprobs | None) -> StepResult:
    if token_id == NOT_FINITE:
        return StepResult(None)
    if logprobs is None:
        return StepResult(token_id)
    top: Seq[tuple[int, float]] = tuple(
        zip(values_of(logprobs.top_ids), values_of(logprobs.top_values), strict=True)
    )
    (chosen,) = values_of(logprobs.chosen.reshape(1))
    return StepResult(token_id, chosen, top)
