"""Free block ids as runs of neighbours, so that a sequence's blocks come out side by side.

On a CPU the blocks of a run are one view of the pool, which attention reads without a gather.
"""

from bisect import bisect_left, insort
from collections.abc import Iterator

# Most blocks that a new run leaves free before it.
_MAX_GAP = 64


class FreeRuns:
    """A set of free block ids, given out from the lowest on.

    So a pool that grows up to the highest id in use stays small.

    Runs are kept in buckets by the bit length of their size ("segregated fits", Wilson et al. 1995,
    Dynamic Storage Allocation), each in the order of ids, so that the lowest of those that are
    surely large enough is found at once.
    """

    def __init__(self, num_blocks: int) -> None:
        self._size = 0
        self._length_of: dict[int, int] = {}  # first id -> length
        self._start_of: dict[int, int] = {}  # id after the last -> first id
        self._buckets: list[list[int]] = [[] for _ in range(num_blocks.bit_length() + 1)]
        self._add_run(0, num_blocks)

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[int]:
        for start, length in sorted(self._length_of.items()):
            yield from range(start, start + length)

    def add(self, block_id: int) -> None:
        """Free a block and join it with its free neighbours."""
        start, stop = block_id, block_id + 1
        if block_id in self._start_of:
            start = self._start_of[block_id]
            self._remove_run(start)
        if stop in self._length_of:
            stop += self._remove_run(stop)
        self._add_run(start, stop - start)

    def take(self, count: int, *, after: int | None, room: int) -> list[int]:
        """Remove ``count`` ids, which must be there, in the order a sequence should use them.

        Args:
            count: How many.
            after: The sequence's last block; the ids go on from it where they can.
            room: Blocks that the sequence will need in all, these included. What it lacks of them
                is left free before a new run too: for the sequence there, taken to be alike.
        """
        taken: list[int] = []
        if after is not None and after + 1 in self._length_of:
            taken += self._cut(after + 1, 0, count)
        while len(taken) < count:
            missing = count - len(taken)
            room = max(room, missing)
            gap = min(room - missing, _MAX_GAP)
            start = self._start_of_run(gap + room)
            spare = max(0, self._length_of[start] - room)
            taken += self._cut(start, min(gap, spare) if start else 0, missing)
        return taken

    def check_integrity(self) -> None:
        """Assert that the runs are disjoint, joined and indexed; O(number of runs)."""
        previous_stop = -1
        for start, length in sorted(self._length_of.items()):
            assert length > 0, f"empty run at {start}"
            assert start > previous_stop, f"run at {start} overlaps or touches the one before"
            assert self._start_of.get(start + length) == start, f"run at {start} has no end"
            assert start in self._buckets[length.bit_length()], f"run at {start} is in no bucket"
            previous_stop = start + length
        assert len(self._start_of) == len(self._length_of), "an end without a run"
        assert sum(map(len, self._buckets)) == len(self._length_of), "a bucket holds a stale run"
        assert self._size == sum(self._length_of.values()), "the count of free blocks is wrong"

    def _start_of_run(self, length: int) -> int:
        """The lowest run that surely holds so many blocks, or one of the largest."""
        surely = (length - 1).bit_length() + 1
        starts = [bucket[0] for bucket in self._buckets[surely:] if bucket]
        if starts:
            return min(starts)
        return next(bucket[0] for bucket in reversed(self._buckets) if bucket)

    def _cut(self, start: int, offset: int, count: int) -> list[int]:
        """Take up to ``count`` ids out of the run at ``start``, ``offset`` blocks into it."""
        length = self._remove_run(start)
        first, stop = start + offset, min(start + offset + count, start + length)
        self._add_run(start, offset)
        self._add_run(stop, start + length - stop)
        return list(range(first, stop))

    def _add_run(self, start: int, length: int) -> None:
        if length == 0:
            return
        self._length_of[start] = length
        self._start_of[start + length] = start
        insort(self._buckets[length.bit_length()], start)
        self._size += length

    def _remove_run(self, start: int) -> int:
        length = self._length_of.pop(start)
        del self._start_of[start + length]
        bucket = self._buckets[length.bit_length()]
        del bucket[bisect_left(bucket, start)]
        self._size -= length
        return length
