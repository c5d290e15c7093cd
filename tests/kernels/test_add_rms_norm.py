"""The fused kernel against a sum and MLX's own norm."""

import mlx.core as mx
import numpy as np
import pytest

from mlx_backends.errors import ConfigError
from mlx_backends.kernels import emulator
from mlx_backends.kernels.add_rms_norm import add_rms_norm

from .conftest import TOLERANCE

EPS = 1e-6


def arguments(rows=3, width=200, dtype=mx.float32):
    rng = np.random.default_rng(0)
    shapes = [(rows, width), (rows, width), (width,)]
    return [mx.array(rng.standard_normal(s).astype(np.float32)).astype(dtype) for s in shapes]


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16], ids=str)
@pytest.mark.parametrize(("rows", "width"), [(1, 1_024), (5, 96), (2, 2_050)])
def test_equals_a_sum_and_a_norm(any_host, dtype, rows, width):
    x, residual, weight = arguments(rows, width, dtype)
    total, normed = add_rms_norm(x, residual, weight, eps=EPS)
    assert mx.array_equal(total, x + residual).item()
    expected = mx.fast.rms_norm(x + residual, weight, EPS).astype(mx.float32)
    assert mx.abs(normed.astype(mx.float32) - expected).max().item() <= 4 * TOLERANCE[dtype]


@pytest.mark.parametrize("schedule", ["reverse", "shuffled"])
def test_any_order_of_threads_gives_the_same(emulated, schedule):
    given = arguments()
    forward = add_rms_norm(*given, eps=EPS)
    with emulator.scheduled(schedule):
        other = add_rms_norm(*given, eps=EPS)
    assert all(mx.array_equal(a, b).item() for a, b in zip(forward, other, strict=True))


def test_arrays_that_do_not_fit_are_refused(emulated):
    x, residual, weight = arguments()
    with pytest.raises(ConfigError, match="do not fit"):
        add_rms_norm(x, residual[:1], weight, eps=EPS)
    with pytest.raises(ConfigError, match="not one type"):
        add_rms_norm(x, residual, weight.astype(mx.float16), eps=EPS)
