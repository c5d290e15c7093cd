"""Where the tokens of sequences are in the pool, and how a CPU reads them there."""

from collections.abc import Sequence as Seq
from dataclasses import dataclass
from functools import cached_property

import mlx.core as mx
import numpy as np

from mlx_backends.kernels.pool import Pool, QuantizedPool
from mlx_backends.kernels.reference import dequantize

# Shorter runs of slots are copied side by side: an operation each would cost more than the copy.
_MIN_RUN_TOKENS = 64


@dataclass(frozen=True, slots=True)
class Context:
    """Where the visible tokens of a sequence are: blocks, and runs of slots as (first, end)."""

    block_ids: list[int]
    block_size: int
    skipped: int
    runs: list[tuple[int, int]]

    @classmethod
    def of(cls, block_ids: Seq[int], block_size: int, first: int, stop: int) -> "Context":
        """The tokens ``first`` to ``stop`` of a sequence with these blocks."""
        first_block = first // block_size
        ids = list(block_ids[first_block : -(-stop // block_size)])
        skipped, unused = first - first_block * block_size, -stop % block_size
        runs = [(start * block_size, end * block_size) for start, end in _consecutive(ids)]
        runs[0] = (runs[0][0] + skipped, runs[0][1])
        runs[-1] = (runs[-1][0], runs[-1][1] - unused)
        return cls(ids, block_size, skipped, runs)

    def rows(self, pool: Pool) -> list[mx.array]:
        """The tokens' rows in pieces: views of the pool where the runs are long, or its codes read.

        Shapes: pool (H, num_slots, D) -> pieces (H, n, D).
        """
        if isinstance(pool, QuantizedPool):
            codes, scales = self._pieces(pool.codes), self._pieces(pool.scales)
            return [_read(pool, *piece) for piece in zip(codes, scales, strict=True)]
        return self._pieces(pool)

    def _pieces(self, pool: mx.array) -> list[mx.array]:
        length = sum(end - start for start, end in self.runs)
        if len(self.runs) > 1 and length < len(self.runs) * _MIN_RUN_TOKENS:
            return [self._gathered(pool)[:, self.skipped : self.skipped + length]]
        return [pool[:, start:end] for start, end in self.runs]

    def _gathered(self, pool: mx.array) -> mx.array:
        """A copy of the blocks side by side."""
        heads, num_slots, width = pool.shape
        num_blocks = num_slots // self.block_size
        # One block of one head is one piece of memory: indices over both copy whole pieces.
        pieces = pool.reshape(heads * num_blocks, self.block_size * width)
        indices = mx.arange(heads)[:, None] * num_blocks + mx.array(self.block_ids)
        return pieces[indices].reshape(heads, -1, width)


def _consecutive(ids: list[int]) -> list[tuple[int, int]]:
    """Runs of consecutive numbers as (first, end)."""
    if ids == list(range(ids[0], ids[0] + len(ids))):  # the usual case, at the speed of C
        return [(ids[0], ids[0] + len(ids))]
    runs = [(ids[0], ids[0] + 1)]
    for block_id in ids[1:]:
        start, end = runs[-1]
        if block_id == end:
            runs[-1] = (start, end + 1)
        else:
            runs.append((block_id, block_id + 1))
    return runs


class Contexts:
    """Where the tokens of some rows are. One object serves all layers of a pass.

    Args:
        block_ids_per_row: Blocks of each row, in the order of its tokens.
        context_lens: Tokens of each row.
        block_size: Slots a block.
    """

    def __init__(
        self, block_ids_per_row: Seq[Seq[int]], context_lens: Seq[int], block_size: int
    ) -> None:
        self._block_ids = block_ids_per_row
        self.lengths = context_lens
        self._block_size = block_size
        self._of_rows: dict[tuple[int, int], Context] = {}

    def of_row(self, row: int, first: int) -> Context:
        """The tokens of a row from ``first`` on."""
        key = row, first
        if key not in self._of_rows:
            self._of_rows[key] = Context.of(
                self._block_ids[row], self._block_size, first, self.lengths[row]
            )
        return self._of_rows[key]

    @cached_property
    def padded(self) -> "PaddedContexts":
        """All rows side by side."""
        return PaddedContexts(self._block_ids, self.lengths, self._block_size)


class PaddedContexts:
    """Several sequences side by side, padded to the longest.

    Padding repeats a sequence's own first token, which is finite: slots behind its last token may
    hold what another one left.
    """

    def __init__(
        self, block_ids_per_row: Seq[Seq[int]], context_lens: Seq[int], block_size: int
    ) -> None:
        lengths = np.asarray(context_lens)[:, None]
        longest = int(lengths.max())
        num_blocks = -(-longest // block_size)
        table = np.zeros((len(lengths), num_blocks), dtype=np.int32)
        for row, ids in enumerate(block_ids_per_row):
            count = min(len(ids), num_blocks)
            table[row, :count] = ids[:count]
        slots = (table[:, :, None] * block_size + np.arange(block_size)).reshape(len(table), -1)
        is_token = np.arange(longest) < lengths
        self._slots = np.where(is_token, slots[:, :longest], slots[:, :1]).astype(np.int32)
        self._is_token = is_token
        self._indices: dict[tuple[int, int], mx.array] = {}
        self._biases: dict[int, mx.array] = {}

    def rows(self, pool: Pool) -> mx.array:
        """The tokens' rows. Shapes: pool (H, num_slots, D) -> (B * H, W, D)."""
        if isinstance(pool, QuantizedPool):
            return _read(pool, self._gathered(pool.codes), self._gathered(pool.scales))
        return self._gathered(pool)

    def _gathered(self, pool: mx.array) -> mx.array:
        heads, num_slots, width = pool.shape
        if (heads, num_slots) not in self._indices:
            slots = self._slots[:, None] + np.arange(heads, dtype=np.int32)[:, None] * num_slots
            self._indices[heads, num_slots] = mx.array(slots)
        indices = self._indices[heads, num_slots]
        return pool.reshape(heads * num_slots, width)[indices].reshape(-1, indices.shape[-1], width)

    def bias(self, num_kv_heads: int) -> mx.array:
        """Minus infinity where there is only padding. Shapes: (B * num_kv_heads, 1, 1, W)."""
        if num_kv_heads not in self._biases:
            bias = np.where(self._is_token, 0.0, -np.inf).astype(np.float32)
            self._biases[num_kv_heads] = mx.array(
                np.repeat(bias, num_kv_heads, axis=0)[:, None, None]
            )
        return self._biases[num_kv_heads]


def _read(pool: QuantizedPool, codes: mx.array, scales: mx.array) -> mx.array:
    """The rows that codes of a pool stand for, as float32."""
    return dequantize(QuantizedPool(codes, scales, pool.bits))
