"""Who holds which block of the KV pool. Knows ids and counts, not tokens or arrays.

A block is in use (a sequence refers to it), idle (nobody does, but its content is worth keeping) or
free. Idle blocks are given out last, the least recently used first.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable

from mlx_backends.cache.free_runs import FreeRuns


class BlockPool:
    """Reference counts of ``num_blocks`` blocks, ids 0 to ``num_blocks - 1``.

    Args:
        num_blocks: Size of the pool.
        on_evict: Called with the id of an idle block before it is given out again.
    """

    def __init__(self, num_blocks: int, on_evict: Callable[[int], None]) -> None:
        self.num_blocks = num_blocks
        self._on_evict = on_evict
        self._ref_counts = [0] * num_blocks
        self._free = FreeRuns(num_blocks)
        self._kept: set[int] = set()
        self._idle: OrderedDict[int, None] = OrderedDict()

    @property
    def num_available(self) -> int:
        """Blocks that can be allocated: the free ones and the idle ones."""
        return len(self._free) + len(self._idle)

    @property
    def num_idle(self) -> int:
        return len(self._idle)

    @property
    def num_in_use(self) -> int:
        return self.num_blocks - self.num_available

    def is_in_use(self, block_id: int) -> bool:
        return self._ref_counts[block_id] > 0

    def allocate(self, count: int, *, after: int | None = None, room: int = 0) -> list[int]:
        """Take ``count`` blocks, which must be available, with one reference each.

        Args:
            count: How many.
            after: The sequence's last block so far; the new ones go on from it where they can.
            room: Blocks that the sequence will need in all, to choose the place by.
        """
        assert count <= self.num_available, f"{count} blocks of {self.num_available}"
        while len(self._free) < count:
            self._evict()
        block_ids = self._free.take(count, after=after, room=room)
        for block_id in block_ids:
            self._ref_counts[block_id] = 1
        return block_ids

    def share(self, block_ids: Iterable[int]) -> None:
        """Add a reference to each block, all of them in use or idle."""
        counts, idle = self._ref_counts, self._idle
        for block_id in block_ids:
            if counts[block_id] == 0:
                del idle[block_id]
            counts[block_id] += 1

    def release(self, block_ids: Iterable[int]) -> None:
        """Drop a reference to each block; those released first are evicted first."""
        for block_id in block_ids:
            assert self._ref_counts[block_id] > 0, f"block {block_id} is released twice"
            self._ref_counts[block_id] -= 1
            if self._ref_counts[block_id] > 0:
                continue
            if block_id in self._kept:
                self._idle[block_id] = None
            else:
                self._free.add(block_id)

    def keep(self, block_id: int) -> None:
        """Let a block in use become idle, not free, when its last reference goes."""
        self._kept.add(block_id)

    def forget(self, block_id: int) -> None:
        """Undo ``keep``; an idle block becomes free."""
        self._kept.discard(block_id)
        if block_id in self._idle:
            del self._idle[block_id]
            self._free.add(block_id)

    def check_integrity(self) -> None:
        """Assert that every block is in use, idle or free, and in one of them only; O(blocks)."""
        self._free.check_integrity()
        free = set(self._free)
        for block_id, count in enumerate(self._ref_counts):
            states = (count > 0) + (block_id in self._idle) + (block_id in free)
            assert count >= 0, f"block {block_id} has {count} references"
            assert states == 1, f"block {block_id} is in {states} states"
        assert self._kept.issuperset(self._idle), "an idle block is not kept"
        assert self._kept.isdisjoint(free), "a free block is kept"

    def ref_count(self, block_id: int) -> int:
        return self._ref_counts[block_id]

    def kept(self) -> frozenset[int]:
        """The ids that ``keep`` was called for and that were neither forgotten nor evicted."""
        return frozenset(self._kept)

    def _evict(self) -> None:
        block_id, _ = self._idle.popitem(last=False)
        self._on_evict(block_id)
        self._kept.remove(block_id)
        self._free.add(block_id)
