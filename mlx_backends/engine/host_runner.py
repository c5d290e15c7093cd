"""Runs a paged model on a CPU, where a step is evaluated before the next one is built.

MLX writes into the pool in place only while nothing else holds the array, so there is no running
ahead here (docs/architecture.md). The pool grows as blocks come into use, because memory that is
zeroed is memory that is taken.
"""

from collections.abc import Iterable
from collections.abc import Sequence as Seq

import mlx.core as mx

from mlx_backends.cache.kv_pool import KVPool
from mlx_backends.cache.prefix_cache import BlockCopy
from mlx_backends.engine.drawing import Drawing
from mlx_backends.engine.host_pass import HostPass
from mlx_backends.engine.launched import Launched
from mlx_backends.engine.runner import RunnerStats
from mlx_backends.engine.scheduler import PrefillChunk
from mlx_backends.engine.sequence import Sequence
from mlx_backends.models.cpu_layers import one_position
from mlx_backends.models.loader import LoadedModel, use_device
from mlx_backends.models.paging import PagingPlan

_FIRST_BLOCKS = 64


class HostRunner:
    """Owns the model and the KV pool.

    Args:
        loaded: A model that ``plan_paging`` has prepared.
        plan: What its layers store.
        num_blocks: Most blocks that sequences may use.
        block_size: Tokens a block.
        eos_token_ids: Ids that end a completion.
    """

    runs_ahead = False

    def __init__(
        self,
        loaded: LoadedModel,
        plan: PagingPlan,
        *,
        num_blocks: int,
        block_size: int,
        eos_token_ids: frozenset[int],
    ) -> None:
        self._model = loaded.model
        self._device = loaded.device
        self._plan = plan
        self._num_blocks = num_blocks
        self._drawing = Drawing(eos_token_ids)
        with use_device(self._device):
            first = min(num_blocks, _FIRST_BLOCKS)
            self._pool = KVPool(plan.layers, first, block_size, plan.dtype)

    @property
    def stats(self) -> RunnerStats:
        return RunnerStats(bytes_per_block=self._pool.bytes_per_block, pool_bytes=self._pool.nbytes)

    @property
    def peak_memory_bytes(self) -> int:
        return mx.get_peak_memory()

    def warm_up(self, max_num_seqs: int, context_window: int) -> None:
        """As in ``Runner``: nothing is compiled."""

    def copy_blocks(self, copies: Seq[BlockCopy]) -> None:
        """As in ``Runner``."""
        with use_device(self._device):
            self._hold(copy.target for copy in copies)
            for copy in copies:
                self._pool.copy_block(copy.source, copy.target)

    def prefill(self, chunk: PrefillChunk) -> Launched | None:
        """As in ``Runner``."""
        sequence = chunk.sequence
        tokens = sequence.token_ids[chunk.start : chunk.stop]
        with use_device(self._device):
            logits = self._forward([tokens], [sequence.block_ids], [chunk.start])
            if not chunk.is_last:
                mx.eval(self._pool.arrays)
                return None
            return self._finished(self._drawing.draw(logits, [sequence]))

    def decode(self, sequences: Seq[Sequence]) -> Launched:
        """As in ``Runner``."""
        tokens = [[sequence.last_token_id] for sequence in sequences]
        block_ids = [sequence.block_ids for sequence in sequences]
        starts = [sequence.num_computed_tokens - 1 for sequence in sequences]
        with use_device(self._device):
            logits = self._forward(tokens, block_ids, starts)
            return self._finished(self._drawing.draw(logits, sequences))

    def free(self, sequence: Sequence) -> None:
        """As in ``Runner``: all is in the pool."""

    def _forward(
        self, tokens: Seq[Seq[int]], block_ids: Seq[Seq[int]], starts: Seq[int]
    ) -> mx.array:
        """Logits after the last token of each row. Shapes: (B, L) tokens -> (B, V)."""
        length = len(tokens[0])
        size = self._pool.block_size
        self._hold(
            block_id
            for ids, start in zip(block_ids, starts, strict=True)
            for block_id in ids[start // size : -(-(start + length) // size)]
        )
        forward_pass = HostPass(self._pool, block_ids, starts, length)
        with one_position():
            logits = self._model(
                mx.array([list(row) for row in tokens]), cache=self._plan.caches(forward_pass)
            )
        return logits[:, -1]

    def _finished(self, launched: Launched) -> Launched:
        mx.eval(launched.arrays, self._pool.arrays)
        return launched

    def _hold(self, block_ids: Iterable[int]) -> None:
        """Let the pool hold these blocks; it doubles, as far as it may."""
        needed = max(block_ids, default=-1) + 1
        if needed > self._pool.num_blocks:
            self._pool.grow(min(self._num_blocks, max(needed, 2 * self._pool.num_blocks)))
