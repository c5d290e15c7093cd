"""Which ways in and out of MLX share memory, and which copy. docs/memory.md has the same table.

A failure here means that MLX has changed: correct the table.
"""

import mlx.core as mx
import numpy as np
import pytest

from mlx_backends import Embedder, EmbedderConfig, bundled

HAS_ONE_MEMORY = not mx.cuda.is_available()


def address(array: np.ndarray) -> int:
    return array.ctypes.data


@pytest.fixture
def array() -> mx.array:
    made = mx.arange(1_000).astype(mx.float32) + 1
    mx.eval(made)
    return made


@pytest.mark.skipif(not HAS_ONE_MEMORY, reason="MLX's arrays may be in the GPU's own memory")
@pytest.mark.parametrize(
    "view",
    [
        pytest.param(lambda a: np.array(a, copy=False), id="np.array(a, copy=False)"),
        pytest.param(lambda a: np.asarray(memoryview(a)), id="memoryview(a)"),
        pytest.param(np.from_dlpack, id="np.from_dlpack(a)"),
    ],
)
def test_ways_out_without_a_copy(array, view):
    first, second = view(array), view(array)
    assert address(first) == address(second)
    assert np.array_equal(first, np.arange(1_000) + 1)


@pytest.mark.parametrize(
    "copy",
    [pytest.param(np.array, id="np.array(a)"), pytest.param(lambda a: a.tolist(), id="a.tolist()")],
)
def test_ways_out_with_a_copy(array, copy):
    out = copy(array)
    out[0] = -1
    assert array[0].item() == 1


@pytest.mark.parametrize(
    "enter",
    [pytest.param(mx.array, id="mx.array(n)"), pytest.param(mx.asarray, id="mx.asarray(n)")],
)
def test_ways_in_copy(enter):
    source = np.arange(1_000, dtype=np.float32)
    array = enter(source)
    source[0] = -1
    assert array[0].item() == 0


@pytest.mark.skipif(mx.metal.is_available(), reason="not measured on Metal")
def test_a_way_in_without_a_copy_is_refused_on_a_cpu():
    with pytest.raises(ValueError, match="copy"):
        mx.asarray(np.arange(1_000, dtype=np.float32), copy=False)


def test_slices_of_a_view_share_too(array):
    view = np.array(array, copy=False)
    assert address(view[10:]) == address(view) + 40


def test_vectors_leave_the_embedder_as_numpy():
    embedder = Embedder(EmbedderConfig(model=str(bundled.path("encoder"))))
    vectors = embedder.embed(["one", "two"])
    embedder.close()
    assert isinstance(vectors, np.ndarray)
    assert vectors.dtype == np.float32
