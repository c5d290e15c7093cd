"""GPTQ: columns are rounded one by one, and later ones make up for the error of earlier ones.

Source: Frantar et al. 2022, arXiv:2210.17323. Two things differ from mlx-lm's implementation and
count at 2 and 3 bits: blocks see what the rounded blocks before them give, and a group's values are
those that lose the least on its inputs.
"""

from collections.abc import Mapping
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlx_backends.quantization.blocks import Run, input_moments, round_blocks
from mlx_backends.quantization.config import QuantizationConfig
from mlx_backends.quantization.grids import Rounded, best_grid
from mlx_backends.quantization.layers import Layers, quantizable, widths_of

_DAMPING = 0.01  # of the mean of the diagonal


def gptq(
    model: Any,
    rows: mx.array,
    config: QuantizationConfig,
    widths: Mapping[str, int] | None = None,
) -> None:
    """Quantize a language model in place; arguments and errors as of ``round_blocks``.

    ``widths`` of None are those of the configuration.
    """
    bits = widths or widths_of(model, quantizable(model, config), config)

    def round_block(block: nn.Module, layers: Layers, run: Run) -> dict[str, Rounded]:
        return {
            name: round_columns(
                layers[name].weight.reshape(-1, len(moment)),
                moment,
                bits[name],
                config.group,
            )
            for name, moment in input_moments(layers, run).items()
        }

    round_blocks(model, rows, config, bits, round_block)


def round_columns(matrix: mx.array, moment: mx.array, bits: int, group_size: int) -> Rounded:
    """Round a matrix so that its products with inputs of this moment lose little.

    Shapes: matrix (rows, columns), moment (columns, columns).
    """
    factor, importance = _error_factor(moment), mx.diag(moment)
    left = matrix.astype(mx.float32)
    parts = []
    for first in range(0, matrix.shape[1], group_size):
        columns = slice(first, first + group_size)
        grid = best_grid(left[:, columns], bits, importance[columns])
        codes, errors = _round_group(left[:, columns], factor[columns, columns], *grid, bits)
        left = left - errors @ factor[columns]
        mx.eval(left, codes)
        parts.append((codes, *grid))
    codes, scale, bias = (mx.stack(list(part), axis=1) for part in zip(*parts, strict=True))
    rows = codes.shape[0] * codes.shape[1]
    return Rounded(codes.reshape(rows, -1), scale.reshape(rows, 1), bias.reshape(rows, 1), bits)


def _round_group(
    weights: mx.array, factor: mx.array, scale: mx.array, bias: mx.array, bits: int
) -> tuple[mx.array, mx.array]:
    """Codes of a group's columns, and the error that each passes on to the columns after.

    In NumPy: a column is too little work for a kernel launch.

    Shapes: weights (rows, group_size), factor (group_size, group_size), scale and bias (rows, 1);
        returns twice (rows, group_size).
    """
    left = np.array(weights).T.copy()  # a column's values lie side by side
    passed_on, step, first = np.array(factor), np.array(scale)[:, 0], np.array(bias)[:, 0]
    codes, errors = np.empty_like(left), np.empty_like(left)
    for column, exact in enumerate(left):
        codes[column] = np.clip(np.rint((exact - first) / step), 0, 2**bits - 1)
        kept = step * codes[column] + first
        errors[column] = (exact - kept) / passed_on[column, column]
        left[column + 1 :] -= np.outer(passed_on[column, column + 1 :], errors[column])
    return mx.array(codes.T), mx.array(errors.T)


def _error_factor(moment: mx.array) -> mx.array:
    """The upper triangular U with U^T U the inverse of the damped moment."""
    exact = np.array(moment, np.float64)
    exact[np.diag_indices_from(exact)] += _DAMPING * max(exact.diagonal().mean(), 1e-12)
    return mx.array(np.linalg.cholesky(np.linalg.inv(exact)).T.astype(np.float32))
