"""Square blocks, of which only those with an entry are stored."""

from collections.abc import Mapping
from functools import cached_property
from typing import Self

import mlx.core as mx
import numpy as np

from mlx_backends import kernels
from mlx_backends.errors import ConfigError
from mlx_backends.sparsity import policy
from mlx_backends.sparsity.padding import cut, padded
from mlx_backends.sparsity.triples import Triples, checked_dtype

DEFAULT_BLOCK_SIZE = 32


class BlockPlaces:
    """Where the blocks of a matrix stand.

    Attributes:
        shape: Rows and columns of the matrix; the last blocks may reach over them.
        size: Rows and columns of a block.
        columns: Column of each block, in blocks; int32.
        row_starts: First block of each row of blocks, and the number of blocks; int32.
    """

    def __init__(
        self, shape: tuple[int, int], size: int, columns: mx.array, row_starts: mx.array
    ) -> None:
        self.shape = shape
        self.size = size
        self.columns = columns
        self.row_starts = row_starts
        mx.eval(columns, row_starts)

    @classmethod
    def of(cls, shape: tuple[int, int], size: int, rows: np.ndarray, columns: np.ndarray) -> Self:
        """Places of blocks in order."""
        counts = np.bincount(rows, minlength=_in_blocks(shape[0], size)) if len(rows) else 0
        starts = np.zeros(_in_blocks(shape[0], size) + 1, np.int32)
        starts[1:] = np.cumsum(counts + np.zeros(len(starts) - 1, int))
        return cls(shape, size, mx.array(columns.astype(np.int32)), mx.array(starts))

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of blocks."""
        return _in_blocks(self.shape[0], self.size), _in_blocks(self.shape[1], self.size)

    @cached_property
    def rows(self) -> mx.array:
        """Row of each block, in blocks; int32."""
        counts = np.diff(np.array(self.row_starts))
        rows = mx.array(np.repeat(np.arange(len(counts), dtype=np.int32), counts))
        mx.eval(rows)
        return rows

    @cached_property
    def nnz(self) -> int:
        """Stored elements inside the shape."""
        heights, widths = (
            np.minimum(self.size, side - self.size * np.array(index))
            for side, index in zip(self.shape, (self.rows, self.columns), strict=True)
        )
        return int((heights * widths).sum())

    @cached_property
    def segments(self) -> mx.array:
        """First element and end of each row of blocks along the blocks' columns, uint32."""
        pairs = mx.stack([self.row_starts[:-1], self.row_starts[1:]], axis=1) * self.size
        pairs = pairs.astype(mx.uint32)
        mx.eval(pairs)
        return pairs

    @cached_property
    def transposed(self) -> tuple["BlockPlaces", mx.array]:
        """Places of the transpose, and where each of its blocks stands here."""
        columns, rows = np.array(self.columns), np.array(self.rows)
        order = np.argsort(columns, kind="stable")
        shape = (self.shape[1], self.shape[0])
        places = BlockPlaces.of(shape, self.size, columns[order], rows[order])
        return places, mx.array(order.astype(np.int32))


class Blocks:
    """A matrix in square blocks, ``values[i]`` the transpose of block i.

    A block is stored by columns: so a product on a CPU walks through memory in order.
    """

    name: str = "bsr"

    def __init__(self, values: mx.array, places: BlockPlaces) -> None:
        self.values = values
        self.places = places

    @classmethod
    def from_triples(cls, triples: Triples, *, block_size: int = DEFAULT_BLOCK_SIZE) -> Self:
        size = _checked_size(block_size)
        block_rows, block_columns = triples.rows // size, triples.columns // size
        width = _in_blocks(triples.shape[1], size)
        found, owner = np.unique(block_rows * width + block_columns, return_inverse=True)
        values = np.zeros((len(found), size, size), np.float32)
        values[owner, triples.columns % size, triples.rows % size] = np.array(
            triples.values.astype(mx.float32)
        )
        places = BlockPlaces.of(triples.shape, size, *np.divmod(found, max(width, 1)))
        return cls(mx.array(values).astype(triples.values.dtype), places)

    @classmethod
    def from_dense(cls, dense: mx.array, *, block_size: int = DEFAULT_BLOCK_SIZE) -> Self:
        size = _checked_size(block_size)
        shape = (dense.shape[0], dense.shape[1])
        padding = [(0, -side % size) for side in shape]
        height, width = (_in_blocks(side, size) for side in shape)
        grid = mx.pad(dense, padding).reshape(height, size, width, size).transpose(0, 2, 3, 1)
        rows, columns = np.nonzero(np.array((grid != 0).any(axis=(2, 3))))
        places = BlockPlaces.of(shape, size, rows, columns)
        return cls(mx.contiguous(grid[places.rows, places.columns]), places)

    @classmethod
    def from_arrays(cls, shape: tuple[int, int], arrays: Mapping[str, mx.array]) -> Self:
        values, columns, row_starts = (arrays[name] for name in ("values", "columns", "row_starts"))
        checked_dtype(values.dtype)
        size = _checked_size(values.shape[-1] if values.ndim == 3 else 0)
        starts, found = np.array(row_starts), np.array(columns)
        is_well_formed = (
            row_starts.dtype == columns.dtype == mx.int32
            and starts.shape == (_in_blocks(shape[0], size) + 1,)
            and starts[0] == 0
            and starts[-1] == found.size
            and bool((np.diff(starts) >= 0).all())
            and values.shape == (found.size, size, size)
            and (not found.size or 0 <= found.min() <= found.max() < _in_blocks(shape[1], size))
        )
        if not is_well_formed:
            raise ConfigError(
                f"values {values.shape}, columns {columns.shape} {columns.dtype} and row_starts "
                f"{row_starts.shape} {row_starts.dtype} are no blocks of an array of {shape}."
            )
        return cls(values, BlockPlaces(shape, size, columns, row_starts))

    @property
    def shape(self) -> tuple[int, int]:
        return self.places.shape

    @property
    def nnz(self) -> int:
        return self.places.nnz

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
        size, (height, width) = places.size, places.grid
        grid = mx.zeros((height, width, size, size), self.values.dtype)
        if len(self.values):
            grid[places.rows, places.columns] = self.values
        dense = grid.transpose(0, 3, 1, 2).reshape(height * size, width * size)
        return dense[: self.shape[0], : self.shape[1]]

    def apply(self, x: mx.array) -> mx.array:
        places = self.places
        if policy.unpacks(self, x):
            return x @ self.to_dense().T
        x = padded(x, places.size)
        if kernels.host() is not None:
            out = kernels.block_matmul(self.values, places.columns, places.row_starts, x)
        else:
            rows = x.astype(mx.float32).reshape(-1, x.shape[-1])
            out = self._apply_on_cpu(rows).astype(x.dtype).reshape(*x.shape[:-1], -1)
        return cut(out, self.shape[0])

    def _apply_on_cpu(self, x: mx.array) -> mx.array:
        """One product whose inner dimension runs over the blocks of each row in turn."""
        places = self.places
        pieces = x.reshape(len(x), places.grid[1], places.size)[:, places.columns]
        blocks = self.values.astype(mx.float32).reshape(-1, places.size)
        out = mx.segmented_mm(pieces.reshape(len(x), -1), blocks, places.segments)
        return out.swapaxes(0, 1).reshape(len(x), -1)

    def apply_transposed(self, x: mx.array) -> mx.array:
        places, order = self.places.transposed
        return Blocks(mx.contiguous(self.values[order].swapaxes(1, 2)), places).apply(x)

    def value_gradient(self, x: mx.array, gradient: mx.array) -> mx.array:
        places, size = self.places, self.places.size
        x, gradient = (
            padded(side.astype(mx.float32), size).reshape(len(side), -1, size).transpose(1, 2, 0)
            for side in (x, gradient)
        )
        products = x[places.columns] @ gradient[places.rows].swapaxes(1, 2)
        return products.astype(self.values.dtype)


def _checked_size(block_size: int) -> int:
    if block_size not in kernels.BLOCK_SIZES:
        raise ConfigError(f"block_size={block_size}: one of {kernels.BLOCK_SIZES} is allowed.")
    return block_size


def _in_blocks(side: int, size: int) -> int:
    return -(-side // size)
