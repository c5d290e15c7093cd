import itertools

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlx_backends.pooling import packed_pool, pool
from mlx_backends.pooling.batching import BatchLimits, BatchQueue, Call, pad, rounded_up, token_mask

HIDDEN = mx.array([[[1.0, 2.0], [3.0, 4.0], [9.0, 9.0]], [[5.0, 6.0], [7.0, 8.0], [1.0, 0.0]]])
MASK = mx.array([[True, True, False], [True, True, True]])
NO_TOKENS = mx.array([[False, False, False], [True, True, True]])


def test_mean_leaves_padding_out():
    np.testing.assert_allclose(pool.mean(HIDDEN, MASK), [[2.0, 3.0], [13 / 3, 14 / 3]], rtol=1e-6)


def test_mean_of_no_tokens_is_zero():
    assert pool.mean(HIDDEN, NO_TOKENS)[0].tolist() == [0.0, 0.0]


def test_cls_is_the_first_token():
    assert pool.cls(HIDDEN, MASK).tolist() == [[1.0, 2.0], [5.0, 6.0]]


def test_last_token_leaves_padding_out():
    assert pool.last_token(HIDDEN, MASK).tolist() == [[3.0, 4.0], [1.0, 0.0]]
    assert pool.last_token(HIDDEN, NO_TOKENS)[0].tolist() == [1.0, 2.0]


@pytest.mark.parametrize("name", list(pool.POOLINGS))
@pytest.mark.parametrize("mask", [MASK, NO_TOKENS])
def test_texts_laid_end_to_end_give_what_padded_ones_give(name, mask):
    lengths = np.array(mask).sum(axis=1)
    ends = np.maximum(lengths, 1)
    hidden = np.concatenate([row[:end] for row, end in zip(np.array(HIDDEN), ends, strict=True)])
    starts = np.concatenate([[0], np.cumsum(ends)])
    pooled = packed_pool.POOLINGS[name](hidden, starts, lengths)
    np.testing.assert_allclose(pooled, pool.POOLINGS[name](HIDDEN, mask), rtol=1e-6)


def test_normalize_gives_unit_length_and_keeps_zeros():
    vectors = pool.normalize(mx.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(vectors, [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)


def rows_of(*lengths: int) -> list[range]:
    return [range(length) for length in lengths]


def drained(queue: BatchQueue, limits: BatchLimits) -> list[list[tuple[Call, int]]]:
    batches = []
    while queue:
        batches.append(queue.take(limits))
    return batches


def batches_of(lengths: list[int], limits: BatchLimits) -> list[list[int]]:
    queue = BatchQueue()
    queue.add(Call(rows_of(*lengths), print))
    return [[index for _, index in batch] for batch in drained(queue, limits)]


LIMITS = st.builds(
    BatchLimits, st.integers(1, 100), st.integers(0, 60), st.booleans(), st.just(True)
)
PACKED_LIMITS = st.builds(BatchLimits, st.integers(1, 100), st.just(0), has_padding=st.just(False))


@given(st.lists(st.integers(0, 40), min_size=1), LIMITS)
def test_batches_hold_every_row_once_within_the_limits(lengths, limits):
    batches = batches_of(lengths, limits)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        longest = max(lengths[index] for index in batch)
        assert limits.padded_length(longest) * len(batch) <= limits.max_tokens or len(batch) == 1
        assert sum(longest - lengths[index] for index in batch) <= limits.pass_tokens


@given(st.lists(st.integers(0, 40), min_size=1), PACKED_LIMITS)
def test_batches_without_padding_are_as_full_as_the_limit_allows(lengths, limits):
    batches = [[lengths[index] for index in batch] for batch in batches_of(lengths, limits)]
    assert sorted(itertools.chain(*batches)) == sorted(lengths)
    for batch, following in itertools.pairwise(batches):
        assert limits.tokens_of([*batch, following[0]]) > limits.max_tokens
    for batch in batches:
        assert limits.tokens_of(batch) <= limits.max_tokens or len(batch) == 1


@given(st.lists(st.integers(0, 40), min_size=1), LIMITS)
def test_batches_of_one_call_go_from_long_to_short(lengths, limits):
    ordered = [lengths[index] for batch in batches_of(lengths, limits) for index in batch]
    assert ordered == sorted(lengths, reverse=True)


@given(st.lists(st.lists(st.integers(0, 40), min_size=1, max_size=9), max_size=6), LIMITS)
def test_rows_of_several_calls_share_batches(lengths_of_calls, limits):
    queue = BatchQueue()
    calls = [Call(rows_of(*lengths), print) for lengths in lengths_of_calls]
    for call in calls:
        queue.add(call)
    batches = drained(queue, limits)
    places = [(calls.index(call), index) for batch in batches for call, index in batch]
    assert sorted(places) == [
        (c, i) for c, ls in enumerate(lengths_of_calls) for i in range(len(ls))
    ]


def test_equal_lengths_fill_batches():
    assert batches_of([10] * 7, BatchLimits(30, 0)) == [[0, 1, 2], [3, 4, 5], [6]]


def test_a_batch_ends_where_padding_costs_more_than_a_pass():
    assert batches_of([50, 48, 10, 9], BatchLimits(1_000, 5)) == [[0, 1], [2, 3]]
    assert batches_of([50, 48, 10, 9], BatchLimits(1_000, 500)) == [[0, 1, 2, 3]]


def test_a_short_call_does_not_wait_for_a_long_one():
    queue = BatchQueue()
    long, short = Call(rows_of(*[40] * 50), print), Call(rows_of(3), print)
    queue.add(long)
    limits = BatchLimits(40, 0)
    queue.take(limits)
    queue.add(short)
    assert [call for _ in range(2) for call, _ in queue.take(limits)].count(short) == 1


def test_a_dropped_call_is_not_computed():
    queue = BatchQueue()
    dropped, kept = Call(rows_of(5, 6), print), Call(rows_of(5), print)
    queue.add(dropped)
    queue.add(kept)
    queue.drop(dropped)
    assert drained(queue, BatchLimits(100, 100)) == [[(kept, 0)]]
    assert not queue


@given(st.integers(1, 100_000))
def test_buckets_are_few_and_close(number):
    rounded = rounded_up(number)
    assert number <= rounded <= 1.25 * number + 1e-9
    assert rounded == rounded_up(rounded)
    assert len({rounded_up(n) for n in range(1, 513)}) < 40


def test_buckets_widen_a_batch_with_padding_only():
    assert pad([[4, 5], [6]], width=3, height=3).tolist() == [[4, 5, 0], [6, 0, 0], [0, 0, 0]]
    mask = token_mask([[4, 5], [6]], width=3, height=3)
    assert mask.tolist() == [[True, True, False], [True, False, False], [False] * 3]


def test_padding_is_on_the_right():
    assert pad([[4, 5], [6]]).tolist() == [[4, 5], [6, 0]]


def test_a_batch_of_texts_without_tokens_is_one_wide():
    assert pad([[], []]).shape == (2, 1)
