"""Decides what the next step computes. Knows sequences, not arrays; imports no MLX.

A step is at most one chunk of one prompt and one token for every sequence that generates, so a long
prompt delays the others by one chunk at a time.
"""

import heapq
import itertools
from collections.abc import Iterator
from dataclasses import dataclass

from mlx_backends.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class PrefillChunk:
    """The prompt tokens ``start`` to ``stop`` of a sequence."""

    sequence: Sequence
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Step:
    """What to compute next."""

    prefill: PrefillChunk | None
    decode: tuple[Sequence, ...]


class Scheduler:
    """Two queues: waiting (by priority, then arrival) and running (in the order of admission)."""

    def __init__(self, *, max_num_seqs: int, prefill_chunk_size: int) -> None:
        self._max_num_seqs = max_num_seqs
        self._prefill_chunk_size = prefill_chunk_size
        self._waiting: list[tuple[int, int, Sequence]] = []
        self._running: list[Sequence] = []
        self._arrivals = itertools.count()

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    @property
    def num_running(self) -> int:
        return len(self._running)

    @property
    def has_unfinished(self) -> bool:
        return bool(self._waiting or self._running)

    def __iter__(self) -> Iterator[Sequence]:
        """All unfinished sequences, the running ones first."""
        yield from list(self._running)
        yield from [sequence for _, _, sequence in self._waiting]

    def add(self, sequence: Sequence) -> None:
        entry = (sequence.request.priority, next(self._arrivals), sequence)
        heapq.heappush(self._waiting, entry)

    def schedule(self) -> tuple[list[Sequence], Step]:
        """Admit what fits; returns the newly admitted sequences and the step to run."""
        admitted = []
        while self._waiting and len(self._running) < self._max_num_seqs:
            admitted.append(heapq.heappop(self._waiting)[2])
            self._running.append(admitted[-1])
        chunk = self._next_chunk()
        decode = tuple(s for s in self._running if s.is_prefilled)
        return admitted, Step(chunk, decode)

    def remove(self, sequence: Sequence) -> None:
        """Forget a sequence that ended, wherever it is."""
        if sequence in self._running:
            self._running.remove(sequence)
            return
        self._waiting = [entry for entry in self._waiting if entry[2] is not sequence]
        heapq.heapify(self._waiting)

    def _next_chunk(self) -> PrefillChunk | None:
        for sequence in self._running:
            if not sequence.is_prefilled:
                start = sequence.num_computed_tokens
                stop = min(start + self._prefill_chunk_size, sequence.num_prefill_tokens)
                return PrefillChunk(sequence, start, stop)
        return None
