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
from mlx_backends.engine.host_pass import HostPass, RowGroup
from mlx_backends.engine.launched import Launched
from mlx_backends.engine.runner import RunnerStats
from mlx_backends.engine.scheduler import PrefillChunk
from mlx_backends.engine.sequence import Sequence
from mlx_backends.models.cpu_layers import one_position
from mlx_backends.models.loader import LoadedModel, use_device
from mlx_backends.models.paging import PagingPlan

FIRST_BLOCKS = 64


class HostRunner:
    """Owns the model and the KV pool.

    Args:
        loaded: A model that ``plan_paging`` has prepared.
        plan: What its layers store.
        num_blocks: Most blocks that sequences may use.
        block_size: Tokens a block.
        kv_bits: As in ``CacheConfig``.
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
        kv_bits: int | None = None,
        eos_token_ids: frozenset[int],
    ) -> None:
        self._model = loaded.model
        self._device = loaded.device
        self._plan = plan
        self._num_blocks = num_blocks
        self._drawing = Drawing(eos_token_ids)
        with use_device(self._device):
            first = min(num_blocks, FIRST_BLOCKS)
            self._pool = KVPool(plan.layers, first, block_size, plan.dtype, kv_bits=kv_bits)

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
        return self.run([chunk], [])

    def decode(self, sequences: Seq[Sequence]) -> Launched:
        """As in ``Runner``."""
        launched = self.run([], sequences)
        assert launched is not None
        return launched

    def run(self, prefill: Seq[PrefillChunk], decode: Seq[Sequence]) -> Launched | None:
        """As in ``PackingRunner``."""
        drawing = [*decode, *(chunk.sequence for chunk in prefill if chunk.is_last)]
        with use_device(self._device):
            logits = self._forward(prefill, decode)
            launched = self._drawing.draw(logits, drawing) if drawing else None
            mx.eval(launched.arrays if launched else [], self._pool.arrays)
        return launched

    def free(self, sequence: Sequence) -> None:
        """As in ``Runner``: all is in the pool."""

    def _forward(self, prefill: Seq[PrefillChunk], decode: Seq[Sequence]) -> mx.array:
        """Logits of the sequences that draw, those that decode first. Shapes: returns (n, V)."""
        groups, token_ids, last_rows = [], [], list(range(len(decode)))
        if decode:
            starts = [sequence.num_computed_tokens - 1 for sequence in decode]
            groups.append(self._group([sequence.block_ids for sequence in decode], starts, 1))
            token_ids += [sequence.last_token_id for sequence in decode]
        for chunk in prefill:
            length = chunk.stop - chunk.start
            groups.append(self._group([chunk.sequence.block_ids], [chunk.start], length))
            token_ids += chunk.sequence.token_ids[chunk.start : chunk.stop]
            last_rows += [len(token_ids) - 1] if chunk.is_last else []
        forward_pass = HostPass(self._pool, groups)
        is_one_batch = len(groups) == 1 or not last_rows
        last = -1 if is_one_batch else mx.array(last_rows, mx.int32)
        with one_position():
            logits = self._model(
                forward_pass.tokens(token_ids), cache=self._plan.caches(forward_pass, last)
            )
        # A model whose body is not known gives those of every row.
        is_whole = not is_one_batch and logits.shape[0] > len(last_rows)
        return logits[last, -1] if is_whole else logits[:, -1]

    def _group(self, block_ids: Seq[Seq[int]], starts: Seq[int], length: int) -> RowGroup:
        size = self._pool.block_size
        self._hold(
            block_id
            for ids, start in zip(block_ids, starts, strict=True)
            for block_id in ids[start // size : -(-(start + length) // size)]
        )
        return RowGroup(self._pool, block_ids, starts, length)

    def _hold(self, block_ids: Iterable[int]) -> None:
        """Let the pool hold these blocks; it doubles, as far as it may."""
        needed = max(block_ids, default=-1) + 1
        if needed > self._pool.num_blocks:
            self._pool.grow(min(self._num_blocks, max(needed, 2 * self._pool.num_blocks)))
