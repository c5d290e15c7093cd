"""The arrays that hold every sequence's keys and values, cut into blocks of slots.

Slot ``block_id * block_size + position % block_size`` holds one token. A head's slots are
contiguous, so that a run of consecutive blocks is a view, and one block of one head one piece of
memory (layout of vLLM's paged attention, Kwon et al. 2023, arXiv:2309.06180, heads outermost).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import mlx.core as mx

from mlx_backends.kernels.pool import Pool, QuantizedPool, make_pool

# Keys bear less rounding than values: their errors pass through a softmax.
_KEY_BITS = 8


@dataclass(frozen=True, slots=True)
class LayerShape:
    """What one layer stores for one token.

    Attributes:
        num_kv_heads: Heads of keys and of values.
        key_dim: Numbers in one head's key.
        value_dim: Numbers in one head's value.
        window: Most tokens that a query of this layer sees, its own included; None is all.
    """

    num_kv_heads: int
    key_dim: int
    value_dim: int
    window: int | None = None


class KVPool:
    """Keys and values of all layers.

    Shapes: ``keys[layer]`` (num_kv_heads, num_slots, key_dim), ``values[layer]`` likewise with
    value_dim. One block more than asked for is made: ``scratch_block`` takes what padding writes.

    Args:
        layers: Shape of each layer.
        num_blocks: Blocks that sequences may use.
        block_size: Tokens a block holds.
        dtype: Type of the entries.
        kv_bits: As in ``CacheConfig``: rows of codes in place of numbers of ``dtype``.

    Attributes:
        nbytes: Bytes of all arrays.
    """

    def __init__(
        self,
        layers: Sequence[LayerShape],
        num_blocks: int,
        block_size: int,
        dtype: mx.Dtype,
        *,
        kv_bits: int | None = None,
    ) -> None:
        self.layers = tuple(layers)
        self.num_blocks = num_blocks
        self.block_size = block_size
        self.dtype = dtype
        slots, key_bits = self.num_slots, None if kv_bits is None else _KEY_BITS
        self.keys = [_rows(s.num_kv_heads, slots, s.key_dim, dtype, key_bits) for s in layers]
        self.values = [_rows(s.num_kv_heads, slots, s.value_dim, dtype, kv_bits) for s in layers]
        mx.eval(self.arrays)
        self.nbytes = sum(array.nbytes for array in self.arrays)

    @property
    def arrays(self) -> list[mx.array]:
        return [array for rows in (*self.keys, *self.values) for array in _arrays(rows)]

    @property
    def scratch_block(self) -> int:
        """A block of no sequence."""
        return self.num_blocks

    @property
    def num_slots(self) -> int:
        return (self.num_blocks + 1) * self.block_size

    @property
    def bytes_per_block(self) -> int:
        return self.nbytes // (self.num_blocks + 1)

    def grow(self, num_blocks: int) -> None:
        """Make room for more blocks, contents kept; the arrays are new ones afterwards."""
        if num_blocks <= self.num_blocks:
            return
        extra = (num_blocks - self.num_blocks) * self.block_size
        self.nbytes = self.bytes_per_block * (num_blocks + 1)
        self.num_blocks = num_blocks
        for arrays in (self.keys, self.values):
            # One layer at a time: the peak is the pool and one layer of it.
            for index, rows in enumerate(arrays):
                arrays[index] = _longer(rows, extra)
                del rows
                mx.eval(_arrays(arrays[index]))

    def slots(self, block_ids: Sequence[int], start: int, stop: int) -> list[tuple[int, int]]:
        """Slots of positions ``start`` to ``stop`` of a sequence, as runs ``(first, end)``.

        Consecutive blocks make one run.
        """
        size = self.block_size
        runs: list[tuple[int, int]] = []
        position = start
        while position < stop:
            first = block_ids[position // size] * size + position % size
            count = min(size - position % size, stop - position)
            if runs and runs[-1][1] == first:
                runs[-1] = (runs[-1][0], first + count)
            else:
                runs.append((first, first + count))
            position += count
        return runs

    def copy_block(self, source: int, target: int) -> None:
        """Copy a block in every layer, by ordinary operations: for a pool that MLX may donate."""
        size = self.block_size
        arrays = self.arrays
        rows = [mx.contiguous(a[:, source * size : (source + 1) * size]) for a in arrays]
        # Read first: a pending view of a pool keeps MLX from donating it, and each write would
        # then copy all of it.
        mx.eval(rows)
        for array, read in zip(arrays, rows, strict=True):
            array[:, target * size : (target + 1) * size] = read


def _rows(heads: int, slots: int, width: int, dtype: mx.Dtype, bits: int | None) -> Pool:
    """Rows of zeros; unquantized ones of any width."""
    if bits is None:
        return mx.zeros((heads, slots, width), dtype)
    return make_pool(heads, slots, width, dtype, bits=bits)


def _arrays(rows: Pool) -> list[mx.array]:
    return [rows] if isinstance(rows, mx.array) else rows.arrays


def _longer(rows: Pool, extra: int) -> Pool:
    """Rows with more slots, contents kept."""
    if isinstance(rows, mx.array):
        return mx.pad(rows, [(0, 0), (0, extra), (0, 0)])
    return QuantizedPool(
        mx.pad(rows.codes, [(0, 0), (0, extra), (0, 0)]),
        mx.pad(rows.scales, [(0, 0), (0, extra), (0, 0)]),
        rows.bits,
    )
