import mlx.core as mx
import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlx_backends.pooling import pool
from mlx_backends.pooling.batching import pad, plan_batches

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


def test_normalize_gives_unit_length_and_keeps_zeros():
    vectors = pool.normalize(mx.array([[3.0, 4.0], [0.0, 0.0]]))
    np.testing.assert_allclose(vectors, [[0.6, 0.8], [0.0, 0.0]], rtol=1e-6)


@given(st.lists(st.integers(0, 40)), st.integers(1, 100))
def test_batches_hold_every_text_once_within_the_budget(lengths, budget):
    batches = plan_batches(lengths, budget)
    assert sorted(index for batch in batches for index in batch) == list(range(len(lengths)))
    for batch in batches:
        padded = max(1, *(lengths[index] for index in batch)) * len(batch)
        assert padded <= budget or len(batch) == 1


@given(st.lists(st.integers(0, 40)), st.integers(1, 100))
def test_batches_go_from_long_to_short(lengths, budget):
    ordered = [lengths[index] for batch in plan_batches(lengths, budget) for index in batch]
    assert ordered == sorted(lengths, reverse=True)


def test_equal_lengths_fill_batches():
    assert plan_batches([10] * 7, 30) == [[0, 1, 2], [3, 4, 5], [6]]


def test_padding_is_on_the_right():
    assert pad([[4, 5], [6]]).tolist() == [[4, 5], [6, 0]]


def test_a_batch_of_texts_without_tokens_is_one_wide():
    assert pad([[], []]).shape == (2, 1)
