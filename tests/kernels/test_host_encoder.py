"""What an encoder's layer is made of, in C, against NumPy in float64."""

import itertools
import math
import platform

import numpy as np
import pytest

from mlx_backends.kernels import host_encoder
from mlx_backends.kernels.host_encoder import HostEncoder

pytestmark = pytest.mark.skipif(
    host_encoder.status().encoder is None, reason=host_encoder.status().reason
)
# The kinds of vectors that x86 processors have; 16, 8 and 4 numbers.
MACHINES = {
    "native": host_encoder._machine(),
    "AVX2": ("-march=haswell",),
    "SSE2": ("-march=x86-64",),
}
IS_X86 = platform.machine() == "x86_64"
NEEDS_AVX2 = not IS_X86 or "avx2" not in host_encoder._instructions()


@pytest.fixture(
    scope="module",
    params=[
        "native",
        pytest.param("AVX2", marks=pytest.mark.skipif(NEEDS_AVX2, reason="no AVX2 here")),
        pytest.param("SSE2", marks=pytest.mark.skipif(not IS_X86, reason="not an x86")),
    ],
)
def functions(request) -> HostEncoder:
    return HostEncoder(MACHINES[request.param])


def random(*shape: int, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng(sum(shape))
    return (scale * rng.standard_normal(shape)).astype(np.float32)


def gelu(x: np.ndarray) -> np.ndarray:
    return x * 0.5 * (1 + np.vectorize(math.erf)(x / math.sqrt(2)))


@pytest.mark.parametrize("rows", [1, 3, 4, 11, 12, 13, 31])
@pytest.mark.parametrize(("columns", "depth"), [(1, 1), (31, 5), (32, 64), (33, 7), (70, 130)])
def test_linear(functions, rows, columns, depth):
    x, weight, bias = random(rows, depth), random(columns, depth), random(columns)
    layer = functions.pack(weight, bias)
    expected = x.astype(np.float64) @ weight.T + bias
    np.testing.assert_allclose(functions.linear(x, layer), expected, rtol=1e-5, atol=1e-5)
    found = functions.linear(x, layer, with_gelu=True)
    np.testing.assert_allclose(found, gelu(expected), rtol=1e-5, atol=1e-5)


def test_gelu_far_from_zero_and_near_it(functions):
    x = np.concatenate([np.linspace(-40, 40, 4_001), [0.0, 1e-30, -1e-30]]).astype(np.float32)
    identity = functions.pack(np.ones((1, 1), np.float32), np.zeros(1, np.float32))
    found = functions.linear(x[:, None], identity, with_gelu=True)[:, 0]
    expected = gelu(x.astype(np.float64))
    assert np.all(np.abs(found - expected) <= 4e-7 * np.abs(x) + 1e-37)


@pytest.mark.parametrize("size", [1, 5, 32, 100, 384])
def test_add_norm(functions, size):
    x, residual = random(7, size, scale=3), random(7, size)
    weight, bias = random(size), random(size)
    total = x.astype(np.float64) + residual
    centered = total - total.mean(axis=1, keepdims=True)
    expected = centered / np.sqrt(total.var(axis=1, keepdims=True) + 1e-5) * weight + bias
    found = functions.add_norm(x, residual, weight, bias, 1e-5)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("lengths", [[1], [5], [16, 1, 33], [48, 49], [97, 2, 130]])
@pytest.mark.parametrize(("num_heads", "width"), [(1, 1), (3, 8), (2, 32), (2, 80)])
def test_attend(functions, lengths, num_heads, width):
    starts = np.concatenate([[0], np.cumsum(lengths)])
    qkv = random(starts[-1], 3 * num_heads * width, scale=3)
    found = functions.attend(qkv, starts, num_heads)
    np.testing.assert_allclose(found, attended(qkv, starts, num_heads), atol=5e-5)


def test_scores_that_are_far_apart(functions):
    qkv = random(40, 3 * 8, scale=300)
    starts = np.array([0, 40])
    np.testing.assert_allclose(
        functions.attend(qkv, starts, 1), attended(qkv, starts, 1), rtol=1e-3, atol=1e-3
    )


@pytest.mark.parametrize("column", [1, 9, 17], ids=["query", "key", "value"])
def test_attention_keeps_nan_to_its_own_text(functions, column):
    qkv = random(60, 3 * 8)
    qkv[45, column] = np.nan
    found = functions.attend(qkv, np.array([0, 20, 60]), 1)
    assert np.isfinite(found[:20]).all()
    assert np.isnan(found[45, 1])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_gelu_and_norm_keep_what_is_not_finite(functions, value):
    x = np.full((3, 40), value, np.float32)
    layer = functions.pack(np.eye(40, dtype=np.float32)[:5], np.zeros(5, np.float32))
    assert not np.isfinite(functions.linear(x, layer, with_gelu=True)).any()
    ones = np.ones(40, np.float32)
    assert np.isnan(functions.add_norm(x, x, ones, ones, 1e-5)).all()


def attended(qkv: np.ndarray, starts: np.ndarray, num_heads: int) -> np.ndarray:
    """Attention, written from the paper, in float64."""
    size = qkv.shape[1] // 3
    width, outputs = size // num_heads, []
    for first, end in itertools.pairwise(starts):
        q, k, v = np.split(qkv[first:end].astype(np.float64), 3, axis=1)
        heads = []
        for head in range(num_heads):
            span = slice(head * width, (head + 1) * width)
            scores = q[:, span] @ k[:, span].T / math.sqrt(width)
            weights = np.exp(scores - scores.max(axis=1, keepdims=True))
            heads.append(weights / weights.sum(axis=1, keepdims=True) @ v[:, span])
        outputs.append(np.concatenate(heads, axis=1))
    return np.concatenate(outputs)
