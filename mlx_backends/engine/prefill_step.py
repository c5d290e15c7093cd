"""The compiled pass over a prompt: the short end of one that was seen before, or a whole new one.

Its host time is what a caller waits for. So passes of few shapes are traced once each, as the
decode step is: some short chunks in 16, 32 or 64 rows, and one new prompt in one segment.
"""

import math
import time
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Seq
from functools import partial
from typing import Any, NamedTuple

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlx_backends.cache.kv_pool import KVPool
from mlx_backends.engine.packed_pass import (
    TILES_A_SEGMENT,
    Groups,
    PackedPass,
    Packing,
    Segment,
    Span,
    table_width,
)
from mlx_backends.engine.pool_access import PoolAccess
from mlx_backends.kernels import MAX_QUERIES
from mlx_backends.models.paging import PagingPlan

# Groups of eight tokens.
_SIZES = (2, 4, 8)


class _Layout(NamedTuple):
    """The sizes that a pass is traced for.

    Attributes:
        num_rows: Tokens, padding included.
        num_logits: Rows whose logits are wanted, padding included.
        num_groups: As in ``Packing``; 0 where the rows are one new prompt.
        width: Columns of the groups' block tables.
    """

    num_rows: int
    num_logits: int
    num_groups: int
    width: int

    def parts(self, values: mx.array) -> list[mx.array]:
        """Tokens, offset, slots, last rows, block tables and context lengths, from one vector."""
        rows, groups = self.num_rows, self.num_groups
        shapes = (
            *((rows, 1), (rows,), (rows, 1), (self.num_logits,)),
            *((groups, self.width), (groups,)),
        )
        parts, start = [], 0
        for shape in shapes:
            stop = start + math.prod(shape)
            parts.append(values[start:stop].reshape(shape))
            start = stop
        return parts


class PrefillStep:
    """Runs the passes of one model that have such a shape.

    Attributes:
        compile_s: Seconds that the first runs of the shapes took, the passes included.
    """

    def __init__(self, model: nn.Module, plan: PagingPlan, access: PoolAccess) -> None:
        self._model = model
        self._plan = plan
        self._access = access
        self._compiled: dict[_Layout, Callable[..., Any]] = {}
        self.compile_s = 0.0

    @staticmethod
    def can_run(packing: Packing) -> bool:
        """Whether a pass has a shape that is worth compiling."""
        if packing.segments:
            return packing.is_one_new_segment
        return packing.num_groups <= _SIZES[-1]

    def run(self, packing: Packing, token_ids: Seq[Seq[int]], rows: Seq[int]) -> mx.array:
        """Logits of some rows, at least one, lazily. Shapes: returns (n, V)."""
        packing.fill_up(next((n for n in _SIZES if n >= packing.num_groups), 0))
        num_logits = 1 if len(rows) == 1 else packing.num_groups
        last = np.zeros(num_logits, np.int32)
        last[: len(rows)] = rows
        layout = _Layout(packing.num_rows, num_logits, packing.num_groups, packing.width)
        # One array: each has a cost of its own until a GPU can read it.
        values = mx.array(np.concatenate([*packing.rows(token_ids), last, *packing.tables()]))
        started, is_new = time.perf_counter(), layout not in self._compiled
        if is_new:
            self._compiled[layout] = mx.compile(partial(self._run, layout))
        logits, state = self._compiled[layout](values, self._access.state)
        self._access.restore(state)
        if is_new:
            mx.eval(logits, state)  # MLX compiles kernels when they first run
            self.compile_s += time.perf_counter() - started
        return logits[: len(rows)]

    def warm_up(
        self, pool: KVPool, num_blocks: int, tile: int, max_short: int
    ) -> Iterator[mx.array]:
        """Run every shape once, on tokens of no sequence, and give its logits.

        Args:
            pool: Where keys and values go, to its scratch block.
            num_blocks: Blocks of the longest context.
            tile: As in ``Packing``.
            max_short: Likewise.
        """
        for spans in _scratch_spans(pool, num_blocks, tile, max_short):
            for rows in {1, len(spans)}:
                packing = Packing(pool, spans, tile, max_short)
                token_ids = [range(span.stop) for span in spans]
                yield self.run(packing, token_ids, packing.last_rows[:rows])

    def _run(
        self, layout: _Layout, values: mx.array, state: list[mx.array]
    ) -> tuple[mx.array, list[mx.array]]:
        self._access.restore(state)
        tokens, offset, slots, last, *tables = layout.parts(values)
        groups = Groups(*tables) if layout.num_groups else None
        segments = () if groups else (Segment.of_all(layout.num_rows),)
        forward_pass = PackedPass(self._access, offset, slots, groups, segments)
        logits = self._model(tokens, cache=self._plan.caches(forward_pass, last))
        # A model whose body is not known gives those of every row.
        logits = logits[last, -1] if len(logits) > len(last) else logits[:, -1]
        return logits, self._access.state


def _scratch_spans(
    pool: KVPool, num_blocks: int, tile: int, max_short: int
) -> Iterator[list[Span]]:
    """The spans of one pass of every shape that is compiled."""
    size, scratch = pool.block_size, pool.scratch_block
    width, widest = table_width(1), table_width(num_blocks)
    while max_short and width <= widest:
        start = width * size - MAX_QUERIES
        for num_groups in _SIZES:
            yield [Span([scratch] * width, start, start + min(MAX_QUERIES, max_short))] * num_groups
        width = table_width(width + 1)
    length = tile
    while 1 < tile <= length <= tile * TILES_A_SEGMENT and length < 2 * num_blocks * size:
        yield [Span([scratch] * -(-length // size), 0, length)]
        length *= 2
