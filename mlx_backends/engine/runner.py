"""Runs the model: the only part of the engine that turns sequences into arrays.

This first runner gives every sequence an mlx-lm cache of its own, which serves every architecture
of mlx-lm unmodified. A step builds one graph for all its sequences and evaluates it once.
"""

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from mlx_backends.engine.sampler import RowContext, Sampled, sample, top_logprobs
from mlx_backends.engine.scheduler import PrefillChunk
from mlx_backends.engine.sequence import Sequence
from mlx_backends.models.loader import LoadedModel, use_device


@dataclass(frozen=True, slots=True)
class StepResult:
    """What a decode step found for one sequence.

    Attributes:
        token_id: The token drawn; None if the logits were not finite.
        logprob: Its log-probability; None unless asked for.
        top: Pairs of token id and log-probability, best first.
    """

    token_id: int | None
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


class Runner:
    """Owns the model and the KV caches of the running sequences. Used on the MLX thread only."""

    def __init__(self, loaded: LoadedModel, eos_token_ids: frozenset[int]) -> None:
        self._model = loaded.model
        self._device = loaded.device
        self._eos_token_ids = eos_token_ids
        self._caches: dict[str, list[Any]] = {}

    @property
    def cache_bytes(self) -> int:
        return sum(layer.nbytes for cache in self._caches.values() for layer in cache)

    @property
    def peak_memory_bytes(self) -> int:
        return mx.get_peak_memory()

    def allocate(self, sequence: Sequence) -> None:
        """Make an empty cache for a sequence."""
        self._caches[sequence.request_id] = make_prompt_cache(self._model)

    def free(self, sequence: Sequence) -> None:
        """Drop the sequence's cache, if it has one."""
        self._caches.pop(sequence.request_id, None)

    def prefill(self, chunk: PrefillChunk) -> None:
        """Compute the KV entries of a chunk of the prompt."""
        sequence = chunk.sequence
        tokens = sequence.prompt_token_ids[chunk.start : chunk.stop]
        cache = self._caches[sequence.request_id]
        with use_device(self._device):
            self._model(mx.array(tokens)[None], cache=cache)
            mx.eval([layer.state for layer in cache])
        sequence.num_computed_tokens = chunk.stop

    def decode_step(self, sequences: Seq[Sequence]) -> list[StepResult]:
        """Draw the next token of each sequence, with one evaluation for all of them."""
        with use_device(self._device):
            logits = mx.concatenate([self._logits(sequence) for sequence in sequences])
            # Masks are computed on this thread while the model runs.
            mx.async_eval(logits)
            sampled = sample(logits, [self._row_context(sequence) for sequence in sequences])
            extras = [
                _logprob_arrays(sampled, row, sequence) for row, sequence in enumerate(sequences)
            ]
            mx.eval(sampled.token_ids, sampled.is_finite, extras)
            return _results(sampled, extras)

    def _logits(self, sequence: Sequence) -> mx.array:
        """Logits after the sequence's last token. Shapes: returns (1, V)."""
        tokens = mx.array([[sequence.last_token_id]])
        return self._model(tokens, cache=self._caches[sequence.request_id])[:, -1]

    def _row_context(self, sequence: Sequence) -> RowContext:
        params = sequence.params
        constraint = sequence.constraint
        # A grammar knows by itself when a completion may end.
        is_too_short = len(sequence.output_token_ids) < params.min_tokens and constraint is None
        tail = params.repetition_context_size
        return RowContext(
            params=params,
            seed=sequence.seed,
            prompt_tail=sequence.prompt_token_ids[-tail:] if tail else (),
            output_token_ids=sequence.output_token_ids,
            forbidden_token_ids=sorted(self._eos_token_ids) if is_too_short else (),
            allowed_bitmask=None if constraint is None else constraint.allowed_bitmask(),
        )


def _logprob_arrays(sampled: Sampled, row: int, sequence: Sequence) -> list[mx.array]:
    """Lazy log-probabilities of one row: of the chosen token, and ids and values of the top."""
    if not sequence.params.logprobs:
        return []
    row_logprobs = sampled.logprobs[row]
    chosen = row_logprobs[sampled.token_ids[row]]
    return [chosen, *top_logprobs(row_logprobs, sequence.params.top_logprobs)]


def _results(sampled: Sampled, extras: Seq[Seq[mx.array]]) -> list[StepResult]:
    rows = zip(_values(sampled.token_ids), _values(sampled.is_finite), extras, strict=True)
    return [_result(token_id if is_finite else None, extra) for token_id, is_finite, extra in rows]


def _result(token_id: int | None, extra: Seq[mx.array]) -> StepResult:
    if token_id is None or not extra:
        return StepResult(token_id)
    chosen, top_ids, top_values = extra
    top = zip(_values(top_ids), _values(top_values), strict=True)
    return StepResult(token_id, float(chosen), tuple(top))


def _values(array: mx.array) -> list[Any]:
    """Python values of a 1-d array; MLX types ``tolist`` for arrays of any rank."""
    values = array.tolist()
    assert isinstance(values, list)
    return values
