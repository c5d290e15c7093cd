"""Two kept values in each four of a row, and two bits that say where each stands."""

from collections.abc import Mapping
from typing import Self

import mlx.core as mx
import numpy as np

from mlx_backends import kernels
from mlx_backends.errors import ConfigError
from mlx_backends.sparsity import policy
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
        fours = mx.pad(dense, [(0, 0), (0, -shape[1] % _COLUMNS_A_CHUNK)]).reshape(shape[0], -1, 4)
        is_entry = fours != 0
        full = np.argwhere(np.array(is_entry.sum(axis=-1) > 2))
        if len(full):
            row, four = full[0]
            raise ConfigError(
                f"Row {row} has more than two values in columns {4 * four} to {4 * four + 3}, and "
                f"{len(full) - 1} more fours do. Prune to 2:4 first, or use another format."
            )
        # Entries first, in order; free places come from the others, in order too.
        rank = mx.argsort(mx.where(is_entry, 0, 4) + mx.arange(4), axis=-1)
        places = mx.sort(rank[..., :2], axis=-1)
        values = mx.take_along_axis(fours, places, axis=-1).reshape(shape[0], -1)
        shifts = mx.arange(0, _COLUMNS_A_CHUNK, 2, dtype=mx.uint32)
        words = places.astype(mx.uint32).reshape(shape[0], -1, _COLUMNS_A_CHUNK // 2) << shifts
        return cls(shape, values, words.sum(axis=-1).astype(mx.uint16))

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
        return self._spread(self.values)[:, : self.shape[1]]

    def apply(self, x: mx.array) -> mx.array:
        if policy.unpacks(self, len(x)):
            return x @ self.to_dense().T
        x = mx.pad(x, [(0, 0), (0, -x.shape[1] % _COLUMNS_A_CHUNK)])
        if kernels.host() is not None:
            return kernels.two_four_matmul(self.values, self.positions, x)
        return (x.astype(mx.float32) @ self._spread(self.values).astype(mx.float32).T).astype(
            x.dtype
        )

    def apply_transposed(self, x: mx.array) -> mx.array:
        return x @ self.to_dense()  # the transpose is not 2:4

    def value_gradient(self, x: mx.array, gradient: mx.array) -> mx.array:
        full = gradient.astype(mx.float32).T @ x.astype(mx.float32)
        fours = mx.pad(full, [(0, 0), (0, -full.shape[1] % _COLUMNS_A_CHUNK)])
        fours = fours.reshape(self.shape[0], -1, 4)
        kept = mx.take_along_axis(fours, self._places, axis=-1)
        return kept.reshape(self.values.shape).astype(self.values.dtype)

    @property
    def _places(self) -> mx.array:
        """Where the kept values stand in their fours. Shapes: (rows, fours, 2) int32."""
        shifts = mx.arange(0, _COLUMNS_A_CHUNK, 2, dtype=mx.uint32)
        places = self.positions.astype(mx.uint32)[..., None] >> shifts & 3
        return places.astype(mx.int32).reshape(self.shape[0], -1, 2)

    def _spread(self, values: mx.array) -> mx.array:
        """The padded matrix with these kept values."""
        fours = mx.zeros((self.shape[0], values.shape[1] // 2, 4), values.dtype)
        kept = values.reshape(self.shape[0], -1, 2)
        return mx.put_along_axis(fours, self._places, kept, axis=-1).reshape(self.shape[0], -1)
