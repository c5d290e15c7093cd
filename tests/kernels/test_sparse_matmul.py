"""Sparse products, on the emulator and on a GPU, against the reference."""

import mlx.core as mx
import numpy as np
import pytest

from mlx_backends import kernels
from mlx_backends.errors import ConfigError
from mlx_backends.kernels import block_matmul, csr_matmul, emulator, two_four_matmul
from mlx_backends.kernels import sparse_reference as reference

F32, F16, BF16 = mx.float32, mx.float16, mx.bfloat16
TOLERANCE = {F32: 1e-5, F16: 2e-3, BF16: 2e-2}
PAIRS = np.array([first | second << 2 for first in range(4) for second in range(first + 1, 4)])


def normal(rng, *shape, dtype=F32) -> mx.array:
    return mx.array(rng.standard_normal(shape).astype(np.float32)).astype(dtype)


def make_csr(rows, columns, density, dtype, index=np.uint16, seed=0):
    rng = np.random.default_rng(seed)
    row, column = np.nonzero(rng.random((rows, columns)) < density)
    stored = np.zeros(max(-(-len(row) // 8), 1) * 8, index)
    stored[: len(row)] = column
    values = normal(rng, len(stored), dtype=dtype)  # the padding's values are no zeros
    starts = np.searchsorted(row, np.arange(rows + 1)).astype(np.int32)
    return values, mx.array(stored), mx.array(starts)


def make_blocks(block_rows, block_columns, size, dtype, density=0.5, seed=0):
    rng = np.random.default_rng(seed)
    row, column = np.nonzero(rng.random((block_rows, block_columns)) < density)
    starts = np.searchsorted(row, np.arange(block_rows + 1)).astype(np.int32)
    values = normal(rng, len(row), size, size, dtype=dtype)
    return values, mx.array(column.astype(np.int32)), mx.array(starts)


def make_two_four(rows, columns, dtype, seed=0):
    rng = np.random.default_rng(seed)
    words = np.zeros((rows, columns // 16), np.int64)
    for four in range(4):
        words |= PAIRS[rng.integers(0, len(PAIRS), words.shape)] << 4 * four
    return normal(rng, rows, columns // 2, dtype=dtype), mx.array(words.astype(np.uint16))


def agrees(out: mx.array, expected: mx.array) -> None:
    assert out.dtype == expected.dtype
    assert out.shape == expected.shape
    got, want = (np.array(x.astype(F32)) for x in (out, expected))
    assert np.abs(got - want).max() <= TOLERANCE[out.dtype] * max(1.0, np.abs(want).max())


@pytest.mark.parametrize(
    ("dtype", "index", "rows", "columns", "density", "vectors"),
    [
        (F32, np.uint16, 37, 70, 0.4, 1),
        (F16, np.int32, 20, 1_000, 0.9, 1),
        (BF16, np.uint16, 20, 900, 0.5, 1),
        (BF16, np.uint16, 9, 40_000, 0.01, 1),  # does not fit threadgroup memory
        (F32, np.uint16, 5, 3, 0.0, 1),
        (F32, np.int32, 20, 300, 0.7, 3),
        (BF16, np.uint16, 11, 50, 0.9, 17),
    ],
)
def test_csr(any_host, dtype, index, rows, columns, density, vectors):
    arrays = make_csr(rows, columns, density, dtype, index)
    x = normal(np.random.default_rng(1), vectors, columns, dtype=dtype)
    agrees(csr_matmul(*arrays, x), reference.csr_matmul(*arrays, x))


def test_what_lies_in_a_neighbouring_row_does_not_count(any_host):
    values, columns, starts = make_csr(6, 40, 0.3, F32)
    x = mx.ones((1, 40))
    first = int(starts[2])
    poisoned = mx.where(mx.arange(values.size) < first, mx.array(mx.nan), values)
    out = csr_matmul(poisoned, columns, starts, x)
    expected = csr_matmul(values, columns, starts, x)
    assert mx.array_equal(out[0, 2:], expected[0, 2:]).item()


@pytest.mark.parametrize("dtype", [F32, BF16])
@pytest.mark.parametrize("name", ["csr_matmul", "block_matmul", "two_four_matmul"])
def test_arrays_cut_out_of_others_are_read(any_host, name, dtype):
    """Wide loads may not start in the middle of what they load."""
    first, *rest = {
        "csr_matmul": make_csr(20, 304, 0.7, dtype),
        "block_matmul": make_blocks(2, 19, 16, dtype),
        "two_four_matmul": make_two_four(5, 304, dtype),
    }[name]
    x = normal(np.random.default_rng(1), 307, dtype=dtype)[3:]
    expected = getattr(reference, name)(first, *rest, x[None])[0]
    multiply = getattr(kernels, name)
    agrees(multiply(cut_out(first), *rest, x), expected)
    agrees(multiply(first, cut_out(rest[0]), *rest[1:], x), expected)


def cut_out(array: mx.array) -> mx.array:
    """The same array in memory that begins one element after a boundary."""
    flat = array.reshape(-1)
    longer = mx.concatenate([flat[:1], flat])
    mx.eval(longer)
    return longer[1:].reshape(array.shape)


@pytest.mark.parametrize(
    ("dtype", "size", "vectors"), [(F32, 16, 1), (BF16, 32, 1), (F16, 32, 3), (BF16, 64, 9)]
)
def test_blocks(any_host, dtype, size, vectors):
    arrays = make_blocks(3, 11, size, dtype)
    x = normal(np.random.default_rng(1), vectors, 11 * size, dtype=dtype)
    agrees(block_matmul(*arrays, x), reference.block_matmul(*arrays, x))


@pytest.mark.parametrize(
    ("dtype", "rows", "columns", "vectors"),
    [(BF16, 1, 16, 1), (F32, 18, 1_040, 1), (F16, 33, 528, 2), (BF16, 5, 64, 5)],
)
def test_two_four(any_host, dtype, rows, columns, vectors):
    arrays = make_two_four(rows, columns, dtype)
    x = normal(np.random.default_rng(1), vectors, columns, dtype=dtype)
    agrees(two_four_matmul(*arrays, x), reference.two_four_matmul(*arrays, x))


@pytest.mark.parametrize("schedule", ["reverse", "shuffled"])
def test_the_order_of_threads_does_not_matter(emulated, schedule):
    csr, blocks = make_csr(20, 300, 0.7, F32), make_blocks(3, 11, 32, F32)
    x = normal(np.random.default_rng(1), 1, 352)

    def products():
        return [csr_matmul(*csr, x[:, :300]), block_matmul(*blocks, x)]

    forward = products()
    with emulator.scheduled(schedule):
        assert all(map(mx.array_equal, products(), forward))


def test_references_are_dense_products():
    values, columns, starts = (mx.array(a) for a in ([1.0, 2, 3], [0, 2, 1], [0, 2, 3]))
    x = mx.array([[1.0, 10, 100]])
    assert reference.csr_matmul(values, columns, starts, x).tolist() == [[201, 30]]
    kept, places = mx.array([[1.0, 2]]), mx.array([[1 | 3 << 2]], mx.uint16)
    padded = mx.pad(kept, ((0, 0), (0, 6)))
    x = mx.pad(mx.array([[1.0, 10, 100, 1000]]), ((0, 0), (0, 12)))
    assert reference.two_four_matmul(padded, places, x).tolist() == [[2010]]
    block = mx.arange(256.0).reshape(1, 16, 16)
    at = mx.array([1]), mx.array([0, 1])
    x = mx.concatenate([mx.zeros((1, 16)), mx.eye(16)[:1]], axis=1)
    assert mx.array_equal(reference.block_matmul(block, *at, x)[0], mx.arange(16.0)).item()


def test_refuses_arrays_that_do_not_fit():
    values, columns, starts = make_csr(4, 16, 0.5, F32)
    x = mx.zeros((1, 16))
    with pytest.raises(ConfigError, match="values' type"):
        csr_matmul(values, columns, starts, x.astype(F16))
    with pytest.raises(ConfigError, match="multiple of 8"):
        csr_matmul(values[:-1], columns[:-1], starts, x)
    with pytest.raises(ConfigError, match="uint16 or int32"):
        csr_matmul(values, columns.astype(mx.int64), starts, x)
    with pytest.raises(ConfigError, match="is allowed"):
        block_matmul(mx.zeros((1, 8, 8)), mx.zeros(1, mx.int32), mx.array([0, 1]), x)
    with pytest.raises(ConfigError, match="multiples of the block of 32"):
        block_matmul(mx.zeros((1, 32, 32)), mx.zeros(1, mx.int32), mx.array([0, 1]), x)
    with pytest.raises(ConfigError, match="do not fit"):
        two_four_matmul(mx.zeros((2, 8)), mx.zeros((2, 2), mx.uint16), x)
