"""Which weights of a matrix are kept: scores in, a mask out."""

from typing import Literal, get_args

import mlx.core as mx

from mlx_backends.errors import ConfigError

Pattern = Literal["unstructured", "2:4", "block"]
PATTERNS: tuple[Pattern, ...] = get_args(Pattern)


def kept(
    scores: mx.array, sparsity: float, pattern: Pattern, *, by_row: bool, block_size: int
) -> mx.array:
    """The weights that stay: those with the highest scores.

    Args:
        scores: ``(rows, columns)``, not negative.
        sparsity: Share that goes; 0.5 for ``"2:4"``.
        pattern: Single weights; two of each four in a row; or whole square blocks.
        by_row: With single weights: compare those of one row, not those of the matrix.
        block_size: Of ``"block"``.

    Returns:
        Booleans of the shape of scores.

    Raises:
        ConfigError: Columns are no multiple of four, with ``"2:4"``.
    """
    rows, columns = scores.shape
    if pattern == "2:4":
        if columns % 4:
            raise ConfigError(f"2:4 takes rows in fours; this matrix has {columns} columns.")
        return _two_highest(scores.reshape(rows, -1, 4)).reshape(rows, columns)
    if pattern == "block":
        return _kept_blocks(scores, sparsity, block_size)
    if by_row:
        return _highest(scores, columns - round(sparsity * columns))
    count = scores.size - round(sparsity * scores.size)
    return _highest(scores.reshape(-1), count).reshape(rows, columns)


def _kept_blocks(scores: mx.array, sparsity: float, size: int) -> mx.array:
    rows, columns = scores.shape
    padded = mx.pad(scores, [(0, -rows % size), (0, -columns % size)])
    height, width = padded.shape[0] // size, padded.shape[1] // size
    energy = padded.reshape(height, size, width, size).square().sum(axis=(1, 3)).reshape(-1)
    mask = _highest(energy, energy.size - round(sparsity * energy.size)).reshape(height, width)
    mask = mx.repeat(mx.repeat(mask, size, axis=0), size, axis=1)
    return mask[:rows, :columns]


def _two_highest(fours: mx.array) -> mx.array:
    """As ``_highest`` of four, by comparisons: a sort of so many short rows takes far longer."""
    ahead = []
    for i in range(4):
        above = [fours[..., j] >= fours[..., i] for j in range(i)]
        above += [fours[..., j] > fours[..., i] for j in range(i + 1, 4)]
        ahead.append(sum(flag.astype(mx.uint8) for flag in above))
    return mx.stack(ahead, axis=-1) < 2


def _highest(scores: mx.array, count: int) -> mx.array:
    """Whether an element is among the ``count`` highest of its last axis, the first of equals."""
    order = mx.argsort(-scores, axis=-1)[..., :count]
    return mx.put_along_axis(
        mx.zeros(scores.shape, mx.bool_), order, mx.ones(order.shape, mx.bool_), axis=-1
    )
