"""``SparseArray``: a matrix that stores its non-zero entries only."""

from collections.abc import Mapping
from os import PathLike
from typing import Any, Literal, Self, cast, get_args

import mlx.core as mx
import numpy as np

from mlx_backends.errors import ConfigError
from mlx_backends.sparsity import files, product
from mlx_backends.sparsity.blocks import Blocks
from mlx_backends.sparsity.csr import CSR
from mlx_backends.sparsity.format import Format
from mlx_backends.sparsity.triples import Triples, checked_dense, checked_dtype, checked_shape
from mlx_backends.sparsity.two_four import TwoFour

FormatName = Literal["csr", "bsr", "2:4"]
FORMATS: tuple[FormatName, ...] = get_args(FormatName)
_CLASSES: dict[str, Any] = {cls.name: cls for cls in (CSR, Blocks, TwoFour)}


class SparseArray:
    """A matrix in one of three formats, multiplied by ``@`` with dense vectors and matrices.

    Products accumulate in float32 and have the operands' type, or float32 where these differ. They
    are lazy, and have gradients of the dense operand and of ``values``. MLX's arrays refuse foreign
    operands on their right, so ``dense @ sparse`` is written ``matmul(dense, sparse)``; NumPy's
    arrays take ``@`` on both sides.

    Formats are ``"csr"``: any pattern, a value and a column an entry, which takes 2 bytes up to
    65,536 columns and else 4; ``"bsr"``: square blocks of which those with an entry are stored;
    ``"2:4"``: at most two entries in each four of a row, with two bits for the place of each.
    """

    __array_ufunc__ = None  # NumPy's arrays on the left leave the product to this class

    def __init__(self, stored: Format, *, is_transposed: bool = False) -> None:
        """Wrap a format; the class methods are the usual way."""
        self._stored = stored
        self._is_transposed = is_transposed

    @classmethod
    def from_dense(
        cls,
        dense: Any,
        *,
        format: FormatName = "csr",
        dtype: mx.Dtype | None = None,
        **options: Any,
    ) -> Self:
        """Keep what is not zero.

        Args:
            dense: A matrix: ``mx.array``, NumPy array or nested lists.
            format: ``"csr"``, ``"bsr"`` or ``"2:4"``.
            dtype: float32, float16 or bfloat16; None keeps the values' own, and float64 becomes
                float32.
            **options: ``index_dtype`` (csr): ``mx.uint16`` or ``mx.int32``; ``block_size`` (bsr):
                16, 32 or 64.

        Raises:
            ConfigError: Not a matrix, a type or an option is not allowed, or it is not 2:4.
        """
        matrix = checked_dense(dense, dtype)
        return cls(_class(format, options).from_dense(matrix, **options))

    @classmethod
    def from_coo(
        cls,
        values: Any,
        rows: Any,
        columns: Any,
        shape: tuple[int, int],
        *,
        format: FormatName = "csr",
        dtype: mx.Dtype | None = None,
        **options: Any,
    ) -> Self:
        """From triples in any order; values of one place are summed, as SciPy does.

        Raises:
            ConfigError: Lengths differ, an index is out of range, or see ``from_dense``.
        """
        triples = Triples.of(values, rows, columns, shape, dtype)
        return cls(_class(format, options).from_triples(triples, **options))

    @classmethod
    def from_scipy(
        cls,
        matrix: Any,
        *,
        format: FormatName = "csr",
        dtype: mx.Dtype | None = None,
        **options: Any,
    ) -> Self:
        """From any array or matrix of ``scipy.sparse``; zeros that it stores are kept.

        Raises:
            ConfigError: It is none, or see ``from_coo``.
        """
        if not all(hasattr(matrix, name) for name in ("tocoo", "nnz", "shape")):
            raise ConfigError(f"{type(matrix).__name__} is no array of scipy.sparse.")
        coo = matrix.tocoo()
        return cls.from_coo(
            coo.data, coo.row, coo.col, coo.shape, format=format, dtype=dtype, **options
        )

    @classmethod
    def from_arrays(
        cls, arrays: Mapping[str, mx.array], shape: tuple[int, int], *, format: FormatName = "csr"
    ) -> Self:
        """From what ``arrays`` of an array of this shape and format gave.

        Raises:
            ConfigError: One is missing or does not fit.
        """
        sides, stored = checked_shape(shape), _class(format, {})
        try:
            return cls(stored.from_arrays(sides, arrays))
        except KeyError as error:
            raise ConfigError(f"The {format} array {error} is missing.") from error

    @classmethod
    def load(cls, path: str | PathLike[str]) -> Self:
        """Read what ``save`` wrote.

        Raises:
            ModelLoadError: The file is malformed or holds no sparse array.
        """
        stored, is_transposed = files.load(path, _CLASSES)
        return cls(stored, is_transposed=is_transposed)

    def save(self, path: str | PathLike[str]) -> None:
        """Write as safetensors: the format's arrays, with shape and format in the metadata."""
        files.save(path, self._stored, self._is_transposed)

    @property
    def format(self) -> FormatName:
        """``"csr"``, ``"bsr"`` or ``"2:4"``; of the array before ``.T`` where it is a transpose."""
        return cast(FormatName, self._stored.name)

    @property
    def shape(self) -> tuple[int, int]:
        rows, columns = self._stored.shape
        return (columns, rows) if self._is_transposed else (rows, columns)

    @property
    def ndim(self) -> int:
        return 2

    @property
    def size(self) -> int:
        """Elements of the dense matrix."""
        return self.shape[0] * self.shape[1]

    @property
    def dtype(self) -> mx.Dtype:
        return self._stored.values.dtype

    @property
    def nnz(self) -> int:
        """Stored entries, zeros among them included: whole blocks, and two of each four."""
        return self._stored.nnz

    @property
    def density(self) -> float:
        """Stored entries as a share of all; 0 for an array without elements."""
        return self.nnz / self.size if self.size else 0.0

    @property
    def nbytes(self) -> int:
        """Bytes of values and indices. The first product from the other side adds as much again."""
        return sum(array.nbytes for array in self._stored.arrays().values())

    @property
    def values(self) -> mx.array:
        """Stored values in the format's order, as a parameter to train."""
        return self._stored.values

    @property
    def arrays(self) -> dict[str, mx.array]:
        """All that is stored, by name."""
        return self._stored.arrays()

    @property
    def T(self) -> Self:
        """The transpose, which shares this array's memory."""
        return type(self)(self._stored, is_transposed=not self._is_transposed)

    def with_values(self, values: mx.array) -> Self:
        """The same places with other values: inside a function whose gradient is taken.

        Raises:
            ConfigError: The shape is not that of ``values``.
        """
        if values.shape != self.values.shape:
            raise ConfigError(f"The values are {values.shape}; they are {self.values.shape} here.")
        return type(self)(self._stored.with_values(values), is_transposed=self._is_transposed)

    def astype(self, dtype: mx.Dtype) -> Self:
        """With values of another type.

        Raises:
            ConfigError: The type is not one of float32, float16 and bfloat16.
        """
        return self.with_values(self.values.astype(checked_dtype(dtype)))

    def to_dense(self) -> mx.array:
        """The whole matrix."""
        dense = self._stored.to_dense()
        return dense.T if self._is_transposed else dense

    def to_format(self, format: FormatName, **options: Any) -> Self:
        """Another format of the same matrix; stored zeros are dropped. See ``from_dense``."""
        return type(self).from_dense(self.to_dense(), format=format, **options)

    def __matmul__(self, dense: Any) -> mx.array:
        """``self @ dense``. Shapes: (K,) -> (M,), (K, N) -> (M, N).

        Raises:
            ConfigError: The operand is not dense or does not fit.
        """
        operand = _operand(dense, self.shape, self.shape[1], axis=0, name=f"sparse {self.shape} @")
        if operand.ndim == 1:
            return self._product(operand, transposed=self._is_transposed)
        return self._product(operand.T, transposed=self._is_transposed).T

    def rmatmul(self, dense: Any) -> mx.array:
        """``dense @ self``. Shapes: (M,) -> (K,), (N, M) -> (N, K).

        Raises:
            ConfigError: The operand is not dense or does not fit.
        """
        operand = _operand(dense, self.shape, self.shape[0], axis=-1, name="@ sparse")
        return self._product(operand, transposed=not self._is_transposed)

    __rmatmul__ = rmatmul

    def linear(self, x: mx.array, *, has_gradient: bool = True) -> mx.array:
        """``x @ self.T``, what a linear layer computes. Shapes: (..., K) -> (..., M).

        Args:
            x: Any number of dimensions.
            has_gradient: Without, the product is one operation less and has no gradient.

        Raises:
            ConfigError: The last dimension does not fit.
        """
        rows = x.reshape(-1, x.shape[-1])
        rows = _operand(rows, self.shape, self.shape[1], axis=-1, name="linear")
        out = self._product(rows, transposed=self._is_transposed, has_gradient=has_gradient)
        return out.reshape(*x.shape[:-1], self.shape[0])

    def _product(
        self, vectors: mx.array, *, transposed: bool, has_gradient: bool = True
    ) -> mx.array:
        """Vectors times the stored matrix or its transpose. Shapes: (..., in) -> (..., out)."""
        stored = self._stored
        dtype = _product_type(stored.values.dtype, vectors.dtype)
        rows, columns = stored.shape
        if not vectors.size or not rows or not columns:
            return mx.zeros((*vectors.shape[:-1], columns if transposed else rows), dtype)
        stored, vectors = _cast(stored, dtype), vectors.astype(dtype)
        if not has_gradient:
            return stored.apply_transposed(vectors) if transposed else stored.apply(vectors)
        multiply = product.apply_transposed if transposed else product.apply
        return multiply(stored, vectors)

    def __repr__(self) -> str:
        return (
            f"SparseArray({self.shape}, {self.dtype}, format={self.format!r}, nnz={self.nnz:,}, "
            f"density={self.density:.3g}, {self.nbytes:,} bytes)"
        )


def matmul(a: Any, b: Any) -> mx.array:
    """``a @ b`` where one of both is a ``SparseArray`` and the other is dense.

    Raises:
        ConfigError: Both are sparse or none is, or the shapes do not fit.
    """
    if isinstance(a, SparseArray) == isinstance(b, SparseArray):
        raise ConfigError(
            f"matmul takes one SparseArray and one dense array, not {type(a).__name__} and "
            f"{type(b).__name__}. Unpack one of two sparse ones with to_dense()."
        )
    return a @ b if isinstance(a, SparseArray) else b.rmatmul(a)


def _class(name: str, options: dict[str, Any]) -> Any:
    allowed = {"csr": {"index_dtype"}, "bsr": {"block_size"}, "2:4": set[str]()}
    if name not in allowed:
        raise ConfigError(f"format={name!r}: {', '.join(FORMATS)} are allowed.")
    unknown = set(options) - allowed[name]
    if unknown:
        raise ConfigError(
            f"{name} takes {', '.join(sorted(allowed[name])) or 'no options'}, not "
            f"{', '.join(sorted(unknown))}."
        )
    return _CLASSES[name]


def _operand(dense: Any, shape: tuple[int, int], length: int, *, axis: int, name: str) -> mx.array:
    if isinstance(dense, SparseArray):
        raise ConfigError(
            "Both operands are sparse; a product has one dense operand. Unpack one with to_dense()."
        )
    if isinstance(dense, np.ndarray) and dense.dtype == np.float64:
        dense = dense.astype(np.float32)
    try:
        operand = dense if isinstance(dense, mx.array) else mx.array(dense)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{type(dense).__name__} is no dense array: {error}.") from error
    if operand.ndim not in (1, 2) or operand.shape[axis] != length:
        raise ConfigError(
            f"{name}: the dense operand is {operand.shape}, the sparse one {shape}; they do not "
            f"fit. A vector or matrix with {length} along its inner dimension is allowed."
        )
    if operand.dtype == mx.complex64:
        raise ConfigError("The dense operand is complex; real numbers are allowed.")
    return operand


def _product_type(values: mx.Dtype, operand: mx.Dtype) -> mx.Dtype:
    if operand == values or not mx.issubdtype(operand, mx.floating):
        return values
    return mx.float32


def _cast(stored: Format, dtype: mx.Dtype) -> Format:
    if stored.values.dtype == dtype:
        return stored
    return stored.with_values(stored.values.astype(dtype))
