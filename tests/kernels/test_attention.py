"""Attention and fused decode, on the emulator and on a GPU, against numpy in float64."""

import mlx.core as mx
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlx_backends import kernels
from mlx_backends.errors import ConfigError
from mlx_backends.kernels import QuantizedPool, Tuning, emulator, reference

F32, F16, BF16 = mx.float32, mx.float16, mx.bfloat16

# Each value of each dimension appears, and the pairs that share code; the full product is slow.
SHAPES = [
    {"dtype": F32, "head_dim": 64, "group_heads": 1, "block_size": 16, "lengths": (1, 16, 17, 300)},
    {"dtype": F16, "head_dim": 80, "group_heads": 2, "block_size": 8, "lengths": (9, 600)},
    {"dtype": BF16, "head_dim": 96, "group_heads": 4, "block_size": 32, "lengths": (33, 2)},
    {"dtype": BF16, "head_dim": 128, "group_heads": 8, "block_size": 16, "lengths": (1, 700)},
    {"dtype": F32, "head_dim": 256, "group_heads": 4, "block_size": 8, "lengths": (100, 3)},
    {"dtype": F32, "head_dim": 16, "group_heads": 3, "block_size": 32, "lengths": (40,)},
    {"dtype": BF16, "head_dim": 64, "group_heads": 4, "lengths": (1, 513, 2_049, 5_000)},
]
OPTIONS = [
    {"window": 50, "lengths": (30, 49, 50, 51, 900)},
    {"soft_cap": 3.0, "has_sinks": True, "dtype": F16, "head_dim": 80, "lengths": (7, 90)},
    {"window": 64, "soft_cap": 3.0, "has_sinks": True, "lengths": (3, 1_200), "group_heads": 2},
    {"k_bits": 8, "v_bits": 8, "lengths": (5, 700)},
    {"k_bits": 8, "v_bits": 4, "dtype": BF16, "head_dim": 128, "lengths": (1, 260)},
    {"k_bits": 8, "v_bits": 4, "dtype": F16, "head_dim": 80, "group_heads": 1, "lengths": (66, 2)},
]
SEVERAL_QUERIES = [
    {"queries": 2, "group_heads": 3, "lengths": (2, 3, 600)},
    {"queries": 8, "group_heads": 8, "dtype": F16, "lengths": (8, 40), "block_size": 8},
    {"queries": 4, "window": 30, "has_sinks": True, "head_dim": 128, "lengths": (4, 5, 31, 700)},
    {"queries": 5, "k_bits": 8, "v_bits": 4, "dtype": BF16, "lengths": (90, 6), "soft_cap": 9.0},
]

# A decode differs from an attention in how the last row comes in, which these cover.
DECODES = [*SHAPES[:2], SHAPES[3], SHAPES[6], OPTIONS[0], OPTIONS[2], *OPTIONS[4:]]


def agrees(case, output, log_sum=None) -> None:
    expected, expected_log_sum = case.expected()
    assert np.abs(np.array(output.astype(F32)) - expected).max() <= case.tolerance
    if log_sum is not None:
        np.testing.assert_allclose(np.array(log_sum), expected_log_sum, atol=1e-4)


def case_name(options: dict) -> str:
    return " ".join(
        f"{name}={str(value).removeprefix('mlx.core.')}" for name, value in options.items()
    )


@pytest.mark.parametrize("options", SHAPES + OPTIONS + SEVERAL_QUERIES, ids=case_name)
def test_attention(any_host, problem, options):
    case = problem(**options)
    agrees(case, *case.attend(return_lse=True))


@pytest.mark.parametrize("options", DECODES, ids=case_name)
def test_decode_writes_and_attends(any_host, problem, options):
    case = problem(**options)
    _, *want = reference.paged_decode(case.q, case.k, case.v, *case.pools, **case.options)
    mx.eval([x.codes if isinstance(x, QuantizedPool) else x for x in want])
    case = case.copied()
    output, order = case.decode()
    mx.eval(output, order)
    for pool, written in zip((case.k_pool, case.v_pool), want, strict=True):
        assert_same_pool(pool, written)
    agrees(case, output)


@pytest.mark.slow
@pytest.mark.parametrize("block_size", [8, 16, 32])
@pytest.mark.parametrize("group_heads", [1, 2, 4, 8])
@pytest.mark.parametrize("head_dim", [64, 80, 96, 128, 256])
@pytest.mark.parametrize("dtype", [F32, F16, BF16], ids=["float32", "float16", "bfloat16"])
def test_all_shapes(any_host, problem, dtype, head_dim, group_heads, block_size):
    case = problem(
        dtype=dtype, head_dim=head_dim, group_heads=group_heads, block_size=block_size,
        lengths=(1, 2, 31, 64, 65, 1_000, 5_000), num_kv_heads=1,
    )  # fmt: skip
    agrees(case, case.attend())


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    lengths=st.lists(st.integers(1, 1_200), min_size=1, max_size=4).map(tuple),
    window=st.none() | st.integers(1, 400),
    splits=st.none() | st.integers(1, 40),
    seed=st.integers(0, 2**16),
)
def test_any_ragged_batch(emulated, problem, lengths, window, splits, seed):
    case = problem(lengths=lengths, window=window, seed=seed, num_kv_heads=1)
    agrees(case, *case.attend(return_lse=True, tuning=Tuning(4, 2, 4, splits)))


@pytest.mark.parametrize(
    "tuning",
    [Tuning(1, 1, 1), Tuning(2, 4, 2, splits=3), Tuning(8, 1, 8, splits=40), Tuning(32, 2, 1)],
    ids=str,
)
def test_every_layout_gives_the_same(any_host, problem, tuning):
    case = problem(lengths=(1, 130, 530))
    agrees(case, *case.attend(return_lse=True, tuning=tuning))


@pytest.mark.parametrize(
    ("head_dim", "lanes"), [(64, 4), (64, 8), (64, 16), (80, 8), (80, 16), (128, 16), (256, 32)]
)
@pytest.mark.parametrize("v_bits", [8, 4])
def test_every_layout_of_codes_gives_the_same(any_host, problem, head_dim, lanes, v_bits):
    case = problem(lengths=(1, 130), head_dim=head_dim, k_bits=8, v_bits=v_bits, num_kv_heads=1)
    tuning = Tuning(lanes, 2, 2, splits=2)
    agrees(case, *case.attend(return_lse=True, tuning=tuning))
    case = case.copied()
    output, order = case.decode(tuning=tuning)
    mx.eval(order)
    agrees(case, output)


def test_refuses_lanes_that_cannot_hold_a_row_of_codes(emulated, problem):
    case = problem(lengths=(9,), k_bits=8, v_bits=8, head_dim=128)
    with pytest.raises(ConfigError, match="4 lanes cannot hold"):
        case.attend(tuning=Tuning(4, 1, 1))


@pytest.mark.parametrize("schedule", ["reverse", "shuffled"])
def test_order_of_threads_does_not_matter(emulated, problem, schedule):
    case = problem(lengths=(40, 700))
    forward = case.attend()
    with emulator.scheduled(schedule):
        assert mx.array_equal(case.attend(), forward).item()


def test_long_strides_of_the_query(any_host, problem):
    case = problem(lengths=(40, 9))
    rows = mx.stack([case.q, case.q + 1], axis=-1)  # neighbouring elements are two apart
    case.q = rows[..., 0]
    assert not np.array(case.q, copy=False).flags.c_contiguous
    agrees(case, case.attend())


def test_a_context_of_no_tokens_gives_zeros(any_host, problem):
    case = problem(lengths=(5, 70))
    case.context_lens = mx.array([0, 70], dtype=mx.int32)
    assert mx.all(case.attend()[0] == 0).item()


@pytest.mark.skipif(kernels.host() is not None, reason="this machine has one")
def test_needs_a_host(problem):
    case = problem()
    with pytest.raises(ConfigError, match="need Metal or CUDA"):
        case.attend()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"q": mx.zeros((2, 8, 9, 64))}, "9 new tokens"),
        ({"q": mx.zeros((2, 7, 1, 64))}, "no multiple of 2"),
        ({"q": mx.zeros((2, 8, 1, 64), F16)}, "The pool is"),
        ({"q": mx.zeros((2, 8, 1, 32))}, "Rows of the pool have 64"),
        ({"q": mx.zeros((2, 8, 1, 60))}, "head_dim=60"),
        ({"context_lens": mx.zeros(2, mx.int64)}, "context_lens"),
        ({"block_tables": mx.zeros((3, 4), mx.int32)}, "block_tables"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_refuses_arrays_that_do_not_fit(emulated, problem, change, message):
    case = problem(lengths=(1, 150))
    for name, value in change.items():
        setattr(case, name, value)
    with pytest.raises(ConfigError, match=message):
        case.attend()


def assert_same_pool(pool: kernels.Pool, expected: kernels.Pool) -> None:
    if isinstance(pool, QuantizedPool):
        assert mx.array_equal(pool.codes, expected.codes).item()
        assert mx.array_equal(pool.scales, expected.scales).item()
    else:
        assert mx.array_equal(pool, expected).item()
