"""Free runs and reference counts, against plain sets."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from mlx_backends.cache.block_pool import BlockPool
from mlx_backends.cache.free_runs import FreeRuns


@given(st.integers(1, 60), st.lists(st.tuples(st.booleans(), st.integers(0, 59))))
def test_free_runs_are_a_set(num_blocks, operations):
    runs, free = FreeRuns(num_blocks), set(range(num_blocks))
    for is_take, number in operations:
        if is_take:
            after = number if number < num_blocks and number not in free else None
            taken = runs.take(min(number, len(free)), after=after, room=number)
            assert len(set(taken)) == len(taken)
            assert free.issuperset(taken)
            free.difference_update(taken)
        elif number < num_blocks and number not in free:
            runs.add(number)
            free.add(number)
        runs.check_integrity()
        assert list(runs) == sorted(free)
        assert len(runs) == len(free)


def test_a_sequence_goes_on_where_it_ended():
    runs = FreeRuns(100)
    first = runs.take(4, after=None, room=14)
    other = runs.take(4, after=None, room=14)
    more = runs.take(10, after=first[-1], room=14)
    assert first + more == list(range(first[0], first[0] + 14))
    assert not set(other) & set(more)


def test_sequences_that_grow_side_by_side_stay_in_one_run():
    """32 sequences decode in turn; each finds the block after its own."""
    runs = FreeRuns(4_096)
    tables = [runs.take(3, after=None, room=43) for _ in range(32)]
    for _ in range(40):
        for table in tables:
            table += runs.take(1, after=table[-1], room=1)
    assert [table == list(range(table[0], table[0] + 43)) for table in tables] == [True] * 32


def test_ids_come_from_the_low_end_again_and_again():
    """Requests come and go; the highest id in use, which a pool grows to, does not creep."""
    runs = FreeRuns(4_096)
    for _ in range(100):
        tables = [runs.take(9, after=None, room=12) for _ in range(8)]
        assert max(map(max, tables)) < 8 * 12 * 2
        for block_id in (block_id for table in tables for block_id in table):
            runs.add(block_id)


def test_a_prompt_of_the_whole_pool_is_one_run():
    assert FreeRuns(50).take(10, after=None, room=50) == list(range(10))


def test_idle_blocks_are_evicted_last_and_oldest_first():
    evicted = []
    pool = BlockPool(6, evicted.append)
    blocks = pool.allocate(4)
    for block_id in blocks[:3]:
        pool.keep(block_id)
    pool.release(blocks)
    assert (pool.num_available, pool.num_idle) == (6, 3)
    pool.allocate(3)
    assert evicted == []
    pool.share([blocks[0]])
    assert set(pool.allocate(2)) == set(blocks[1:3])
    assert evicted == blocks[1:3]
    assert pool.num_available == 0
    pool.check_integrity()


def test_a_forgotten_idle_block_is_free_at_once():
    pool = BlockPool(2, on_evict=pytest.fail)
    (block,) = pool.allocate(1)
    pool.keep(block)
    pool.release([block])
    pool.forget(block)
    assert len(pool.allocate(2)) == 2


def test_releasing_twice_is_caught():
    pool = BlockPool(2, on_evict=pytest.fail)
    blocks = pool.allocate(1)
    pool.release(blocks)
    with pytest.raises(AssertionError, match="released twice"):
        pool.release(blocks)


class PoolMachine(RuleBasedStateMachine):
    """Holders take, share, keep and release blocks; counts are kept in a plain list beside."""

    @initialize(num_blocks=st.integers(1, 12))
    def start(self, num_blocks):
        self.cached = set()
        self.pool = BlockPool(num_blocks, on_evict=self.cached.remove)
        self.holders = []

    @rule(count=st.integers(0, 12), room=st.integers(0, 12))
    def allocate(self, count, room):
        count = min(count, self.pool.num_available)
        blocks = self.pool.allocate(count, room=room)
        assert not set(blocks) & {b for holder in self.holders for b in holder}
        assert not set(blocks) & self.cached
        self.holders.append(blocks)

    @precondition(lambda self: self.cached)
    @rule(data=st.data())
    def share(self, data):
        block = data.draw(st.sampled_from(sorted(self.cached)))
        self.pool.share([block])
        self.holders.append([block])

    @precondition(lambda self: any(self.holders))
    @rule(data=st.data())
    def keep(self, data):
        block = data.draw(st.sampled_from(sorted({b for h in self.holders for b in h})))
        self.pool.keep(block)
        self.cached.add(block)

    @precondition(lambda self: self.cached)
    @rule(data=st.data())
    def forget(self, data):
        block = data.draw(st.sampled_from(sorted(self.cached)))
        self.pool.forget(block)
        self.cached.remove(block)

    @precondition(lambda self: self.holders)
    @rule(data=st.data())
    def release(self, data):
        index = data.draw(st.integers(0, len(self.holders) - 1))
        self.pool.release(self.holders.pop(index))

    @invariant()
    def counts_agree(self):
        self.pool.check_integrity()
        held = [block for holder in self.holders for block in holder]
        assert self.pool.num_in_use == len(set(held))
        assert self.pool.kept() == self.cached
        for block in range(self.pool.num_blocks):
            assert self.pool.ref_count(block) == held.count(block)


TestPool = PoolMachine.TestCase
