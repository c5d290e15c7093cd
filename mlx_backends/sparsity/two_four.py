"""Two kept values in each four of a row, and two bits that say where each stands."""

from collections.abc import Mapping
from typing import Self

import mlx.core as mx
import numpy as np

from mlx_backends import kernels
from mlx_backends.errors import ConfigError
from mlx_backends.sparsity import policy
from mlx_backends.sparsity.padding import cut, padded
from mlx_backends.sparsity.triples import Triples, checked_dtype

_COLUMNS_A_CHUNK = 16  # what the kernels read at once: eight values and two bytes of positions


class TwoFour:
    """A matrix with at most two entries in each four of a row (Mishra et al. 2021).

    Source: arXiv:2104.08378. Columns are padded with zeros to a multiple of 16.
    """

    name: str = "2:4"

    def __init__(self, shape: tuple[int, int], values: mx.array, positions: mx.array) -> None:
        self._shape = shape
        self.values = values
        self.positions = positions
        mx.eval(positions)

    @classmethod
    def from_triples(cls, triples: Triples) -> Self:
        dense = mx.zeros(triples.shape, triples.values.dtype)
        if triples.values.size:
            rows, columns = mx.array(triples.rows), mx.array(triples.columns)
            dense = dense.at[rows, columns].add(triples.values)
        return cls.from_dense(dense)

    @classmethod
    def from_dense(cls, dense: mx.array) -> Self:
        shape = (dense.shape[0], dense.shape[1])
        fours = padded(dense, _COLUMNS_A_CHUNK).reshape(shape[0], -1, 4)
        is_entry = fours != 0
        full = np.argwhere(np.array(is_entry.sum(axis=-1) > 2))
        if len(full):
            row, four = full[0]
            raise ConfigError(
                f"Row {row} has more than two values in columns {4 * four} to {4 * four + 3}, and "
                f"{len(full) - 1} more fours do. Prune to 2:4 first, or use another format."
            )
        first, second = _two_places(is_entry)
        values = mx.stack([_at(fours, first), _at(fours, second)], axis=-1)
        shifts = mx.arange(0, _COLUMNS_A_CHUNK, 4, dtype=mx.uint32)
        words = (first + 4 * second).reshape(shape[0], -1, _COLUMNS_A_CHUNK // 4) << shifts
        positions = words.sum(axis=-1).astype(mx.uint16)
        return cls(shape, values.reshape(shape[0], -1), positions)

    @classmethod
    def from_arrays(cls, shape: tuple[int, int], arrays: Mapping[str, mx.array]) -> Self:
        values, positions = arrays["values"], arrays["positions"]
        checked_dtype(values.dtype)
        chunks = -(-shape[1] // _COLUMNS_A_CHUNK)
        if (
            values.shape != (shape[0], chunks * _COLUMNS_A_CHUNK // 2)
            or positions.shape != (shape[0], chunks)
            or positions.dtype != mx.uint16
        ):
            raise ConfigError(
                f"values {values.shape} and positions {positions.shape} {positions.dtype} are no "
                f"2:4 array of {shape}."
            )
        return cls(shape, values, positions)

    @property
    def shape(self) -> tuple[int, int]:
        return self._shape

    @property
    def nnz(self) -> int:
        return self.shape[0] * -(-self.shape[1] // 2)

    def arrays(self) -> dict[str, mx.array]:
        return {"values": self.values, "positions": self.positions}

    def with_values(self, values: mx.array) -> Self:
        return type(self)(self.shape, values, self.positions)

    def to_dense(self) -> mx.array:
        return cut(self._spread(), self.shape[1])

    def apply(self, x: mx.array) -> mx.array:
        if policy.unpacks(self, x):
            return x @ self.to_dense().T
        x = padded(x, _COLUMNS_A_CHUNK)
        if kernels.host() is not None:
            return kernels.two_four_matmul(self.values, self.positions, x)
        matrix = self._spread().astype(mx.float32)
        return (x.astype(mx.float32) @ matrix.T).astype(x.dtype)

    def apply_transposed(self, x: mx.array) -> mx.array:
        return x @ self.to_dense()  # the transpose is not 2:4

    def value_gradient(self, x: mx.array, gradient: mx.array) -> mx.array:
        full = gradient.astype(mx.float32).T @ x.astype(mx.float32)
        fours = padded(full, _COLUMNS_A_CHUNK).reshape(self.shape[0], -1, 4)
        kept = mx.stack([_at(fours, places) for places in self._places()], axis=-1)
        return kept.reshape(self.values.shape).astype(self.values.dtype)

    def _places(self) -> tuple[mx.array, mx.array]:
        """Where the kept values stand in their fours. Shapes: (rows, fours) uint32, twice."""
        shifts = mx.arange(0, _COLUMNS_A_CHUNK, 4, dtype=mx.uint32)
        pairs = self.positions.astype(mx.uint32)[..., None] >> shifts
        pairs = pairs.reshape(self.shape[0], -1)
        return pairs & 3, pairs >> 2 & 3

    def _spread(self) -> mx.array:
        """The padded matrix."""
        kept = self.values.reshape(self.shape[0], -1, 2)
        first, second = self._places()
        zero = mx.zeros((), kept.dtype)
        fours = [
            mx.where(first == i, kept[..., 0], mx.where(second == i, kept[..., 1], zero))
            for i in range(4)
        ]
        return mx.stack(fours, axis=-1).reshape(self.shape[0], -1)


def _two_places(is_entry: mx.array) -> tuple[mx.array, mx.array]:
    """Two different places of each four, all entries among them. Shapes: (..., 4) -> (...) twice.

    By comparisons: sorting so many short rows is slow, and more than MLX's CUDA build takes.
    """
    flags = [is_entry[..., i] for i in range(4)]
    free = 2 - is_entry.sum(axis=-1)  # places that are stored without an entry: the first ones
    kept = []
    for flag in flags:
        kept.append(flag | (free > 0))
        free = free - (~flag).astype(free.dtype)
    first = mx.where(kept[0], 0, mx.where(kept[1], 1, 2))
    second = mx.where(kept[3], 3, mx.where(kept[2], 2, 1))
    return first.astype(mx.uint32), second.astype(mx.uint32)


def _at(fours: mx.array, places: mx.array) -> mx.array:
    """One of each four. Shapes: (..., 4) and (...) -> (...)."""
    low = mx.where(places == 0, fours[..., 0], fours[..., 1])
    high = mx.where(places == 2, fours[..., 2], fours[..., 3])
    return mx.where(places < 2, low, high)
