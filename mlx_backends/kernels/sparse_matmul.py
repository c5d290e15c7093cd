"""Products of a sparse matrix and dense vectors, one launch each, with float32 accumulation.

Three layouts of the matrix: compressed sparse rows, square blocks, and two of each four. Their
slow, readable twins are in ``sparse_reference.py``.
"""

import mlx.core as mx

from mlx_backends.errors import ConfigError
from mlx_backends.kernels.device import num_multiprocessors
from mlx_backends.kernels.kernel import Kernel, constants, element_constants

CHUNK = 8
BLOCK_SIZES = (16, 32, 64)
_INDEX_BITS = {mx.uint16: 16, mx.int32: 32}
_THREADGROUP_BYTES = 32 << 10
_MIN_SHARED_COLUMNS = 1_024
_VECTORS_AT_ONCE = (1, 2, 4)
_CSR_SIMDGROUPS = 16
_CSR_AHEAD = 2  # chunks of a row that a lane reads at once
_BLOCK_SIMDGROUPS = 16
_TWO_FOUR_SIMDGROUPS = 4
_TWO_FOUR_ROWS = 4
_TWO_FOUR_AHEAD = 2  # chunks of each row that a lane reads at once
_GROUPS_PER_MULTIPROCESSOR = 2


def csr_matmul(values: mx.array, columns: mx.array, row_starts: mx.array, x: mx.array) -> mx.array:
    """``x @ A.T`` for A in compressed sparse rows.

    Args:
        values: ``(entries,)``, row after row; a multiple of 8, the last of which may be unused.
        columns: ``(entries,)`` uint16 or int32.
        row_starts: ``(num_rows + 1,)`` int32; row i has the entries from ``row_starts[i]`` on.
        x: ``(num_vectors, num_columns)`` or ``(num_columns,)``, of values' type.

    Returns:
        ``(num_vectors, num_rows)`` or ``(num_rows,)`` in x's type.

    Raises:
        ConfigError: The arrays do not fit together.
    """
    _check_type(values, x)
    if values.ndim != 1 or values.shape != columns.shape or values.size % CHUNK:
        raise ConfigError(
            f"values {values.shape} and columns {columns.shape} are one-dimensional, of one length "
            f"that is a multiple of {CHUNK}."
        )
    if columns.dtype not in _INDEX_BITS or row_starts.dtype != mx.int32:
        raise ConfigError(
            f"columns {columns.dtype} are uint16 or int32, row_starts {row_starts.dtype} int32."
        )
    if x.size == x.shape[-1]:
        return _csr_vector(values, columns, row_starts, x)
    padding = -len(x) % CHUNK
    by_column = (mx.pad(x, [(0, padding), (0, 0)]) if padding else x).T
    return _csr_matrix(values, columns, row_starts, by_column)[:, : len(x)].T


def block_matmul(
    values: mx.array, block_columns: mx.array, row_starts: mx.array, x: mx.array
) -> mx.array:
    """``x @ A.T`` for A in square blocks.

    Args:
        values: ``(num_blocks, block_size, block_size)``, one row of blocks after the other and each
            block transposed, so that ``values[i, c]`` is its column c; the block size is 16, 32 or
            64.
        block_columns: ``(num_blocks,)`` int32, in blocks.
        row_starts: ``(num_rows / block_size + 1,)`` int32, in blocks.
        x: ``(num_vectors, num_columns)`` or ``(num_columns,)`` of values' type; num_columns is a
            multiple of the block.

    Returns:
        ``(num_vectors, num_rows)`` or ``(num_rows,)`` in x's type.

    Raises:
        ConfigError: The arrays do not fit together.
    """
    _check_type(values, x)
    block_size = values.shape[-1]
    shape = (len(block_columns), block_size, block_size)
    if block_size not in BLOCK_SIZES or values.shape != shape:
        raise ConfigError(
            f"values is {values.shape}: ({len(block_columns)}, block, block) with a block of "
            f"{BLOCK_SIZES} is allowed."
        )
    if x.shape[-1] % block_size:
        raise ConfigError(f"x is {x.shape}; its rows are multiples of the block of {block_size}.")
    count = x.size // x.shape[-1]
    vectors = _vectors_at_once(count)
    num_block_rows = len(row_starts) - 1
    return _launch(
        "block_matmul",
        {"values": values, "block_columns": block_columns, "row_starts": row_starts, "x": x},
        groups=(num_block_rows, -(-count // vectors)),
        simdgroups=_BLOCK_SIMDGROUPS,
        output_shape=(*x.shape[:-1], num_block_rows * block_size),
        functions="block.h",
        BLOCK=block_size,
        X_NDIM=x.ndim,
        VECTORS=vectors,
    )


def two_four_matmul(values: mx.array, positions: mx.array, x: mx.array) -> mx.array:
    """``x @ A.T`` for A with two kept values in each four of a row.

    Args:
        values: ``(num_rows, num_columns / 2)``; num_columns is a multiple of 16.
        positions: ``(num_rows, num_columns / 16)`` uint16: where each of eight values stands in its
            four, two bits a value, the first value in the lowest.
        x: ``(num_vectors, num_columns)`` or ``(num_columns,)``, of values' type.

    Returns:
        ``(num_vectors, num_rows)`` or ``(num_rows,)`` in x's type.

    Raises:
        ConfigError: The arrays do not fit together.
    """
    _check_type(values, x)
    num_rows, num_columns = len(values), x.shape[-1]
    fits = num_columns % (2 * CHUNK) == 0 and values.shape == (num_rows, num_columns // 2)
    if not fits or positions.shape != (num_rows, num_columns // 16) or positions.dtype != mx.uint16:
        raise ConfigError(
            f"values {values.shape}, positions {positions.shape} {positions.dtype} and x {x.shape} "
            "do not fit: (rows, columns / 2), (rows, columns / 16) uint16 and (vectors, columns) "
            "with columns a multiple of 16 are allowed."
        )
    count = x.size // x.shape[-1]
    vectors = _vectors_at_once(count)
    rows_per_group = _TWO_FOUR_ROWS * _TWO_FOUR_SIMDGROUPS
    return _launch(
        "two_four_matmul",
        {"values": values, "positions": positions, "x": x},
        groups=(-(-num_rows // rows_per_group), -(-count // vectors)),
        simdgroups=_TWO_FOUR_SIMDGROUPS,
        output_shape=(*x.shape[:-1], num_rows),
        functions="two_four.h",
        ROWS=_TWO_FOUR_ROWS,
        AHEAD=_TWO_FOUR_AHEAD,
        X_NDIM=x.ndim,
        VECTORS=vectors,
    )


def _csr_vector(values: mx.array, columns: mx.array, row_starts: mx.array, x: mx.array) -> mx.array:
    num_rows = len(row_starts) - 1
    wanted_groups = _GROUPS_PER_MULTIPROCESSOR * num_multiprocessors()
    rows = max(1, -(-num_rows // (wanted_groups * _CSR_SIMDGROUPS)))
    return _launch(
        "csr_vector",
        {"values": values, "columns": columns, "row_starts": row_starts, "x": x},
        groups=(-(-num_rows // (rows * _CSR_SIMDGROUPS)), 1),
        simdgroups=_CSR_SIMDGROUPS,
        output_shape=(*x.shape[:-1], num_rows),
        functions="csr_rows.h",
        INDEX_BITS=_INDEX_BITS[columns.dtype],
        SHARED_COLUMNS=_shared_columns(x),
        X_NDIM=x.ndim,
        ROWS=rows,
        AHEAD=_CSR_AHEAD,
    )


def _csr_matrix(values: mx.array, columns: mx.array, row_starts: mx.array, x: mx.array) -> mx.array:
    """``A @ x`` for x ``(num_columns, width)``, width a multiple of 8."""
    num_rows, width = len(row_starts) - 1, x.shape[1]
    simdgroups = _CSR_SIMDGROUPS // 2
    return _launch(
        "csr_matrix",
        {"values": values, "columns": columns, "row_starts": row_starts, "x": x},
        groups=(-(-num_rows // simdgroups), width // CHUNK),
        simdgroups=simdgroups,
        output_shape=(num_rows, width),
        functions="csr_rows.h",
        INDEX_BITS=_INDEX_BITS[columns.dtype],
        AHEAD=1,
    )


def _launch(
    name: str,
    inputs: dict[str, mx.array],
    *,
    groups: tuple[int, int],
    simdgroups: int,
    output_shape: tuple[int, ...],
    functions: str,
    **more: int,
) -> mx.array:
    """Run the body of this name, with ``more`` as its own constants; ``inputs`` hold x."""
    dtype = inputs["x"].dtype
    kernel = Kernel(
        name=name,
        inputs=tuple(inputs),
        outputs=("out",),
        constants=constants(element_constants(dtype), SIMDGROUPS=simdgroups, **more),
        functions=("chunk.h", "sparse.h", functions),
        reads_flat=True,
    )
    (out,) = kernel.launch(
        list(inputs.values()),
        groups=(*groups, 1),
        group_size=simdgroups * 32,
        output_shapes=[output_shape],
        output_dtypes=[dtype],
    )
    return out


def _shared_columns(x: mx.array) -> int:
    """Room for x in threadgroup memory, in few different sizes; 0 where it does not fit."""
    room = max(_MIN_SHARED_COLUMNS, 1 << (x.size - 1).bit_length())
    return room if room * x.dtype.size <= _THREADGROUP_BYTES else 0


def _vectors_at_once(num_vectors: int) -> int:
    """Vectors that share one reading of the matrix."""
    return next((count for count in _VECTORS_AT_ONCE if count >= num_vectors), _VECTORS_AT_ONCE[-1])


def _check_type(values: mx.array, x: mx.array) -> None:
    if values.dtype != x.dtype or x.ndim not in (1, 2):
        raise ConfigError(
            f"x is {x.shape} {x.dtype}; it is (vectors, columns) of the values' type, "
            f"{values.dtype}."
        )
