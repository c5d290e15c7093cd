"""Changes to logits that need the host's knowledge of a row: its history, its grammar.

The rows that have any are changed together, by one gather and one scatter over pairs of row and
token id.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Protocol

import mlx.core as mx
import numpy as np

from mlx_backends.core import SamplingParams


class PenalizedRow(Protocol):
    """The part of ``sampler.RowContext`` that penalties look at."""

    @property
    def params(self) -> SamplingParams: ...
    @property
    def prompt_tail(self) -> Sequence[int]: ...
    @property
    def output_token_ids(self) -> Sequence[int]: ...
    @property
    def forbidden_token_ids(self) -> Sequence[int]: ...


def penalized(logits: mx.array, rows: Sequence[PenalizedRow]) -> mx.array:
    """Apply each row's penalties and forbidden ids. Shapes: (B, V) -> (B, V)."""
    logits = _repetition(logits, rows)
    logits = _presence_and_frequency(logits, rows)
    return _forbidden(logits, rows)


def masked(logits: mx.array, bitmasks: Sequence[np.ndarray | None]) -> mx.array:
    """Set the logits of tokens that a row's bitmask leaves out to minus infinity.

    Shapes: logits (B, V), a bitmask (ceil(V / 32),) uint32; a shorter one allows nothing beyond.
    """
    width = logits.shape[-1]
    # Unpacked here: the model still computes meanwhile, and rows without a mask cost nothing.
    rows = {row: _unpacked(mask, width) for row, mask in enumerate(bitmasks) if mask is not None}
    if not rows:
        return logits
    allowed = mx.array(np.stack(list(rows.values())))
    if len(rows) == len(bitmasks):
        return mx.where(allowed, logits, -mx.inf)
    where = mx.array(list(rows))
    logits[where] = mx.where(allowed, logits[where], -mx.inf)
    return logits


def _unpacked(bitmask: np.ndarray, width: int) -> np.ndarray:
    bits = bitmask.view(np.uint8)
    return np.unpackbits(bits, count=width, bitorder="little").view(np.bool_)


def needs_history(params: SamplingParams) -> bool:
    """Whether the draw depends on the tokens so far."""
    return bool(
        params.repetition_penalty != 1.0 or params.presence_penalty or params.frequency_penalty
    )


def _repetition(logits: mx.array, rows: Sequence[PenalizedRow]) -> mx.array:
    pairs = [
        (index, token_id, row.params.repetition_penalty)
        for index, row in enumerate(rows)
        if row.params.repetition_penalty != 1.0
        for token_id in _recent(row)
    ]
    if not pairs:
        return logits
    where, penalties = _split(pairs)
    seen = logits[where]
    logits[where] = mx.where(seen < 0, seen * penalties, seen / penalties)
    return logits


def _recent(row: PenalizedRow) -> set[int]:
    size = row.params.repetition_context_size
    return set([*row.prompt_tail, *row.output_token_ids[-size:]][-size:]) if size else set()


def _presence_and_frequency(logits: mx.array, rows: Sequence[PenalizedRow]) -> mx.array:
    pairs = [
        (index, token_id, row.params.presence_penalty + row.params.frequency_penalty * times)
        for index, row in enumerate(rows)
        if row.params.presence_penalty or row.params.frequency_penalty
        for token_id, times in Counter(row.output_token_ids).items()
    ]
    if not pairs:
        return logits
    where, amounts = _split(pairs)
    logits[where] = logits[where] - amounts
    return logits


def _forbidden(logits: mx.array, rows: Sequence[PenalizedRow]) -> mx.array:
    pairs = [
        (index, token_id, 0.0)
        for index, row in enumerate(rows)
        for token_id in row.forbidden_token_ids
    ]
    if pairs:
        logits[_split(pairs)[0]] = -mx.inf
    return logits


def _split(
    pairs: Sequence[tuple[int, int, float]],
) -> tuple[tuple[mx.array, mx.array], mx.array]:
    """Pairs of row and token id as an index, and their numbers."""
    rows, ids, numbers = zip(*pairs, strict=True)
    return (mx.array(rows), mx.array(ids)), mx.array(numbers, dtype=mx.float32)
