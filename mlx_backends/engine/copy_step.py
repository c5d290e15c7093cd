"""The compiled copy of blocks: one kernel a layer, for a prompt that shares part of a block.

It comes before a first token that somebody waits for, so its launches are traced once, as those of
the decode step are. The number of copies comes in powers of two.
"""

import time
from collections.abc import Sequence as Seq

import mlx.core as mx

from mlx_backends.cache.prefix_cache import BlockCopy
from mlx_backends.engine.pool_access import PoolAccess
from mlx_backends.kernels.tuning import power_of_two


class CopyStep:
    """Copies blocks of one pool.

    Args:
        access: Of the pool.
        scratch_block: What padding copies onto itself.

    Attributes:
        compile_s: Seconds that the first copies of each number took.
    """

    def __init__(self, access: PoolAccess, scratch_block: int) -> None:
        self._access = access
        self._scratch_block = scratch_block
        self._compiled = mx.compile(self._run)
        self._seen: set[int] = set()
        self.compile_s = 0.0

    def run(self, copies: Seq[BlockCopy]) -> None:
        """Copy blocks in every layer, lazily: ``access.state`` has what to evaluate."""
        size = power_of_two(len(copies))
        padded = [
            *copies,
            *[BlockCopy(self._scratch_block, self._scratch_block)] * (size - len(copies)),
        ]
        # One array: each has a cost of its own until a GPU can read it.
        blocks = mx.array([[c.source for c in padded], [c.target for c in padded]], mx.int32)
        started = time.perf_counter()
        self._access.restore(self._compiled(blocks, self._access.state))
        if size not in self._seen:
            self._seen.add(size)
            mx.eval(self._access.state)  # MLX compiles kernels when they first run
            self.compile_s += time.perf_counter() - started

    def warm_up(self) -> None:
        """Copy the scratch block onto itself."""
        self.run([BlockCopy(self._scratch_block, self._scratch_block)])

    def _run(self, blocks: mx.array, state: list[mx.array]) -> list[mx.array]:
        self._access.restore(state)
        self._access.copy_blocks(blocks[0], blocks[1])
        return self._access.state
