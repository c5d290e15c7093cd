"""The specification in plain MLX against numpy in float64, and codes against their definition."""

import mlx.core as mx
import numpy as np
import pytest

from mlx_backends import kernels
from mlx_backends.kernels import reference


@pytest.fixture(autouse=True)
def on_the_cpu():
    """GPUs may multiply float32 with fewer bits."""
    with mx.stream(mx.cpu):
        yield


@pytest.mark.parametrize("queries", [1, 5])
@pytest.mark.parametrize(
    "options",
    [{}, {"window": 20}, {"soft_cap": 2.0}, {"has_sinks": True}, {"k_bits": 8, "v_bits": 4}],
    ids=["plain", "window", "soft cap", "sinks", "quantized"],
)
def test_agrees_with_float64(problem, queries, options):
    case = problem(queries=queries, lengths=(5, 77, 130), **options)
    output, log_sum = reference.paged_attention(case.q, *case.pools, **case.options)
    expected, expected_log_sum = case.expected()
    np.testing.assert_allclose(np.array(output), expected, atol=2e-6)
    np.testing.assert_allclose(np.array(log_sum), expected_log_sum, atol=2e-5)


def test_agrees_with_mlx_where_the_context_is_contiguous(problem):
    case = problem(lengths=(64,), group_heads=2)
    blocks = np.array(case.block_tables)[0]
    slots = mx.array((blocks[:, None] * 16 + np.arange(16)).reshape(-1))
    expected = mx.fast.scaled_dot_product_attention(
        case.q,
        case.k_pool[None, :, slots],
        case.v_pool[None, :, slots],
        scale=case.options["scale"],
    )
    output, _ = reference.paged_attention(case.q, *case.pools, **case.options)
    np.testing.assert_allclose(np.array(output), np.array(expected), atol=2e-6)


@pytest.mark.parametrize("head_dim", [64, 80])
def test_codes_of_8_bits_are_within_half_a_step(head_dim):
    rows = mx.random.normal((3, 10, head_dim), key=mx.random.key(0))
    codes, scales = reference.quantize(rows, 8)
    assert scales.shape == (3, 10, 1)
    restored = reference.dequantize(kernels.QuantizedPool(codes, scales, 8))
    highest = mx.abs(rows).max(axis=-1, keepdims=True)
    # Half a step of the codes, and what float16 loses in the scale.
    assert mx.all(mx.abs(restored - rows) <= highest * (0.5 / 127 + 2**-10)).item()


@pytest.mark.parametrize(("head_dim", "group_size"), [(64, 32), (80, 16), (24, 8)])
def test_codes_of_4_bits_are_within_half_a_step(head_dim, group_size):
    rows = mx.random.normal((3, 10, head_dim), key=mx.random.key(0))
    codes, scales = reference.quantize(rows, 4)
    assert scales.shape == (3, 10, 2 * head_dim // group_size)
    restored = reference.dequantize(kernels.QuantizedPool(codes, scales, 4))
    groups = rows.reshape(3, 10, -1, group_size)
    step = (groups.max(axis=-1) - groups.min(axis=-1)) / 15
    error = mx.abs(restored - rows).reshape(groups.shape).max(axis=-1)
    # Half a step of the codes, and what float16 loses in scale and bias.
    assert mx.all(error <= 0.5 * step + 2**-10 * mx.abs(groups).max(axis=-1)).item()


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("value", [0.0, 1.5, -2.0])
def test_a_constant_row_is_kept_as_it_is(bits, value):
    rows = mx.full((1, 1, 32), value)
    pool = kernels.QuantizedPool(*reference.quantize(rows, bits), bits)
    assert mx.allclose(reference.dequantize(pool), rows, rtol=2**-11, atol=0).item()


def test_first_element_is_in_the_lowest_bits():
    rows = mx.arange(16).astype(mx.float32).reshape(1, 1, 16)
    codes, scales = reference.quantize(rows, 4)
    assert codes.tolist() == [[[0x76543210, 0xFEDCBA98]]]
    assert scales.tolist() == [[[1.0, 0.0]]]
    codes, scales = reference.quantize(mx.array([[[127.0, -127.0, 0.0, 1.0] * 2]]), 8)
    assert codes.tolist() == [[[0x818001FF, 0x818001FF]]]
    assert scales.tolist() == [[[1.0]]]
