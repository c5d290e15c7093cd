"""Decides what the next step computes. Knows sequences and blocks, not arrays; imports no MLX.

A step is one token for every sequence that generates, and prompt tokens within a budget, so that
decode never waits for more than one budget of prefill. Rules, best sequence first (by priority,
then arrival):

- A waiting sequence starts when its prompt fits beside what the running ones are about to need.
- Of prompts that go on alike, one is computed, and the others take its blocks over.
- The first prompt that is being computed gets at least half of the budget, which bounds how long
  it can take; the rest goes to the shortest prompts, which then need not wait for the long one.
- When blocks run out, the last sequence gives up its own and computes them again later. The first
  one therefore always advances.
- A sequence that took blocks over from one that a fault has ended computes them again, too.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator
from itertools import count
from math import lcm

from mlx_backends.cache.prefix_cache import BlockCopy, PrefixCache
from mlx_backends.engine.sequence import Sequence
from mlx_backends.engine.step import PrefillChunk, Step

# Tokens for which a sequence's blocks are laid side by side, if it may still get so many.
_ROOM = 512


class Scheduler:
    """Two queues, each best first: sequences that wait, and running ones, which hold blocks.

    Args:
        blocks: Where blocks come from.
        max_num_seqs: Most sequences that run at once.
        prefill_chunk_size: Most prompt tokens a step.
        headroom: A sequence starts only if every running one could add this many tokens. Without
            it, a start near the pool's end would be undone by a preemption a few steps later, and
            its work thrown away.
        tile: Chunks end at multiples of this where they can, and none but the first of a step is
            shorter, unless it ends its prompt.
        stretch: A multiple of ``tile`` that takes its place where the budget holds four, so that
            chunks of a prompt end at the same positions whatever runs beside it.
    """

    def __init__(
        self,
        blocks: PrefixCache,
        *,
        max_num_seqs: int,
        prefill_chunk_size: int,
        headroom: int = 64,
        tile: int = 1,
        stretch: int = 1,
    ) -> None:
        self.blocks = blocks
        self._max_num_seqs = max_num_seqs
        self.prefill_chunk_size = prefill_chunk_size
        self._headroom = headroom
        self._tile = tile
        self._unit = stretch if stretch > tile and prefill_chunk_size >= 4 * stretch else tile
        self._waiting: list[Sequence] = []
        self._running: list[Sequence] = []
        self._preempted: list[Sequence] = []
        self._arrivals = count()

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
        yield from list(self._waiting)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence, which must fit the pool when alone (``admission.fit_to_pool``)."""
        needed = self.blocks.num_blocks_for(sequence.max_kv_tokens)
        assert needed <= self.blocks.num_blocks, f"{needed} blocks can never be had"
        sequence.arrival = next(self._arrivals)
        insort(self._waiting, sequence, key=_rank)

    def remove(self, sequence: Sequence, *, is_tainted: bool = False) -> None:
        """Forget a sequence that ended, wherever it is, and take its blocks back.

        Args:
            sequence: Harmless if it was removed before.
            is_tainted: Its KV entries cannot be trusted. Nobody may reuse them, and sequences that
                have are marked as tainted; the next step's plan sends them back to the queue.
        """
        if not _discard(self._running, sequence):
            _discard(self._waiting, sequence)
            return
        sequence.is_tainted = sequence.is_tainted or is_tainted
        if sequence.is_tainted:
            self._taint_dependents(sequence)
        else:
            self._register(sequence)
        self.blocks.release(sequence.table, is_tainted=sequence.is_tainted)

    def schedule(self) -> Step:
        """Plan a step and reserve the blocks it needs.

        May be called while the tokens of the step before are unread, but not of two.
        """
        self._preempted = []
        for sequence in [s for s in self._running if s.is_tainted]:
            self._preempt(sequence)
        for sequence in self._running:
            self._register(sequence)
        decode = self._plan_decode()
        self._admit()
        prefill, copies = self._plan_prefill()
        step = Step(
            copies=tuple(copies),
            prefill=tuple(prefill),
            decode=tuple(s for s in decode if s not in self._preempted),
            preempted=tuple(self._preempted),
        )
        step.count_launched()
        return step

    def check_integrity(self) -> None:
        """Assert every invariant of the queues, their sequences and their blocks; O(blocks)."""
        for queue in (self._waiting, self._running):
            assert queue == sorted(queue, key=_rank), "a queue is out of order"
        assert len(self._running) <= self._max_num_seqs, "too many sequences run"
        for sequence in self._waiting:
            assert not sequence.block_ids, f"{sequence.request_id} waits and holds blocks"
        for sequence in self._running:
            held = len(sequence.block_ids) * self.blocks.block_size
            assert sequence.num_computed_tokens <= held, f"{sequence.request_id} has no block"
            assert sequence.num_computed_tokens <= sequence.max_kv_tokens
            if sequence.is_prefilled and not sequence.is_tainted:
                unread = sequence.num_computed_tokens + 1 - len(sequence.token_ids)
                assert sequence.num_in_flight == unread, f"{sequence.request_id} lost a token"
        self.blocks.check_integrity(sequence.table for sequence in self)

    def _plan_decode(self) -> list[Sequence]:
        """Sequences that get a token this step, each with a block to write to."""
        decode = []
        for sequence in list(self._running):
            if sequence in self._preempted or not sequence.can_decode:
                continue
            if self._make_room(sequence, sequence.num_computed_tokens + 1):
                decode.append(sequence)
        return decode

    def _admit(self) -> None:
        """Start waiting sequences in order, as long as they fit."""
        while self._waiting and len(self._running) < self._max_num_seqs and not self._preempted:
            candidate = self._waiting[0]
            if not self._fits(candidate):
                return
            # Whatever was in flight when it was preempted was read since: that was a step ago.
            assert candidate.num_in_flight == 0, f"{candidate.request_id} has an unread token"
            candidate.is_tainted = False
            insort(self._running, self._waiting.pop(0), key=_rank)
            candidate.num_prefill_tokens = len(candidate.token_ids)

    def _fits(self, candidate: Sequence) -> bool:
        """Whether a sequence could start without a preemption soon after."""
        if not self._running:
            return True
        claimed = sum(self._num_claimed(sequence) for sequence in self._running)
        left = self.blocks.num_available - claimed
        if self._num_claimed(candidate) <= left:
            return True
        reach = self._reach(candidate)
        return self.blocks.num_missing(candidate.table, candidate.token_ids, reach) <= left

    def _num_claimed(self, sequence: Sequence) -> int:
        """Blocks that a sequence lacks for its prompt and its next few tokens."""
        return max(0, self.blocks.num_blocks_for(self._reach(sequence)) - len(sequence.block_ids))

    def _reach(self, sequence: Sequence) -> int:
        return min(sequence.max_kv_tokens, len(sequence.token_ids) + self._headroom)

    def _plan_prefill(self) -> tuple[list[PrefillChunk], list[BlockCopy]]:
        """Chunks within the budget, and the copies of partly shared blocks that they build on."""
        chunks: list[PrefillChunk] = []
        copies: list[BlockCopy] = []
        left = self.prefill_chunk_size
        for sequence, share in self._prefill_shares():
            if sequence in self._preempted or left == 0:
                continue
            allowance = min(share, left)
            if chunks and allowance < min(self._unit, _num_left(sequence)):
                continue  # a pass costs much the same however short it is
            # Only the first may preempt: it is planned before any chunk that this could undo.
            chunk, copy = self._plan_chunk(sequence, allowance, may_preempt=not chunks)
            if copy is not None:
                copies.append(copy)
            if chunk is not None:
                chunks.append(chunk)
                left -= chunk.stop - chunk.start
        return chunks, copies

    def _prefill_shares(self) -> list[tuple[Sequence, int]]:
        """Sequences to prefill, in the order of planning, with the most tokens each may take."""
        prefilling = self._without_twins([s for s in self._running if not s.is_prefilled])
        if not prefilling:
            return []
        first, *others = prefilling
        others.sort(key=_num_left)
        half = -(-self.prefill_chunk_size // 2)
        first_share = max(half, self.prefill_chunk_size - sum(map(_num_left, others)))
        return [(first, first_share), *((other, self.prefill_chunk_size) for other in others)]

    def _without_twins(self, prefilling: list[Sequence]) -> list[Sequence]:
        """Leave out who needs next what an earlier one computes now: it is shared a step later."""
        if len(prefilling) < 2:
            return prefilling
        kept, taken = [], set[bytes]()
        for sequence in prefilling:
            keys = self.blocks.missing_keys(
                sequence.table, sequence.token_ids, self.prefill_chunk_size
            )
            is_between_blocks = sequence.num_computed_tokens % self.blocks.block_size == 0
            if keys and keys[0] in taken and is_between_blocks:
                continue
            taken.update(keys)
            kept.append(sequence)
        return kept

    def _plan_chunk(
        self, sequence: Sequence, allowance: int, *, may_preempt: bool
    ) -> tuple[PrefillChunk | None, BlockCopy | None]:
        """The next chunk of a sequence, after what the cache holds by now, and the copy for it."""
        copy = self._match(sequence)
        start, end = sequence.num_computed_tokens, sequence.num_prefill_tokens
        stop = self._chunk_stop(start, min(start + allowance, end), end)
        if may_preempt and not self._make_room(sequence, stop):
            return None, None
        if not self._reserve(sequence, stop):
            # A copy leaves room for a token at least, so it always comes with a chunk.
            stop = min(stop, len(sequence.block_ids) * self.blocks.block_size)
        if stop == start:
            return None, None
        sequence.mark_started()
        return PrefillChunk(sequence, start, stop, is_last=stop == end), copy

    def _chunk_stop(self, start: int, stop: int, end: int) -> int:
        """End a chunk where a stretch or tile ends, or else a block: only full ones are shared."""
        if stop == end:
            return stop
        block_size = self.blocks.block_size
        for size in (lcm(self._unit, block_size), lcm(self._tile, block_size), block_size):
            if start < stop - stop % size:
                return stop - stop % size
        return stop

    def _match(self, sequence: Sequence) -> BlockCopy | None:
        """Skip what the cache holds, which may be more than when the sequence started."""
        match = self.blocks.match(sequence.table, sequence.token_ids)
        sequence.num_computed_tokens += match.num_tokens
        if sequence.num_preemptions == 0:
            sequence.num_cached_tokens += match.num_tokens
        return match.copy

    def _make_room(self, sequence: Sequence, num_tokens: int) -> bool:
        """Reserve blocks, taking them from the last sequences; False if it was the last itself."""
        while not self._reserve(sequence, num_tokens):
            victim = self._running[-1]
            self._preempt(victim)
            if victim is sequence:
                return False
        return True

    def _reserve(self, sequence: Sequence, num_tokens: int) -> bool:
        room = min(sequence.max_kv_tokens, len(sequence.token_ids) + _ROOM)
        return self.blocks.reserve(sequence.table, num_tokens, room=room)

    def _preempt(self, sequence: Sequence) -> None:
        """Take a running sequence's blocks; it waits, and keeps its place and its tokens."""
        self._running.remove(sequence)
        self.blocks.release(sequence.table, is_tainted=sequence.is_tainted)
        sequence.num_computed_tokens = 0
        sequence.num_preemptions += 1
        self._preempted.append(sequence)
        insort(self._waiting, sequence, key=_rank)

    def _taint_dependents(self, sequence: Sequence) -> None:
        """Mark all that hold blocks of a sequence, or of one that holds some, and so on."""
        for other in self._waiting:
            # What one that was just preempted had shared is not known any more.
            other.is_tainted = other.is_tainted or other.num_in_flight > 0
        for other in self._running:
            if not other.is_tainted and other.table.depends_on(sequence.table):
                other.is_tainted = True
                self._taint_dependents(other)

    def _register(self, sequence: Sequence) -> None:
        self.blocks.register(sequence.table, sequence.token_ids, sequence.num_computed_tokens)


def _rank(sequence: Sequence) -> tuple[int, int]:
    """Smaller is better: priority, then arrival."""
    return sequence.request.priority, sequence.arrival


def _num_left(sequence: Sequence) -> int:
    return sequence.num_prefill_tokens - sequence.num_computed_tokens


def _discard(queue: list[Sequence], sequence: Sequence) -> bool:
    """Remove a sequence from an ordered queue; returns whether it was there."""
    index = bisect_left(queue, _rank(sequence), key=_rank)
    if index == len(queue) or queue[index] is not sequence:
        return False
    del queue[index]
    return True
