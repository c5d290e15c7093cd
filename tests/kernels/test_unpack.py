"""Unpacking quantized weights, on the emulator and on a GPU, against ``mx.dequantize``."""

import mlx.core as mx
import pytest

from mlx_backends import kernels
from mlx_backends.errors import ConfigError


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
@pytest.mark.parametrize(("bits", "group_size"), [(4, 64), (8, 32), (4, 128)])
@pytest.mark.parametrize("rows", [1, 7, 70])
def test_gives_what_mlx_gives(any_host, dtype, bits, group_size, rows):
    weight = mx.random.normal((rows, 256), key=mx.random.key(0)).astype(dtype)
    codes, scales, biases = mx.quantize(weight, group_size=group_size, bits=bits)
    exact = [array.astype(mx.float32) for array in (scales, biases)]
    expected = mx.dequantize(codes, *exact, group_size=group_size, bits=bits).astype(dtype)
    mx.eval(codes, scales, biases, expected)
    got = kernels.unpack(codes, scales, biases, bits=bits, group_size=group_size)
    assert (got.shape, got.dtype) == (expected.shape, dtype)
    tolerance = {mx.float32: 1e-6, mx.float16: 2e-3, mx.bfloat16: 2e-2}[dtype]
    assert mx.allclose(got, expected, rtol=tolerance, atol=tolerance).item()


def test_refuses_other_formats(emulated):
    codes, scales, biases = mx.quantize(mx.ones((4, 64)), group_size=64, bits=2)
    with pytest.raises(ConfigError, match="not 2 bits"):
        kernels.unpack(codes, scales, biases, bits=2, group_size=64)
