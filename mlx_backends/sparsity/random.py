"""Random sparse arrays."""

import math
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_backends.errors import ConfigError
from mlx_backends.sparsity.array import FormatName, SparseArray
from mlx_backends.sparsity.blocks import DEFAULT_BLOCK_SIZE
from mlx_backends.sparsity.triples import checked_dtype, checked_shape


def sparse_normal(
    shape: tuple[int, int],
    *,
    density: float = 0.1,
    dtype: mx.Dtype = mx.float32,
    key: mx.array | None = None,
    format: FormatName = "csr",
    **options: Any,
) -> SparseArray:
    """A matrix with standard normal entries at places drawn without repetition.

    Args:
        shape: Rows and columns.
        density: Share of places with an entry, of blocks for ``"bsr"``; 0.5 for ``"2:4"``.
        dtype: float32, float16 or bfloat16.
        key: As of ``mx.random.key``; None draws one from MLX's global generator.
        format: See ``SparseArray.from_dense``, as are the options.
        **options: Of the format.

    Raises:
        ConfigError: An option is not allowed.
    """
    shape = checked_shape(shape)
    checked_dtype(dtype)
    if not (isinstance(density, int | float) and 0 <= density <= 1):
        raise ConfigError(f"density={density!r}: 0 to 1 is allowed.")
    if format == "2:4" and density != 0.5:
        raise ConfigError(f"density={density}: half of a 2:4 array is stored; give density=0.5.")
    if key is None:
        seed = np.array(mx.random.randint(0, 2**31 - 1))
        key = mx.random.key(int(seed))
    place_key, value_key = mx.random.split(key)
    generator = np.random.default_rng(np.array(place_key))
    rows, columns = _draw(generator, shape, density, format, options)
    values = mx.random.normal((len(rows),), key=value_key).astype(dtype)
    return SparseArray.from_coo(values, rows, columns, shape, format=format, **options)


def _draw(
    generator: np.random.Generator,
    shape: tuple[int, int],
    density: float,
    format: str,
    options: dict[str, Any],
) -> tuple[np.ndarray, np.ndarray]:
    """Rows and columns of the entries."""
    if format == "2:4":
        return _draw_two_four(generator, shape)
    size = options.get("block_size", DEFAULT_BLOCK_SIZE) if format == "bsr" else 1
    grid = tuple(-(-side // size) for side in shape)
    total = math.prod(grid)
    chosen = generator.choice(total, round(density * total), replace=False, shuffle=False)
    rows, columns = np.divmod(np.sort(chosen), max(grid[1], 1))
    if size == 1:
        return rows, columns
    inside = np.arange(size)
    rows = (rows[:, None, None] * size + inside[:, None] + 0 * inside).reshape(-1)
    columns = (columns[:, None, None] * size + 0 * inside[:, None] + inside).reshape(-1)
    is_within = (rows < shape[0]) & (columns < shape[1])
    return rows[is_within], columns[is_within]


def _draw_two_four(
    generator: np.random.Generator, shape: tuple[int, int]
) -> tuple[np.ndarray, np.ndarray]:
    fours = -(-shape[1] // 4)
    order = generator.random((shape[0], fours, 4)).argsort(axis=-1)[..., :2]
    columns = (order + 4 * np.arange(fours)[:, None]).reshape(shape[0], -1)
    rows = np.repeat(np.arange(shape[0]), columns.shape[1]).reshape(columns.shape)
    is_within = columns < shape[1]
    return rows[is_within], columns[is_within]
