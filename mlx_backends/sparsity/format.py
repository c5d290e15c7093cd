"""What the formats of a sparse matrix have in common."""

from typing import Protocol, Self

import mlx.core as mx


class Format(Protocol):
    """A matrix of ``shape`` in one layout: values, and arrays that say where they stand.

    Values may be traced by a gradient; the other arrays are evaluated and never change. Each class
    also builds itself, ``from_triples``, ``from_dense`` and ``from_arrays``.
    """

    name: str
    values: mx.array

    @property
    def shape(self) -> tuple[int, int]: ...

    @property
    def nnz(self) -> int:
        """Stored entries inside the shape, zeros among them included."""
        ...

    def arrays(self) -> dict[str, mx.array]:
        """Everything that is stored, by name."""
        ...

    def with_values(self, values: mx.array) -> Self:
        """The same places with other values."""
        ...

    def to_dense(self) -> mx.array:
        """Shapes: returns ``shape``, in the values' type."""
        ...

    def apply(self, x: mx.array) -> mx.array:
        """``x @ A.T`` without a gradient, x in the values' type.

        Shapes: (N, columns) -> (N, rows), or (columns,) -> (rows,).
        """
        ...

    def apply_transposed(self, x: mx.array) -> mx.array:
        """``x @ A`` without a gradient. Shapes: as of ``apply``."""
        ...

    def value_gradient(self, x: mx.array, gradient: mx.array) -> mx.array:
        """What the values' gradient is, given that of ``apply(x)``. Shapes: those of values."""
        ...
