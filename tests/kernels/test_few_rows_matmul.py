"""Products of a few rows with four-bit weights against mx.dequantize and numpy in float64."""

import mlx.core as mx
import numpy as np
import pytest

from mlx_backends.errors import ConfigError
from mlx_backends.kernels import few_rows_matmul

TOLERANCE = {mx.float32: 1e-5, mx.float16: 2e-3, mx.bfloat16: 1.6e-2}
# Rows, inner width, outer width, group size.
SHAPES = [
    (1, 64, 4, 64),
    (8, 512, 9, 64),
    (9, 1_088, 6, 32),
    (16, 1_024, 32, 128),
    (37, 256, 5, 64),
]


def random_product(rows, inner, outer, group_size, dtype):
    rng = np.random.default_rng(rows)
    x, dense = (
        mx.array(rng.standard_normal(shape).astype(np.float32)).astype(dtype)
        for shape in ((rows, inner), (outer, inner))
    )
    return x, mx.quantize(dense, group_size=group_size, bits=4)


@pytest.mark.usefixtures("any_host")
@pytest.mark.parametrize("dtype", TOLERANCE, ids=str)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_same_product(shape, dtype):
    x, packed = random_product(*shape, dtype)
    weight = mx.dequantize(*packed, group_size=shape[3], bits=4)
    found = few_rows_matmul(x, *packed)
    assert (found.shape, found.dtype) == ((shape[0], shape[2]), dtype)
    expected, got = (np.array(a.astype(mx.float32), np.float64) for a in (x, found))
    expected = expected @ np.array(weight.astype(mx.float32), np.float64).T
    assert np.abs(got - expected).max() <= TOLERANCE[dtype] * max(1.0, np.abs(expected).max())


@pytest.mark.usefixtures("any_host")
def test_every_layout_gives_the_same():
    x, packed = random_product(11, 832, 10, 64, mx.float32)
    expected = few_rows_matmul(x, *packed)
    for outputs, simdgroups in ((4, 1), (8, 2), (4, 8)):
        found = few_rows_matmul(x, *packed, outputs=outputs, simdgroups=simdgroups)
        assert mx.allclose(found, expected, rtol=1e-5, atol=1e-5).item()


@pytest.mark.usefixtures("emulated")
def test_rows_that_begin_in_the_middle_of_a_word():
    x, packed = random_product(8, 128, 4, 64, mx.bfloat16)
    shifted = mx.concatenate([mx.zeros((1,), x.dtype), x.reshape(-1)])[1:].reshape(x.shape)
    assert mx.array_equal(few_rows_matmul(shifted, *packed), few_rows_matmul(x, *packed)).item()


@pytest.mark.parametrize("wrong", ["inner", "outer", "dtype", "groups"])
def test_arrays_that_do_not_fit_are_named(wrong):
    x, (weight, scales, biases) = random_product(8, 128, 4, 64, mx.float32)
    changed = {
        "inner": (x[:, :64], weight, scales, biases),
        "outer": (x, weight[:3], scales, biases),
        "dtype": (x.astype(mx.float16), weight, scales, biases),
        "groups": (x, weight, scales, biases[:, :1]),
    }
    with pytest.raises(ConfigError, match=r"do not fit|twice x's type"):
        few_rows_matmul(*changed[wrong])
