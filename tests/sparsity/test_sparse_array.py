"""Sparse arrays against SciPy and against their own dense forms."""

import json

import mlx.core as mx
import numpy as np
import pytest
import scipy.sparse

from mlx_backends import kernels
from mlx_backends.errors import ConfigError, ModelLoadError
from mlx_backends.sparsity import FORMATS, SparseArray, matmul, sparse_normal

DTYPES = [mx.float32, mx.float16, mx.bfloat16]
TOLERANCE = {mx.float32: 1e-5, mx.float16: 2e-3, mx.bfloat16: 2e-2}
DENSITIES = (0.0, 0.01, 0.1, 0.5, 1.0)


def float64(array: mx.array) -> np.ndarray:
    return np.array(array.astype(mx.float32), np.float64)


def agrees(got: mx.array, want: np.ndarray, tolerance: float) -> None:
    assert got.shape == want.shape
    if want.size:
        error = np.abs(float64(got) - want).max()
        assert error <= tolerance * max(1.0, np.abs(want).max())


def random_triples(rng, shape, density, dtype):
    """Triples with repeated places, and SciPy's array of the same."""
    count = int(rng.integers(0, round(2 * shape[0] * shape[1] * density) + 1))
    rows, columns = (rng.integers(0, max(side, 1), count) for side in shape)
    values = mx.array(rng.standard_normal(count).astype(np.float32)).astype(dtype)
    return values, rows, columns, scipy.sparse.coo_array((float64(values), (rows, columns)), shape)


def test_a_thousand_random_arrays_are_as_in_scipy():
    rng = np.random.default_rng(0)
    for case in range(1_000):
        shape = tuple(int(side) for side in rng.integers(0, 60, 2))
        shape = (1, shape[1]) if case % 7 == 0 else shape
        dtype, width = DTYPES[case % 3], int(rng.integers(0, 40))
        values, rows, columns, expected = random_triples(
            rng, shape, DENSITIES[case % len(DENSITIES)], dtype
        )
        name = ("csr", "bsr")[case // 3 % 2]
        sparse = SparseArray.from_coo(values, rows, columns, shape, format=name)
        tolerance = TOLERANCE[dtype]
        agrees(sparse.to_dense(), expected.toarray(), tolerance)
        assert name == "bsr" or sparse.nnz == expected.tocsr().nnz
        right = mx.array(rng.standard_normal((shape[1], width + 1)).astype(np.float32)).astype(
            dtype
        )
        left = mx.array(rng.standard_normal((width, shape[0])).astype(np.float32)).astype(dtype)
        agrees(sparse @ right, expected @ float64(right), tolerance)
        # SciPy returns a number, not a vector of one, for a single row.
        vector = np.atleast_1d(expected @ float64(right[:, 0]))
        agrees(sparse @ right[:, 0], vector, tolerance)
        agrees(matmul(left, sparse), float64(left) @ expected, tolerance)
        agrees(sparse.T @ left.T, expected.T @ float64(left).T, tolerance)


@pytest.mark.parametrize("make", ["csr_array", "coo_matrix", "csc_array", "bsr_array", "dia_array"])
def test_from_scipy_keeps_what_it_stores(make):
    dense = np.array([[0, 1.5, 0], [2, 0, 0]])
    sparse = SparseArray.from_scipy(getattr(scipy.sparse, make)(dense))
    assert sparse.dtype == mx.float32
    assert sparse.to_dense().tolist() == dense.tolist()


def test_zeros_that_scipy_stores_stay_stored():
    kept = scipy.sparse.csr_array((np.zeros(2), [0, 1], [0, 2]), (1, 3))
    assert SparseArray.from_scipy(kept).nnz == 2
    assert SparseArray.from_dense(kept.toarray()).nnz == 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", FORMATS)
def test_every_format_multiplies_on_both_sides(name, dtype):
    sparse = sparse_normal((37, 50), density=0.5, dtype=dtype, key=mx.random.key(1), format=name)
    dense = float64(sparse.to_dense())
    x = mx.random.normal((50, 3), key=mx.random.key(2)).astype(dtype)
    y = mx.random.normal((3, 37), key=mx.random.key(3)).astype(dtype)
    for got, want in (
        (sparse @ x, dense @ float64(x)),
        (sparse @ x[:, 0], dense @ float64(x[:, 0])),
        (matmul(y, sparse), float64(y) @ dense),
        (matmul(y[0], sparse), float64(y[0]) @ dense),
        (sparse.T @ y[0], dense.T @ float64(y[0])),
    ):
        agrees(got, want, TOLERANCE[dtype])
        assert got.dtype == dtype


@pytest.mark.parametrize("name", FORMATS)
def test_kernels_compute_what_plain_mlx_does(name):
    sparse = sparse_normal((37, 50), density=0.5, key=mx.random.key(1), format=name)
    x = mx.random.normal((50, 3), key=mx.random.key(2))
    plain = [sparse @ x, sparse @ x[:, 0], matmul(x[:37, 0], sparse)]
    mx.eval(plain)
    with kernels.emulated():
        emulated = [sparse @ x, sparse @ x[:, 0], matmul(x[:37, 0], sparse)]
        for got, want in zip(emulated, plain, strict=True):
            assert mx.allclose(got, want, atol=1e-5).item()


@pytest.mark.parametrize("on_left", [True, False])
@pytest.mark.parametrize("name", FORMATS)
def test_gradients_are_those_of_the_dense_product(name, on_left):
    sparse = sparse_normal((37, 50), density=0.5, key=mx.random.key(1), format=name)

    def loss(values, operand, unpack):
        array = sparse.with_values(values)
        operands = (array, operand) if on_left else (operand, array)
        if unpack:
            out = mx.matmul(*(x if x is operand else x.to_dense() for x in operands))
        else:
            out = matmul(*operands)
        return (out * mx.cos(mx.arange(out.size)).reshape(out.shape)).sum()

    for width in (1, 20):  # both ways of the values' gradient
        shape = (50, width) if on_left else (width, 37)
        operand = mx.random.normal(shape, key=mx.random.key(2))
        gradient = mx.grad(loss, argnums=(0, 1))
        pairs = (gradient(sparse.values, operand, unpack) for unpack in (False, True))
        for got, want in zip(*pairs, strict=True):
            assert mx.allclose(got, want, atol=1e-4).item()


def test_operands_of_different_types_give_float32():
    sparse = sparse_normal((4, 8), dtype=mx.float16, key=mx.random.key(0))
    assert (sparse @ mx.ones(8)).dtype == mx.float32
    assert (sparse @ mx.ones(8, mx.bfloat16)).dtype == mx.float32
    assert (sparse @ mx.ones(8, mx.int32)).dtype == mx.float16
    assert (np.ones((2, 4)) @ sparse).dtype == mx.float32


def test_a_product_is_lazy_and_compiles():
    sparse = sparse_normal((30, 40), key=mx.random.key(0))
    x = mx.random.normal((40, 2))
    assert mx.allclose(mx.compile(lambda x: sparse @ x)(x), sparse.to_dense() @ x, atol=1e-5).item()


@pytest.mark.parametrize(
    ("dense_type", "index", "most"),
    [
        (mx.float16, None, 0.21),  # 2 of 2 bytes and 2 for the column, a tenth of the places
        (mx.float16, mx.int32, 0.31),
        (mx.float32, mx.int32, 0.16),
    ],
)
def test_bytes_of_a_tenth(dense_type, index, most):
    sparse = sparse_normal(
        (1_000, 2_000), density=0.1, dtype=mx.float16, key=mx.random.key(0), index_dtype=index
    )
    assert sparse.density == pytest.approx(0.1)
    assert sparse.nbytes <= most * sparse.size * dense_type.size


def test_sparse_normal_is_a_function_of_its_key():
    arrays = [sparse_normal((40, 30), key=mx.random.key(seed)).to_dense() for seed in (1, 1, 2)]
    assert mx.array_equal(arrays[0], arrays[1]).item()
    assert not mx.array_equal(arrays[0], arrays[2]).item()
    mx.random.seed(5)
    first = sparse_normal((40, 30)).to_dense()
    mx.random.seed(5)
    assert mx.array_equal(first, sparse_normal((40, 30)).to_dense()).item()
    large = sparse_normal((300, 300), density=0.5, key=mx.random.key(3))
    assert large.nnz == 45_000
    assert abs(large.values.mean().item()) < 0.02
    assert abs(large.values.square().mean().item() - 1) < 0.03


@pytest.mark.parametrize("is_transposed", [False, True])
@pytest.mark.parametrize("name", FORMATS)
def test_save_and_load(tmp_path, name, is_transposed):
    sparse = sparse_normal((20, 33), density=0.5, dtype=mx.bfloat16, format=name)
    sparse = sparse.T if is_transposed else sparse
    sparse.save(tmp_path / "a.safetensors")
    loaded = SparseArray.load(tmp_path / "a.safetensors")
    assert (loaded.format, loaded.shape, loaded.dtype) == (name, sparse.shape, mx.bfloat16)
    assert mx.array_equal(loaded.to_dense(), sparse.to_dense()).item()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("columns", lambda a: a + 40),
        ("columns", lambda a: a[:-1]),
        ("row_starts", lambda a: a - 1),
        ("row_starts", lambda a: a.astype(mx.int64)),
        ("values", lambda a: a.astype(mx.int32)),
    ],
)
def test_a_file_with_wrong_arrays_is_refused(tmp_path, name, change):
    sparse = sparse_normal((20, 33), key=mx.random.key(0))
    sparse.save(tmp_path / "a.safetensors")
    arrays, metadata = mx.load(str(tmp_path / "a.safetensors"), return_metadata=True)
    changed = arrays | {name: change(arrays[name])}
    mx.save_safetensors(str(tmp_path / "b.safetensors"), changed, metadata)
    with pytest.raises(ModelLoadError, match="holds no sparse array"):
        SparseArray.load(tmp_path / "b.safetensors")
    mx.save_safetensors(str(tmp_path / "c.safetensors"), arrays)
    with pytest.raises(ModelLoadError, match="is missing"):
        SparseArray.load(tmp_path / "c.safetensors")


@pytest.mark.parametrize("shape", [[-4, -8], [4, 9]])
def test_a_file_with_a_false_header_is_refused(tmp_path, shape):
    entry = {"dtype": "F32", "shape": shape, "data_offsets": [0, 128]}
    header = json.dumps({"values": entry}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + bytes(128))
    with pytest.raises(ModelLoadError, match="holds no sparse array"):
        SparseArray.load(path)
    with pytest.raises(ModelLoadError, match="holds no sparse array"):
        SparseArray.load(tmp_path / "missing.safetensors")


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: SparseArray.from_coo([1.0], [2], [0], (2, 2)), r"rows\[0\] is 2; it is 0 to 1"),
        (lambda: SparseArray.from_coo([1.0], [0], [-1], (2, 2)), r"columns\[0\] is -1"),
        (lambda: SparseArray.from_coo([1.0], [0], [0], (0, 2)), r"rows\[0\] is 0"),
        (lambda: SparseArray.from_coo([1.0], [0.5], [0], (2, 2)), "indices are integers"),
        (lambda: SparseArray.from_coo([1.0], [0, 1], [0], (2, 2)), "of one length"),
        (lambda: SparseArray.from_coo([1.0], [0], [0], (2,)), "not two sizes"),
        (lambda: SparseArray.from_coo([1.0], [0], [0], (2, -2)), "not two sizes"),
        (lambda: SparseArray.from_coo([1], [0], [0], (2, 2)), "need dtype="),
        (lambda: SparseArray.from_coo([1j], [0], [0], (2, 2)), "need dtype="),
        (lambda: SparseArray.from_dense(mx.ones((2, 2), mx.int32)), "not mlx.core.int32"),
        (lambda: SparseArray.from_dense(mx.ones(2)), "has two dimensions"),
        (lambda: SparseArray.from_dense(["a"]), "no dense matrix"),
        (lambda: SparseArray.from_dense(mx.ones((2, 2)), format="ell"), "csr, bsr, 2:4"),
        (lambda: SparseArray.from_dense(mx.ones((2, 2)), block_size=32), "csr takes index_dtype"),
        (lambda: SparseArray.from_dense(mx.ones((2, 2)), index_dtype=mx.int8), "uint16 or int32"),
        (
            lambda: SparseArray.from_coo([1.0], [0], [0], (1, 70_000), index_dtype=mx.uint16),
            "do not fit uint16",
        ),
        (lambda: SparseArray.from_dense(mx.ones((2, 2)), format="bsr", block_size=8), "16, 32"),
        (lambda: SparseArray.from_dense(mx.ones((2, 4)), format="2:4"), "columns 0 to 3"),
        (lambda: SparseArray.from_scipy(np.ones((2, 2))), "no array of scipy.sparse"),
        (lambda: sparse_normal((2, 2), density=1.5), "0 to 1 is allowed"),
        (lambda: sparse_normal((2, 2), format="2:4"), "density=0.5"),
        (lambda: sparse_normal((2, 3)) @ mx.ones(2), "do not fit"),
        (lambda: sparse_normal((2, 3)) @ mx.ones((3, 1, 1)), "do not fit"),
        (lambda: matmul(mx.ones(3), sparse_normal((2, 3))), "do not fit"),
        (lambda: sparse_normal((2, 3)) @ sparse_normal((3, 2)), "Both operands are sparse"),
        (lambda: sparse_normal((2, 3)) @ "x", "no dense array"),
        (lambda: sparse_normal((2, 3)) @ mx.ones(3, mx.complex64), "complex"),
        (lambda: matmul(mx.ones((2, 2)), mx.ones((2, 2))), "one SparseArray"),
        (lambda: sparse_normal((2, 3)).with_values(mx.ones(3)), "The values are"),
        (lambda: sparse_normal((2, 3)).astype(mx.int32), "not mlx.core.int32"),
    ],
)
def test_what_is_refused(build, message):
    with pytest.raises(ConfigError, match=message):
        build()


def test_formats_convert():
    sparse = sparse_normal((70, 40), density=0.05, key=mx.random.key(0))
    blocks = sparse.to_format("bsr", block_size=16)
    assert blocks.nnz > sparse.nnz
    assert mx.array_equal(blocks.to_format("csr").to_dense(), sparse.to_dense()).item()


def test_stored_entries_of_blocks_end_at_the_edge():
    full = SparseArray.from_dense(mx.ones((40, 50)), format="bsr")
    assert full.nnz == 2_000
    assert full.density == 1
