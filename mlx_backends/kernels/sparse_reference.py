"""What the sparse products compute, in plain MLX, slowly and readably: specification and oracle.

Arguments and results are those of ``sparse_matmul``; the matrix is unpacked and multiplied in
float32.
"""

import mlx.core as mx
import numpy as np


def csr_matmul(values: mx.array, columns: mx.array, row_starts: mx.array, x: mx.array) -> mx.array:
    starts = np.array(row_starts)
    rows = mx.array(np.repeat(np.arange(len(starts) - 1), np.diff(starts)))
    count = int(starts[-1])
    dense = mx.zeros((len(starts) - 1, x.shape[-1]))
    dense = dense.at[rows, columns[:count]].add(values[:count].astype(mx.float32))
    return _product(x, dense)


def block_matmul(
    values: mx.array, block_columns: mx.array, row_starts: mx.array, x: mx.array
) -> mx.array:
    starts = np.array(row_starts)
    rows = mx.array(np.repeat(np.arange(len(starts) - 1), np.diff(starts)))
    size = values.shape[-1]
    grid = mx.zeros((len(starts) - 1, x.shape[-1] // size, size, size))
    grid = grid.at[rows, block_columns].add(values.astype(mx.float32))
    dense = grid.transpose(0, 3, 1, 2).reshape((len(starts) - 1) * size, x.shape[-1])
    return _product(x, dense)


def two_four_matmul(values: mx.array, positions: mx.array, x: mx.array) -> mx.array:
    places = positions[..., None] >> mx.arange(0, 16, 2, dtype=mx.uint16) & 3
    num_rows = len(values)
    places = places.reshape(num_rows, -1, 2)
    kept = values.astype(mx.float32).reshape(num_rows, -1, 2)
    fours = mx.zeros((*kept.shape[:2], 4))
    fours = mx.put_along_axis(fours, places.astype(mx.int32), kept, axis=-1)
    return _product(x, fours.reshape(num_rows, -1))


def _product(x: mx.array, dense: mx.array) -> mx.array:
    # On the CPU: a GPU may multiply float32 with fewer bits.
    return mx.matmul(x.astype(mx.float32), dense.T, stream=mx.cpu).astype(x.dtype)
