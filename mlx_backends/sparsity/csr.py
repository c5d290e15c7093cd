"""Compressed sparse rows: the entries of each row in turn, with their columns."""

from collections.abc import Mapping
from functools import cached_property
from typing import Self

import mlx.core as mx
import numpy as np

from mlx_backends import kernels
from mlx_backends.errors import ConfigError
from mlx_backends.sparsity import policy
from mlx_backends.sparsity.triples import Triples, checked_dtype

_MAX_UINT16 = 2**16
_MAX_GATHERED_VECTORS = 8  # for more, one dense product and a gather take less time and memory


class Places:
    """Where the entries of a matrix in compressed sparse rows stand.

    Attributes:
        shape: Rows and columns of the matrix.
        columns: Column of each entry, uint16 or int32, padded to a multiple of the kernels' chunk.
        row_starts: First entry of each row, and the number of entries; int32.
    """

    def __init__(self, shape: tuple[int, int], columns: mx.array, row_starts: mx.array) -> None:
        self.shape = shape
        self.columns = columns
        self.row_starts = row_starts
        self.count = int(row_starts[-1])
        mx.eval(columns, row_starts)

    @classmethod
    def of(
        cls,
        shape: tuple[int, int],
        rows: np.ndarray,
        columns: np.ndarray,
        index_dtype: mx.Dtype | None = None,
    ) -> Self:
        """Places in order; columns take two bytes where they fit, unless told otherwise."""
        is_narrow = _is_narrow(shape[1], index_dtype)
        stored = np.zeros(_padded(len(columns)), np.uint16 if is_narrow else np.int32)
        stored[: len(columns)] = columns
        counts = np.bincount(rows, minlength=shape[0]) if len(rows) else np.zeros(shape[0], int)
        starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
        return cls(shape, mx.array(stored), mx.array(starts))

    @cached_property
    def entry_columns(self) -> mx.array:
        return self.columns[: self.count]

    @cached_property
    def entry_rows(self) -> mx.array:
        """Row of each entry, int32."""
        rows = mx.array(np.repeat(np.arange(self.shape[0], dtype=np.int32), self._counts))
        mx.eval(rows)
        return rows

    @cached_property
    def segments(self) -> mx.array:
        """First entry and end of each row. Shapes: (rows, 2) uint32."""
        pairs = mx.stack([self.row_starts[:-1], self.row_starts[1:]], axis=1).astype(mx.uint32)
        mx.eval(pairs)
        return pairs

    @cached_property
    def transposed(self) -> tuple["Places", mx.array]:
        """Places of the transpose, and where each of its entries stands here."""
        columns = np.array(self.columns)[: self.count]
        order = np.argsort(columns, kind="stable")
        rows = np.array(self.entry_rows)
        places = Places.of((self.shape[1], self.shape[0]), columns[order], rows[order])
        padded = np.zeros(_padded(self.count), np.int32)
        padded[: self.count] = order
        where = mx.array(padded)
        mx.eval(where)
        return places, where

    @property
    def _counts(self) -> np.ndarray:
        return np.diff(np.array(self.row_starts))


class CSR:
    """A matrix in compressed sparse rows (Saad 2003, "Iterative Methods", section 3.4)."""

    name: str = "csr"

    def __init__(self, values: mx.array, places: Places) -> None:
        self.values = values
        self.places = places

    @classmethod
    def from_triples(cls, triples: Triples, *, index_dtype: mx.Dtype | None = None) -> Self:
        places = Places.of(triples.shape, triples.rows, triples.columns, index_dtype)
        return cls(_pad(triples.values), places)

    @classmethod
    def from_dense(cls, dense: mx.array, *, index_dtype: mx.Dtype | None = None) -> Self:
        return cls.from_triples(Triples.of_dense(dense), index_dtype=index_dtype)

    @classmethod
    def from_arrays(cls, shape: tuple[int, int], arrays: Mapping[str, mx.array]) -> Self:
        values, columns, row_starts = (arrays[name] for name in ("values", "columns", "row_starts"))
        checked_dtype(values.dtype)
        starts = np.array(row_starts)
        is_well_formed = (
            row_starts.dtype == mx.int32
            and columns.dtype in (mx.uint16, mx.int32)
            and starts.shape == (shape[0] + 1,)
            and starts[0] == 0
            and bool((np.diff(starts) >= 0).all())
            and values.shape == columns.shape == (_padded(int(starts[-1])),)
        )
        if not is_well_formed or not _are_within(np.array(columns), shape[1]):
            raise ConfigError(
                f"values {values.shape}, columns {columns.shape} {columns.dtype} and row_starts "
                f"{row_starts.shape} {row_starts.dtype} are no compressed sparse rows of {shape}."
            )
        return cls(values, Places(shape, columns, row_starts))

    @property
    def shape(self) -> tuple[int, int]:
        return self.places.shape

    @property
    def nnz(self) -> int:
        return self.places.count

    def arrays(self) -> dict[str, mx.array]:
        return {
            "values": self.values,
            "columns": self.places.columns,
            "row_starts": self.places.row_starts,
        }

    def with_values(self, values: mx.array) -> Self:
        return type(self)(values, self.places)

    def to_dense(self) -> mx.array:
        places = self.places
        flat = mx.zeros(self.shape[0] * self.shape[1], self.values.dtype)
        if not places.count:
            return flat.reshape(self.shape)
        index = places.entry_rows.astype(mx.int64) * self.shape[1] + places.entry_columns
        return mx.put_along_axis(flat, index, self._entries, axis=0).reshape(self.shape)

    def apply(self, x: mx.array) -> mx.array:
        places = self.places
        if policy.unpacks(self, x):
            return x @ self.to_dense().T
        if kernels.host() is not None:
            return kernels.csr_matmul(self.values, places.columns, places.row_starts, x)
        rows = mx.contiguous(x.astype(mx.float32).reshape(-1, x.shape[-1]).T)
        entries = self._entries.astype(mx.float32)[None]
        out = mx.segmented_mm(entries, rows[places.entry_columns], places.segments)
        out = out.reshape(self.shape[0], -1).T.astype(x.dtype)
        return out.reshape(*x.shape[:-1], self.shape[0])

    def apply_transposed(self, x: mx.array) -> mx.array:
        if policy.unpacks(self, x):
            return x @ self.to_dense()
        places, order = self.places.transposed
        return CSR(self.values[order], places).apply(x)

    def value_gradient(self, x: mx.array, gradient: mx.array) -> mx.array:
        places = self.places
        x, gradient = x.astype(mx.float32), gradient.astype(mx.float32)
        rows, columns = places.entry_rows, places.entry_columns
        if len(x) <= _MAX_GATHERED_VECTORS:
            by_entry = (gradient[:, rows] * x[:, columns]).sum(axis=0)
        else:
            by_entry = (gradient.T @ x)[rows, columns]
        return _pad(by_entry.astype(self.values.dtype))

    @property
    def _entries(self) -> mx.array:
        return self.values[: self.places.count]


def _is_narrow(num_columns: int, index_dtype: mx.Dtype | None) -> bool:
    """Whether columns are stored in two bytes."""
    fits = num_columns <= _MAX_UINT16
    if index_dtype is None:
        return fits
    if not isinstance(index_dtype, mx.Dtype) or index_dtype not in (mx.uint16, mx.int32):
        raise ConfigError(f"index_dtype={index_dtype}: columns are uint16 or int32.")
    if index_dtype == mx.uint16 and not fits:
        raise ConfigError(f"{num_columns:,} columns do not fit uint16; use index_dtype=mx.int32.")
    return index_dtype == mx.uint16


def _padded(count: int) -> int:
    """Entries stored for so many: whole chunks, which kernels read at once, and at least one."""
    chunk = kernels.CHUNK
    return max(-(-count // chunk), 1) * chunk


def _pad(values: mx.array) -> mx.array:
    return mx.pad(values, (0, _padded(values.size) - values.size))


def _are_within(columns: np.ndarray, size: int) -> bool:
    # The padding's columns are 0, also where there is no column.
    return not columns.size or (columns.min() >= 0 and columns.max() < max(size, 1))
