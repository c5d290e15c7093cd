"""Draws tokens for sequences whose tokens so far are all known to the host."""

from collections.abc import Sequence as Seq

import mlx.core as mx

from mlx_backends.engine.launched import Launched, RowLogprobs
from mlx_backends.engine.penalties import needs_history
from mlx_backends.engine.sampler import RowArrays, RowContext, Sampled, sample, top_logprobs
from mlx_backends.engine.sequence import Sequence


def needs_host(sequence: Sequence) -> bool:
    """Whether the sequence's next draw depends on tokens that the host must have read."""
    params = sequence.params
    return (
        sequence.constraint is not None
        or params.logprobs
        or len(sequence.output_token_ids) < params.min_tokens
        or needs_history(params)
    )


class Drawing:
    """Turns logits into launched tokens, and remembers the parameters of the batch before.

    Args:
        eos_token_ids: Ids that end a completion, held back until ``min_tokens``.
    """

    def __init__(self, eos_token_ids: frozenset[int]) -> None:
        self._eos_token_ids = tuple(sorted(eos_token_ids))
        self._sequences: tuple[Sequence, ...] = ()
        self._arrays: RowArrays | None = None

    def draw(self, logits: mx.array, sequences: Seq[Sequence]) -> Launched:
        """Draw one token for each sequence. Shapes: logits (B, V), one row for each."""
        batch = tuple(sequences)
        if any(s.constraint is not None for s in batch):
            mx.async_eval(logits)  # the model runs while masks are computed here
        sampled = sample(logits, [self._context(s) for s in batch], self._row_arrays(batch))
        wants_logprobs = any(s.params.logprobs for s in batch)
        return Launched(
            sequences=batch,
            token_ids=sampled.token_ids,
            highest=sampled.highest,
            logprobs=tuple(_logprobs(sampled, i, s) for i, s in enumerate(batch))
            if wants_logprobs
            else (),
        )

    def _row_arrays(self, sequences: tuple[Sequence, ...]) -> RowArrays:
        if self._arrays is None or sequences != self._sequences:
            self._sequences = sequences
            self._arrays = RowArrays.of([s.params for s in sequences], [s.seed for s in sequences])
        return self._arrays

    def _context(self, sequence: Sequence) -> RowContext:
        params, constraint = sequence.params, sequence.constraint
        # A grammar knows by itself when a completion may end.
        is_too_short = len(sequence.output_token_ids) < params.min_tokens and constraint is None
        tail = params.repetition_context_size if params.repetition_penalty != 1.0 else 0
        return RowContext(
            params=params,
            seed=sequence.seed,
            prompt_tail=sequence.prompt_token_ids[-tail:] if tail else (),
            output_token_ids=sequence.output_token_ids,
            forbidden_token_ids=self._eos_token_ids if is_too_short else (),
            allowed_bitmask=constraint.allowed_bitmask() if constraint is not None else None,
        )


def _logprobs(sampled: Sampled, row: int, sequence: Sequence) -> RowLogprobs | None:
    if not sequence.params.logprobs:
        return None
    logprobs = sampled.logprobs[row]
    chosen = logprobs[sampled.token_ids[row]]
    return RowLogprobs(chosen, *top_logprobs(logprobs, sequence.params.top_logprobs))
