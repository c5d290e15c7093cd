"""The pool's arithmetic: slots, growth and copies keep every block where it belongs."""

from itertools import pairwise

import mlx.core as mx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlx_backends.cache.kv_pool import KVPool, LayerShape

LAYERS = [LayerShape(2, 8, 8), LayerShape(1, 16, 8, window=4)]


@given(
    st.permutations(range(7)),
    st.sampled_from([1, 4, 16]),
    st.integers(0, 6),
    st.integers(0, 60),
)
def test_runs_are_the_slots_of_the_positions(block_ids, size, first_block, length):
    pool = KVPool([], 7, size, mx.float32)
    start = min(first_block * size + size // 2, 7 * size)
    stop = min(start + length, 7 * size)
    runs = pool.slots(block_ids, start, stop)
    slots = [slot for first, end in runs for slot in range(first, end)]
    assert slots == [block_ids[p // size] * size + p % size for p in range(start, stop)]
    assert all(a[1] != b[0] for a, b in pairwise(runs))  # none could be joined


def test_growing_keeps_the_entries():
    pool = KVPool(LAYERS, 3, 4, mx.float32)
    pool.keys[0][:] = mx.arange(16)[None, :, None]
    before = mx.array(pool.keys[0])
    pool.grow(10)
    assert pool.keys[0].shape == (2, 44, 8)
    assert pool.values[1].shape == (1, 44, 8)
    assert mx.array_equal(pool.keys[0][:, :16], before)
    assert pool.nbytes == sum(array.nbytes for array in pool.arrays)
    pool.grow(5)
    assert pool.num_blocks == 10


def test_copying_a_block_copies_it_in_every_layer_and_nothing_else():
    pool = KVPool(LAYERS, 3, 4, mx.float32)
    for arrays in (pool.keys, pool.values):
        for array in arrays:
            array[:] = mx.random.normal(array.shape)
    before = [mx.array(array) for array in pool.arrays]
    pool.copy_block(0, 2)
    for old, new in zip(before, pool.arrays, strict=True):
        assert mx.array_equal(new[:, 8:12], old[:, 0:4])
        assert mx.array_equal(new[:, :8], old[:, :8])
        assert mx.array_equal(new[:, 12:], old[:, 12:])


@pytest.mark.parametrize("heads", [1, 4])
def test_copying_blocks_does_not_copy_the_pool(heads):
    with mx.stream(mx.cpu):
        pool = KVPool([LayerShape(heads, 64, 64)] * 2, 256, 16, mx.float32)
        held = mx.get_active_memory()
        mx.reset_peak_memory()
        for target in range(1, 9):
            pool.copy_block(0, target)
        mx.eval(pool.arrays)
        assert mx.get_peak_memory() - held < pool.nbytes // 8


@pytest.mark.parametrize(("bits", "numbers"), [(None, 4.0), (8, 34 / 32), (4, 27 / 32)])
def test_bytes_are_those_of_the_arrays(bits, numbers):
    """A row of 8 bits has a scale of two bytes, 32 numbers of 4 bits a scale and a bias."""
    pool = KVPool(
        [LayerShape(2, 32, 32)] * 3,
        9,
        16,
        mx.float32,
        kv_bits=bits,
    )
    assert pool.bytes_per_block == 3 * 2 * 2 * 16 * 32 * numbers
    assert pool.nbytes == 10 * pool.bytes_per_block
