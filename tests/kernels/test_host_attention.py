"""Attention on a CPU against a twin that spells out every query, key and block in numpy."""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlx_backends.kernels.host_attention import attend
from mlx_backends.kernels.host_context import Contexts
from mlx_backends.kernels.host_exp import exp_of_difference

BLOCK = 16


def plain_attention(q, k_pool, v_pool, tables, lengths, *, scale, window, soft_cap, sinks):
    """One query of one head at a time, in float64."""
    batch, num_heads, num_new, _ = q.shape
    group = num_heads // k_pool.shape[0]
    out = np.zeros((batch, num_heads, num_new, v_pool.shape[-1]))
    for row in range(batch):
        slots = [tables[row][p // BLOCK] * BLOCK + p % BLOCK for p in range(lengths[row])]
        for head in range(num_heads):
            keys, values = k_pool[head // group, slots], v_pool[head // group, slots]
            for i in range(num_new):
                last = lengths[row] - num_new + i
                first = 0 if window is None else max(0, last - window + 1)
                scores = keys[first : last + 1] @ q[row, head, i] * scale
                if soft_cap is not None:
                    scores = soft_cap * np.tanh(scores / soft_cap)
                extra = [] if sinks is None else [sinks[head]]
                weights = np.exp(np.concatenate([scores, extra]))
                weights /= weights.sum()
                out[row, head, i] = weights[: len(scores)] @ values[first : last + 1]
    return out


def random_case(rng, *, num_kv_heads, group, width, value_width, num_new, lengths, consecutive):
    num_blocks = sum(-(-n // BLOCK) for n in lengths) + 3
    free = list(range(1, num_blocks)) if consecutive else list(rng.permutation(num_blocks))
    tables = [[int(free.pop(0)) for _ in range(-(-n // BLOCK))] for n in lengths]
    shape = (num_kv_heads, num_blocks * BLOCK)
    return (
        rng.standard_normal((len(lengths), num_kv_heads * group, num_new, width)),
        rng.standard_normal((*shape, width)),
        rng.standard_normal((*shape, value_width)),
        tables,
        lengths,
    )


def assert_as_plain(case, *, window=None, soft_cap=None, sinks=None, dtype=mx.float32, atol=2e-6):
    q, k_pool, v_pool, tables, lengths = case
    arrays = [mx.array(a, dtype=mx.float32).astype(dtype) for a in (q, k_pool, v_pool)]
    rounded = [np.array(a.astype(mx.float32), dtype=np.float64) for a in arrays]
    options = {"scale": q.shape[-1] ** -0.5, "window": window, "soft_cap": soft_cap}
    sinks_array = None if sinks is None else mx.array(sinks, dtype=mx.float32)
    out = attend(*arrays, Contexts(tables, lengths, BLOCK), sinks=sinks_array, **options)
    assert out.dtype == dtype
    expected = plain_attention(*rounded, tables, lengths, sinks=sinks, **options)
    np.testing.assert_allclose(np.array(out.astype(mx.float32)), expected, atol=atol, rtol=1e-5)


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_any_shape_agrees_with_the_plain_twin(data):
    num_new = data.draw(st.sampled_from([1, 1, 2, 7, 65]))
    lengths = data.draw(st.lists(st.integers(num_new, num_new + 90), min_size=1, max_size=3))
    group = data.draw(st.sampled_from([1, 2, 3]))
    num_kv_heads = data.draw(st.sampled_from([1, 2]))
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    case = random_case(
        rng,
        num_kv_heads=num_kv_heads,
        group=group,
        width=data.draw(st.sampled_from([8, 64])),
        value_width=data.draw(st.sampled_from([8, 64])),
        num_new=num_new,
        lengths=lengths,
        consecutive=data.draw(st.booleans()),
    )
    has_sinks = data.draw(st.booleans())
    assert_as_plain(
        case,
        window=data.draw(st.sampled_from([None, 1, 5, 40])),
        soft_cap=data.draw(st.sampled_from([None, 2.0])),
        sinks=rng.standard_normal(num_kv_heads * group) if has_sinks else None,
    )


@pytest.mark.parametrize("num_new", [1, 130])
def test_long_context(num_new):
    rng = np.random.default_rng(0)
    case = random_case(
        rng,
        num_kv_heads=2,
        group=2,
        width=64,
        value_width=64,
        num_new=num_new,
        lengths=[3_000],
        consecutive=True,
    )
    assert_as_plain(case)


@pytest.mark.parametrize("window", [None, 100, 300])
@pytest.mark.parametrize("num_new", [1, 3])
def test_a_few_long_runs(num_new, window):
    """A prompt that was found in the cache, and blocks of its own behind it."""
    rng = np.random.default_rng(4)
    length = 450
    case = random_case(
        rng,
        num_kv_heads=2,
        group=2,
        width=16,
        value_width=8,
        num_new=num_new,
        lengths=[length],
        consecutive=True,
    )
    tables = [[*range(12, 22), *range(1, 12), *range(22, 30)]]
    assert_as_plain((*case[:3], tables, [length]), window=window)


@pytest.mark.parametrize(("dtype", "atol"), [(mx.float16, 2e-3), (mx.bfloat16, 1.5e-2)])
def test_half_precision_pools(dtype, atol):
    rng = np.random.default_rng(1)
    case = random_case(
        rng,
        num_kv_heads=2,
        group=3,
        width=64,
        value_width=64,
        num_new=3,
        lengths=[40, 7],
        consecutive=False,
    )
    assert_as_plain(case, dtype=dtype, atol=atol)


def test_what_another_sequence_left_behind_is_not_read():
    """Slots after a row's last token hold NaN, as after a model that failed."""
    rng = np.random.default_rng(5)
    case = random_case(
        rng,
        num_kv_heads=2,
        group=2,
        width=8,
        value_width=8,
        num_new=1,
        lengths=[5, 33, 20],
        consecutive=False,
    )
    _, k_pool, v_pool, tables, lengths = case
    used = {
        table[p // BLOCK] * BLOCK + p % BLOCK
        for table, length in zip(tables, lengths, strict=True)
        for p in range(length)
    }
    unused = [slot for slot in range(k_pool.shape[1]) if slot not in used]
    k_pool[:, unused] = np.nan
    v_pool[:, unused] = np.nan
    assert_as_plain(case)


def test_scores_that_overflow_a_naive_softmax():
    rng = np.random.default_rng(2)
    case = random_case(
        rng,
        num_kv_heads=1,
        group=1,
        width=8,
        value_width=8,
        num_new=1,
        lengths=[50],
        consecutive=True,
    )
    q, k_pool, v_pool, tables, lengths = case
    out = attend(
        mx.array(q * 1e3, dtype=mx.float32),
        mx.array(k_pool, dtype=mx.float32),
        mx.array(v_pool, dtype=mx.float32),
        Contexts(tables, lengths, BLOCK),
        scale=1.0,
    )
    best = np.argmax(k_pool[0, tables[0][0] * BLOCK :][:50] @ q[0, 0, 0])
    np.testing.assert_allclose(
        np.array(out)[0, 0, 0], v_pool[0, tables[0][0] * BLOCK + best], rtol=1e-5
    )


def test_consecutive_blocks_are_read_in_place():
    """A step over a long run of blocks allocates far less than a copy of them."""
    keys, values = mx.zeros((4, 4_096, 64)), mx.zeros((4, 4_096, 64))
    q = mx.zeros((1, 4, 1, 64))
    mx.eval(keys, values, q)
    mx.synchronize()
    mx.reset_peak_memory()
    before = mx.get_active_memory()
    tables = [list(range(1, 255))]
    mx.eval(attend(q, keys, values, Contexts(tables, [254 * BLOCK], BLOCK), scale=1.0))
    assert mx.get_peak_memory() - before < keys.nbytes / 4


class TestExp:
    def test_is_as_exact_as_that_of_mlx(self):
        x = mx.linspace(-87.0, 88.0, 100_001)
        expected = np.exp(np.array(x, dtype=np.float64))
        found = np.array(exp_of_difference(x, mx.array(0.0)))
        np.testing.assert_allclose(found, expected, rtol=8e-6)

    def test_special_numbers(self):
        x = mx.array([0.0, -0.0, -mx.inf, -1e30, -200.0])
        found = np.array(exp_of_difference(x, mx.array(0.0)))
        np.testing.assert_allclose(found, [1.0, 1.0, 0.0, 0.0, 0.0], atol=1.2e-38, rtol=0)

    @pytest.mark.parametrize("length", [1, 7, 64, 1_000])
    def test_nan_stays_nan_where_it_is(self, length):
        x = np.linspace(-90, 88, 3 * length, dtype=np.float32).reshape(length, 3)
        x[::2, 1] = np.nan
        found = np.array(exp_of_difference(mx.array(x), mx.zeros((length, 1))))
        np.testing.assert_array_equal(np.isnan(found), np.isnan(x))
        offset = np.where(np.arange(length) % 3, 0, np.nan).astype(np.float32)[:, None]
        found = np.array(exp_of_difference(mx.array(x), mx.array(offset)))
        np.testing.assert_array_equal(np.isnan(found), np.isnan(x - offset))

    def test_broadcasts(self):
        x, offset = mx.random.normal((3, 5, 7)), mx.random.normal((3, 5, 1))
        np.testing.assert_allclose(
            np.array(exp_of_difference(x, offset)), np.exp(np.array(x - offset)), rtol=2e-6
        )
