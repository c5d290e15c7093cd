"""Products that carry gradients, of a stored matrix and dense vectors in one type."""

from typing import cast

import mlx.core as mx

from mlx_backends.sparsity.format import Format


def apply(stored: Format, x: mx.array) -> mx.array:
    """``x @ A.T`` with gradients of x and of the values. Shapes: (..., columns) -> (..., rows)."""

    @mx.custom_function
    def product(values: mx.array, x: mx.array) -> mx.array:
        return stored.with_values(values).apply(x)

    @product.vjp
    def _gradients(
        primals: tuple[mx.array, mx.array], gradient: mx.array, _: mx.array
    ) -> tuple[mx.array, mx.array]:
        values, x = primals
        of_x = stored.with_values(values).apply_transposed(gradient)
        return stored.value_gradient(_rows(x), _rows(gradient)), of_x

    return cast(mx.array, product(stored.values, x))


def apply_transposed(stored: Format, x: mx.array) -> mx.array:
    """``x @ A``, likewise. Shapes: (..., rows) -> (..., columns)."""

    @mx.custom_function
    def product(values: mx.array, x: mx.array) -> mx.array:
        return stored.with_values(values).apply_transposed(x)

    @product.vjp
    def _gradients(
        primals: tuple[mx.array, mx.array], gradient: mx.array, _: mx.array
    ) -> tuple[mx.array, mx.array]:
        values, x = primals
        of_x = stored.with_values(values).apply(gradient)
        return stored.value_gradient(_rows(gradient), _rows(x)), of_x

    return cast(mx.array, product(stored.values, x))


def _rows(x: mx.array) -> mx.array:
    return x[None] if x.ndim == 1 else x
