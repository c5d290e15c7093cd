"""Coordinates and values of a matrix's entries, checked, in order and each place once."""

from dataclasses import dataclass
from typing import Any, Self

import mlx.core as mx
import numpy as np

from mlx_backends.errors import ConfigError

DTYPES = (mx.float32, mx.float16, mx.bfloat16)
MAX_SIDE = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Triples:
    """Entries of a matrix, row by row, by column within a row.

    Attributes:
        shape: Rows and columns of the matrix.
        rows: Row of each entry, int64.
        columns: Column of each entry, int64.
        values: One-dimensional, of one of ``DTYPES``.
    """

    shape: tuple[int, int]
    rows: np.ndarray
    columns: np.ndarray
    values: mx.array

    @classmethod
    def of(cls, values: Any, rows: Any, columns: Any, shape: Any, dtype: mx.Dtype | None) -> Self:
        """Check triples in any order; the values of one place are summed in float64.

        Raises:
            ConfigError: Lengths differ, an index is out of range, or a type is not allowed.
        """
        shape = checked_shape(shape)
        given, out_type = checked_values(values, dtype)
        row, column = _indices("rows", rows, shape[0]), _indices("columns", columns, shape[1])
        if given.ndim != 1 or not len(given) == len(row) == len(column):
            raise ConfigError(
                f"There are {given.shape} values, {row.shape} rows and {column.shape} columns; "
                "triples are three one-dimensional arrays of one length."
            )
        places = row * shape[1] + column
        order = np.argsort(places, kind="stable")
        places = places[order]
        first = np.flatnonzero(np.diff(places, prepend=-1))
        sums = given[order]
        if len(first) < len(places):
            sums = np.add.reduceat(sums.astype(np.float64), first)
        rows, columns = np.divmod(places[first], max(shape[1], 1))
        return cls(shape, rows, columns, mx.array(sums.astype(np.float32)).astype(out_type))

    @classmethod
    def of_dense(cls, dense: mx.array) -> Self:
        """The entries of a matrix that are not zero."""
        rows, columns = np.nonzero(np.array(dense != 0))
        places = mx.array(rows * dense.shape[1] + columns)
        return cls(checked_shape(dense.shape), rows, columns, dense.reshape(-1)[places])


def checked_shape(shape: Any) -> tuple[int, int]:
    """A matrix's shape.

    Raises:
        ConfigError: It is not two sizes from 0 on.
    """
    try:
        sides = tuple(int(side) for side in shape)
    except (TypeError, ValueError):
        sides = ()
    if len(sides) != 2 or not all(0 <= side <= MAX_SIDE for side in sides):
        raise ConfigError(f"The shape {shape!r:.80} is not two sizes from 0 to {MAX_SIDE:,}.")
    return sides[0], sides[1]


def checked_dense(dense: Any, dtype: mx.Dtype | None) -> mx.array:
    """A dense matrix as one of ``DTYPES``; float64 becomes float32.

    Raises:
        ConfigError: It is no matrix, or its type is not allowed.
    """
    if isinstance(dense, np.ndarray) and dense.dtype.kind == "f":
        dense = dense if dense.dtype == np.float16 else dense.astype(np.float32)
    try:
        array = dense if isinstance(dense, mx.array) else mx.array(dense)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{type(dense).__name__} is no dense matrix: {error}.") from error
    array = array.astype(checked_dtype(dtype or array.dtype))
    if array.ndim != 2:
        raise ConfigError(f"The dense array is {array.shape}; a sparse array has two dimensions.")
    return array


def checked_dtype(dtype: Any) -> mx.Dtype:
    """A type that sparse arrays may have.

    Raises:
        ConfigError: It is another one.
    """
    if not isinstance(dtype, mx.Dtype) or dtype not in DTYPES:
        raise ConfigError(
            f"Sparse arrays are float32, float16 or bfloat16, not {dtype}. Give dtype=, or convert "
            "the values first."
        )
    return dtype


def checked_values(values: Any, dtype: mx.Dtype | None) -> tuple[np.ndarray, mx.Dtype]:
    """Values in NumPy, and the type that they are to have."""
    if isinstance(values, mx.array):
        out_type = checked_dtype(dtype or values.dtype)
        return np.array(values.astype(mx.float32)), out_type
    given = np.asarray(values)
    if given.dtype.kind not in "fiub" or (dtype is None and given.dtype.kind != "f" and given.size):
        raise ConfigError(
            f"Values of type {given.dtype} need dtype=: float32, float16 or bfloat16 are allowed."
        )
    natural = mx.float16 if given.dtype == np.float16 else mx.float32
    return given, checked_dtype(dtype or natural)


def _indices(name: str, indices: Any, size: int) -> np.ndarray:
    found = np.asarray(indices)
    if found.size == 0:
        return np.zeros(found.shape, np.int64)
    if found.dtype.kind not in "iu":
        raise ConfigError(f"{name} are {found.dtype}; indices are integers.")
    found = found.astype(np.int64)
    outside = np.flatnonzero((found < 0) | (found >= size))
    if outside.size:
        at = int(outside[0])
        raise ConfigError(
            f"{name}[{at}] is {found.reshape(-1)[at]}; it is 0 to {size - 1} in an array with "
            f"{size} {name}."
        )
    return found
