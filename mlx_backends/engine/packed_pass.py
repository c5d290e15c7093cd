"""Prefill on a GPU: chunks of several prompts in one forward pass.

Every token is a row of its own, (T, 1), at its own position. So all chunks are one matrix in every
layer, whatever their lengths, and only attention goes chunk by chunk:

- the few tokens of a short chunk read the context where it is, by the kernels, eight a group; all
  short chunks of a pass are one launch;
- a longer chunk goes to MLX's fused attention in segments. MLX prepares that for every pair of
  lengths anew (0.1 s on CUDA), so segments begin on a grid and have few lengths. Rows around
  a chunk fill its segments up; what attention makes of them is dropped, and no other layer sees
  more rows for it.
"""

from collections.abc import Iterator
from collections.abc import Sequence as Seq
from dataclasses import dataclass
from typing import NamedTuple

import mlx.core as mx
import numpy as np

from mlx_backends.cache.kv_pool import KVPool
from mlx_backends.engine.dense_attention import dense_attention
from mlx_backends.engine.layer_pace import LayerPace
from mlx_backends.engine.pool_access import PoolAccess
from mlx_backends.kernels import MAX_QUERIES

TILES_A_SEGMENT = 8
# Widths of block tables grow by this factor: a wide table costs little, a new shape is compiled.
_WIDTH_GROWTH = 4
_MIN_WIDTH = 16


class Span(NamedTuple):
    """New tokens of one sequence: positions ``start`` to ``stop``.

    Attributes:
        block_ids: Blocks of the sequence, enough for ``stop`` tokens.
        start, stop: Positions, ``stop`` not included.
    """

    block_ids: Seq[int]
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Groups:
    """Short chunks in groups of eight rows, the most that the attention kernel takes.

    Attributes:
        block_tables: (G, W) int32.
        context_lens: (G,) int32, the group's eight tokens included.
    """

    block_tables: mx.array
    context_lens: mx.array

    @property
    def num_rows(self) -> int:
        return len(self.context_lens) * MAX_QUERIES


@dataclass(frozen=True, slots=True)
class Segment:
    """A stretch of one chunk, as fused attention is to see it.

    Attributes:
        position: Of the first query, one that only fills up included.
        length: Queries.
        first_row: Row of the first query; negative, or the end past the last row, where rows lack.
        kept: The queries that are tokens of the chunk, ``[first, end)``.
        stop: Position after the last token that the pool holds by then.
        grid: Multiple of the positions at which keys may begin.
        block_ids: Blocks of the sequence up to ``stop``.
    """

    position: int
    length: int
    first_row: int
    kept: tuple[int, int]
    stop: int
    grid: int
    block_ids: mx.array

    @classmethod
    def of_all(cls, num_rows: int) -> "Segment":
        """All rows of a pass, as the tokens of one new prompt; those after its end see it too."""
        nowhere = mx.zeros((0,), mx.int32)
        return cls(0, num_rows, 0, (0, num_rows), num_rows, 1, nowhere)

    @property
    def is_own_context(self) -> bool:
        """Whether the rows of the pass are all that its queries see."""
        return self.position == 0 and self.kept[0] == 0

    def rows_of(self, array: mx.array) -> mx.array:
        """The segment's rows, zeros where rows lack. Shapes: (T, H, 1, D) -> (1, H, L, D)."""
        first, end = max(0, self.first_row), min(self.first_row + self.length, len(array))
        rows = array[first:end]
        missing = first - self.first_row, self.first_row + self.length - end
        if any(missing):
            rows = mx.pad(rows, [missing, (0, 0), (0, 0), (0, 0)])
        # Plain strides: cuDNN plans anew for others and may refuse odd ones on an axis of one.
        rows = mx.contiguous(rows).reshape(1, self.length, *array.shape[1::2])
        return rows.swapaxes(1, 2)

    def fits(self, num_rows: int) -> bool:
        return self.first_row >= 0 and self.first_row + self.length <= num_rows


class PackedPass:
    """New tokens of some sequences, each a row of its own.

    Args:
        access: Where keys and values go.
        offset: (T,) int32, position of each row.
        slots: (T, 1) int32, where each row is stored; -1 for padding.
        groups: The first rows; None if there are no short chunks.
        segments: The rows after them, in order.
        pace: Starts layers as they are built; None where the pass is being compiled.

    Attributes:
        offset: As above; also as in ``cache.paged_cache.ForwardPass``.
    """

    def __init__(
        self,
        access: PoolAccess,
        offset: mx.array,
        slots: mx.array,
        groups: Groups | None,
        segments: Seq[Segment] = (),
        pace: LayerPace | None = None,
    ) -> None:
        self._access = access
        self.offset = offset
        self._slots = slots
        self._groups = groups
        self._segments = segments
        self._pace = pace

    def attend(
        self,
        layer: int,
        queries: mx.array,
        keys: mx.array,
        values: mx.array,
        *,
        scale: float,
        window: int | None = None,
        soft_cap: float | None = None,
        sinks: mx.array | None = None,
    ) -> mx.array:
        """As in ``cache.paged_cache.ForwardPass``; shapes (T, H, 1, D)."""
        self._access.append(layer, keys, values, self._slots)
        outs = []
        if self._groups is not None:
            outs.append(
                self._attend_groups(
                    layer, queries, scale=scale, window=window, soft_cap=soft_cap, sinks=sinks
                )
            )
        for segment in self._segments:
            out = dense_attention(
                segment.rows_of(queries),
                *self._context(layer, segment, keys, values, window),
                scale=scale,
                window=window,
                soft_cap=soft_cap,
                sinks=sinks,
            )
            first, end = segment.kept
            outs.append(out[:, :, first:end].transpose(2, 1, 0, 3))
        missing = len(queries) - sum(map(len, outs))
        if missing:
            outs.append(mx.zeros((missing, *outs[0].shape[1:]), outs[0].dtype))
        out = mx.concatenate(outs) if len(outs) > 1 else outs[0]
        if self._pace is not None:
            self._pace.start(out, self._access.state)
        return out

    def _attend_groups(
        self,
        layer: int,
        queries: mx.array,
        *,
        scale: float,
        window: int | None,
        soft_cap: float | None,
        sinks: mx.array | None,
    ) -> mx.array:
        """Attention of the first rows. Shapes: returns (G * 8, Hq, 1, Dv)."""
        assert self._groups is not None
        num_rows = self._groups.num_rows
        _, heads, _, width = queries.shape
        rows = queries[:num_rows].reshape(-1, MAX_QUERIES, heads, width).swapaxes(1, 2)
        out = self._access.attend(
            layer,
            rows,
            self._groups.block_tables,
            self._groups.context_lens,
            scale=scale,
            window=window,
            soft_cap=soft_cap,
            sinks=sinks,
        )
        return out.swapaxes(1, 2).reshape(num_rows, heads, 1, -1)

    def _context(
        self, layer: int, segment: Segment, keys: mx.array, values: mx.array, window: int | None
    ) -> tuple[mx.array, mx.array]:
        """What a segment's queries see: rows of the pass as they are, or what the pool holds."""
        if segment.is_own_context and segment.fits(len(keys)):
            return segment.rows_of(keys), segment.rows_of(values)
        first = 0 if window is None else max(0, segment.position - window + 1)
        first -= first % segment.grid
        end = segment.position + segment.length
        return self._access.context(
            layer, segment.block_ids, (first, min(segment.stop, end)), end - first
        )


class Packing:
    """Lays out the rows of a pass: short chunks first, each filled up to whole groups.

    Args:
        pool: Where keys and values go.
        spans: The chunks.
        tile: Least length of a segment, and the multiple that all rows are filled up to; 1 lets
            attention see every length as it is.
        max_short: Most tokens of a short chunk.

    Attributes:
        last_rows: Row of each chunk's last token, in the order of ``spans``.
        segments: As in ``PackedPass``.
    """

    def __init__(self, pool: KVPool, spans: Seq[Span], tile: int, max_short: int) -> None:
        self._pool = pool
        self._spans = spans
        short = [i for i, span in enumerate(spans) if span.stop - span.start <= max_short]
        long = [i for i in range(len(spans)) if i not in short]
        self._first_rows = dict[int, int]()
        num_rows = 0
        for index in short:
            self._first_rows[index] = num_rows
            num_rows += _rounded_up(spans[index].stop - spans[index].start, MAX_QUERIES)
        self._block_tables, self._context_lens = self._make_groups([spans[i] for i in short])
        self.segments: list[Segment] = []
        for index in long:
            self._first_rows[index] = num_rows
            self.segments += _segments(spans[index], num_rows, tile, pool.block_size)
            num_rows += spans[index].stop - spans[index].start
        self.num_rows = _rounded_up(num_rows, tile) if long else num_rows
        self.last_rows = [
            self._first_rows[i] + span.stop - span.start - 1 for i, span in enumerate(spans)
        ]

    @property
    def num_groups(self) -> int:
        return len(self._context_lens)

    @property
    def is_one_new_segment(self) -> bool:
        """Whether the pass is one prompt from its start, in a segment of one of few lengths."""
        if self.num_groups or len(self.segments) != 1:
            return False
        return self.segments[0].is_own_context and self.segments[0].grid > 1

    def fill_up(self, num_groups: int) -> None:
        """Add padding up to so many groups, or to the length of the only segment."""
        if self.segments:
            self.num_rows = self.segments[0].length
            return
        missing = num_groups - self.num_groups
        scratch, lens = self._pool.scratch_block, MAX_QUERIES
        self._block_tables = np.pad(
            self._block_tables, ((0, missing), (0, 0)), constant_values=scratch
        )
        self._context_lens = np.pad(self._context_lens, (0, missing), constant_values=lens)
        self.num_rows = num_groups * MAX_QUERIES

    @property
    def width(self) -> int:
        """Columns of the groups' block tables."""
        return self._block_tables.shape[1]

    def rows(self, token_ids: Seq[Seq[int]]) -> list[np.ndarray]:
        """Each row's token, position, and slot or -1, from all tokens of each sequence.

        Shapes: returns three times (T,) int32.
        """
        tokens, offset = (np.zeros(self.num_rows, np.int32) for _ in range(2))
        slots = np.full(self.num_rows, -1, np.int32)
        for index, span in enumerate(self._spans):
            first = self._first_rows[index]
            rows = slice(first, first + span.stop - span.start)
            tokens[rows] = token_ids[index][span.start : span.stop]
            offset[rows] = np.arange(span.start, span.stop)
            slots[rows] = _slots(span, self._pool.block_size)
        return [tokens, offset, slots]

    def tables(self) -> list[np.ndarray]:
        """Block tables, row by row, and context lengths of the groups."""
        return [self._block_tables.reshape(-1), self._context_lens]

    def forward_pass(
        self, access: PoolAccess, token_ids: Seq[Seq[int]]
    ) -> tuple[mx.array, PackedPass]:
        """The model's input (T, 1) and the pass for it."""
        tokens, offset, slots = map(mx.array, self.rows(token_ids))
        groups = None
        if self.num_groups:
            groups = Groups(mx.array(self._block_tables), mx.array(self._context_lens))
        packed = PackedPass(access, offset, slots[:, None], groups, self.segments, LayerPace())
        return tokens[:, None], packed

    def _make_groups(self, spans: Seq[Span]) -> tuple[np.ndarray, np.ndarray]:
        """A row for every eight tokens. Shapes: returns (G, W) and (G,), as in ``Groups``."""
        size = self._pool.block_size
        ends = [
            (span, end)
            for span in spans
            for end in range(span.start + MAX_QUERIES, span.stop + MAX_QUERIES, MAX_QUERIES)
        ]
        width = table_width(-(-max((end for _, end in ends), default=0) // size))
        # Padding may stand where the sequence has no block yet.
        tables = np.full((len(ends), width), self._pool.scratch_block, np.int32)
        for row, (span, _) in enumerate(ends):
            num_held = -(-span.stop // size)
            tables[row, :num_held] = span.block_ids[:num_held]
        return tables, np.array([end for _, end in ends], np.int32)


def table_width(num_blocks: int) -> int:
    """Columns of block tables that hold so many blocks."""
    width = _MIN_WIDTH
    while width < num_blocks:
        width *= _WIDTH_GROWTH
    return width


def later_segments(pool: KVPool, num_blocks: int, tile: int) -> Iterator[Span]:
    """A chunk of no sequence for every segment that does not begin its prompt.

    Args:
        pool: Whose scratch block takes what the chunks store.
        num_blocks: Blocks of the longest context.
        tile: As in ``Packing``.
    """
    if tile == 1:
        return
    grid, context = tile * TILES_A_SEGMENT, num_blocks * pool.block_size
    for start in range(grid, context, grid):
        length = tile
        while length <= grid and start + length // 2 < context:
            stop = start + length
            yield Span([pool.scratch_block] * -(-stop // pool.block_size), start, stop)
            length *= 2


def _segments(span: Span, first_row: int, tile: int, block_size: int) -> Iterator[Segment]:
    """The segments of a chunk whose tokens are rows from ``first_row`` on."""
    num_blocks = -(-span.stop // block_size)
    block_ids = mx.array(list(span.block_ids[:num_blocks]), dtype=mx.int32)
    for position, length in _stretches(span.start, span.stop, tile):
        first = max(span.start, position)
        end = min(span.stop, position + length)
        yield Segment(
            position=position,
            length=length,
            first_row=first_row + position - span.start,
            kept=(first - position, end - position),
            stop=span.stop,
            grid=tile * TILES_A_SEGMENT if tile > 1 else 1,
            block_ids=block_ids,
        )


def _stretches(start: int, stop: int, tile: int) -> Iterator[tuple[int, int]]:
    """First position and length of each segment: on the grid, a power of two of tiles long."""
    if tile == 1:
        yield start, stop - start
        return
    grid = tile * TILES_A_SEGMENT
    for position in range(start - start % grid, stop, grid):
        length = tile
        while length < min(grid, stop - position):
            length *= 2
        yield position, length


def _slots(span: Span, block_size: int) -> np.ndarray:
    """Where the tokens of a chunk are stored. Shapes: returns (L,)."""
    positions = np.arange(span.start, span.stop)
    blocks = np.array(span.block_ids[: -(-span.stop // block_size)], np.int32)
    return blocks[positions // block_size] * block_size + positions % block_size


def _rounded_up(count: int, multiple: int) -> int:
    return -(-count // multiple) * multiple
