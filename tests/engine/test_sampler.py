"""The sampler against plain numpy, and the independence of rows."""

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.sample_utils import make_logits_processors

from mlx_backends.core import SamplingParams
from mlx_backends.engine.sampler import RowContext, sample, top_logprobs

WIDTH = 50


def logits_rows(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(scale=2.0, size=(count, WIDTH)).astype(np.float32)


def draws(logits: np.ndarray, params: SamplingParams, count: int) -> np.ndarray:
    """``count`` draws from one row, each with a seed of its own."""
    rows = [RowContext(params, seed=seed) for seed in range(count)]
    return np.array(sample(mx.array(np.repeat(logits[None], count, 0)), rows).token_ids)


def softmax(logits: np.ndarray) -> np.ndarray:
    weights = np.exp(logits - logits.max())
    return weights / weights.sum()


def support(logits: np.ndarray, params: SamplingParams) -> set[int]:
    """Tokens that may be drawn, by the definitions of the parameters."""
    probabilities = softmax(logits)
    order = np.argsort(-probabilities)
    kept, mass = set(), 0.0
    for rank, token in enumerate(order):
        in_top_p = mass < params.top_p
        in_top_k = params.top_k == 0 or rank < params.top_k
        in_min_p = probabilities[token] >= params.min_p * probabilities[order[0]]
        if in_top_p and in_top_k and in_min_p:
            kept.add(int(token))
        mass += probabilities[token]
    return kept


def test_greedy_is_argmax_in_every_row():
    logits = logits_rows(8)
    sampled = sample(mx.array(logits), [RowContext(SamplingParams(), seed=i) for i in range(8)])
    assert np.array_equal(np.array(sampled.token_ids), logits.argmax(-1))


def test_logprobs_are_log_softmax_before_temperature():
    logits = logits_rows(3)
    rows = [RowContext(SamplingParams(temperature=3.0, top_k=2), seed=i) for i in range(3)]
    got = np.array(sample(mx.array(logits), rows).logprobs)
    np.testing.assert_allclose(got, np.log([softmax(row) for row in logits]), atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"top_k": 5},
        {"top_p": 0.7},
        {"min_p": 0.1},
        {"top_p": 0.9, "top_k": 7, "min_p": 0.02},
        {"top_p": 0.0},
        {"top_k": 1},
    ],
)
def test_truncation_draws_from_its_support_and_all_of_it(options):
    logits = logits_rows(1, seed=3)[0]
    params = SamplingParams(temperature=1.5, **options)
    expected = support(logits, params) or {int(logits.argmax())}
    assert set(draws(logits, params, 2_000).tolist()) == expected


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
def test_draws_follow_the_tempered_distribution(temperature):
    logits = logits_rows(1, seed=5)[0]
    expected = softmax(logits / temperature)
    count = 5_000
    counts = np.bincount(draws(logits, SamplingParams(temperature=temperature), count), None, WIDTH)
    # Five standard deviations of each cell: fails by chance once in a million.
    slack = 5 * np.sqrt(count * expected * (1 - expected)) + 5
    assert (np.abs(counts - count * expected) < slack).all()


def test_a_row_draws_the_same_whatever_stands_beside_it():
    logits = logits_rows(4, seed=7)
    params = [
        SamplingParams(temperature=0.9, top_p=0.8),
        SamplingParams(),
        SamplingParams(temperature=2.0),
        SamplingParams(temperature=0.7, top_k=3, repetition_penalty=1.3),
    ]
    rows = [RowContext(p, seed=i, prompt_tail=(1, 2, 3)) for i, p in enumerate(params)]
    together = np.array(sample(mx.array(logits), rows).token_ids)
    alone = [int(sample(mx.array(logits[i : i + 1]), [rows[i]]).token_ids.item()) for i in range(4)]
    assert together.tolist() == alone


def test_the_position_changes_the_draw_and_the_seed_repeats_it():
    logits = mx.array(logits_rows(1) * 0)
    params = SamplingParams(temperature=1.0)

    def stream(seed: int) -> list[int]:
        rows = [RowContext(params, seed, output_token_ids=[0] * n) for n in range(30)]
        return [int(sample(logits, [row]).token_ids.item()) for row in rows]

    assert stream(1) == stream(1)
    assert stream(1) != stream(2)
    assert len(set(stream(1))) > 15


def test_penalties_equal_mlx_lm():
    logits = logits_rows(1, seed=9)
    history = [3, 7, 7, 11, 3]
    options = {"repetition_penalty": 1.4, "presence_penalty": 0.5, "frequency_penalty": 0.25}
    row = RowContext(SamplingParams(**options), seed=0, output_token_ids=history)
    got = np.array(sample(mx.array(logits), [row]).logprobs)
    expected = mx.array(logits)
    for processor in make_logits_processors(**options):
        expected = processor(mx.array(history), expected)
    expected = expected - mx.logsumexp(expected, axis=-1, keepdims=True)
    np.testing.assert_allclose(got, np.array(expected), atol=1e-5)


def test_forbidden_ids_are_never_drawn():
    logits = np.zeros((1, 4), np.float32)
    logits[0, 2] = 50.0
    row = RowContext(SamplingParams(), seed=0, forbidden_token_ids=[2])
    assert int(sample(mx.array(logits), [row]).token_ids.item()) != 2


def test_a_bitmask_allows_its_tokens_only_and_its_row_only():
    logits = logits_rows(3, seed=4)
    allowed = [1, 31, 32, 49]
    words = np.zeros(2, dtype=np.uint32)
    for token in allowed:
        words[token // 32] |= np.uint32(1) << np.uint32(token % 32)
    masks = [None, words, words[:1]]  # the last is short: nothing from 32 on
    rows = [RowContext(SamplingParams(), seed=0, allowed_bitmask=mask) for mask in masks]
    got = sample(mx.array(logits), rows)
    free, *held = got.token_ids.tolist()
    assert free == logits[0].argmax()
    assert held == [
        max(allowed, key=lambda t: logits[1, t]),
        max([1, 31], key=lambda t: logits[2, t]),
    ]
    assert np.isneginf(np.array(got.logprobs)[1]).sum() == WIDTH - len(allowed)


def test_penalties_of_several_rows_touch_their_own_row_only():
    logits = logits_rows(3, seed=6)
    rows = [
        RowContext(SamplingParams(repetition_penalty=2.0), seed=0, prompt_tail=(1, 2)),
        RowContext(SamplingParams(), seed=0, prompt_tail=(1, 2), output_token_ids=[3]),
        RowContext(SamplingParams(presence_penalty=1.0), seed=0, output_token_ids=[3, 3]),
    ]
    expected = logits.copy()
    for token in (1, 2):
        expected[0, token] *= 2.0 if expected[0, token] < 0 else 0.5
    expected[2, 3] -= 1.0
    expected = np.log([softmax(row) for row in expected])
    np.testing.assert_allclose(
        np.array(sample(mx.array(logits), rows).logprobs), expected, atol=1e-5
    )


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_logits_are_seen_in_their_row_only(bad):
    logits = logits_rows(3)
    logits[1, 4] = bad
    rows = [RowContext(SamplingParams(), seed=i) for i in range(3)]
    highest = sample(mx.array(logits), rows).highest
    assert mx.isfinite(highest).tolist() == [True, False, True]


def test_minus_infinity_is_a_legal_logit():
    logits = logits_rows(1)
    logits[0, :10] = -np.inf
    sampled = sample(mx.array(logits), [RowContext(SamplingParams(), seed=0)])
    assert mx.isfinite(sampled.highest).tolist() == [True]


def test_top_logprobs_are_sorted():
    logprobs = mx.array(np.log(softmax(logits_rows(1)[0])))
    ids, values = top_logprobs(logprobs, 5)
    assert ids.tolist() == np.argsort(-np.array(logprobs))[:5].tolist()
    assert values.tolist() == sorted(values.tolist(), reverse=True)
