"""Runs a paged model on a GPU: compiled decode steps, launched one ahead of what was read."""

from collections.abc import Sequence as Seq

import mlx.core as mx

from mlx_backends.cache.kv_pool import KVPool
from mlx_backends.cache.prefix_cache import BlockCopy
from mlx_backends.engine.copy_step import CopyStep
from mlx_backends.engine.decode_batch import (
    MIN_WIDTH,
    DecodeBatch,
    batch_bucket,
    buckets,
    scratch_draw,
    scratch_inputs,
)
from mlx_backends.engine.decode_step import DecodeStep
from mlx_backends.engine.drawing import Drawing, needs_host
from mlx_backends.engine.launched import Launched
from mlx_backends.engine.packed_pass import Packing, Span, later_segments
from mlx_backends.engine.pool_access import PoolAccess
from mlx_backends.engine.prefill_step import PrefillStep
from mlx_backends.engine.runner import RunnerStats
from mlx_backends.engine.sequence import Sequence
from mlx_backends.engine.step import PrefillChunk
from mlx_backends.models.loader import LoadedModel, use_device
from mlx_backends.models.paging import PagingPlan


class DeviceRunner:
    """Owns the model; reads and writes the KV pool.

    Args:
        loaded: A model that ``plan_paging`` has prepared.
        plan: What its layers store.
        pool: Room for that.
        access: How the pool is read and written.
        eos_token_ids: Ids that end a completion.
        tile: As in ``Packing``.
        max_short: Likewise.
        smallest_batch: Rows of a decode step for more than one sequence, at least.
    """

    runs_ahead = True

    def __init__(
        self,
        loaded: LoadedModel,
        plan: PagingPlan,
        pool: KVPool,
        access: PoolAccess,
        eos_token_ids: frozenset[int],
        *,
        tile: int = 1,
        max_short: int = 0,
        smallest_batch: int = 1,
    ) -> None:
        self._model = loaded.model
        self._device = loaded.device
        self._plan = plan
        self._pool = pool
        self._access = access
        self._tile = tile
        self._max_short = max_short
        self._smallest_batch = smallest_batch
        self._drawing = Drawing(eos_token_ids)
        self._step = DecodeStep(loaded.model, plan, access)
        self._prefill_step = PrefillStep(loaded.model, plan, access)
        self._copy_step = CopyStep(access, pool.scratch_block)
        self._batch: DecodeBatch | None = None
        self._first_tokens: dict[Sequence, mx.array] = {}

    @property
    def stats(self) -> RunnerStats:
        return RunnerStats(
            bytes_per_block=self._pool.bytes_per_block,
            pool_bytes=self._pool.nbytes,
            traces=self._step.traces,
            compile_s=sum(
                step.compile_s for step in (self._step, self._prefill_step, self._copy_step)
            ),
            operations=self._step.operations,
        )

    @property
    def peak_memory_bytes(self) -> int:
        return mx.get_peak_memory()

    def warm_up(self, max_num_seqs: int, context_window: int) -> None:
        """As in ``Runner``; for greedy and for sampled rows, each in its buckets."""
        max_blocks = min(-(-context_window // self._pool.block_size), self._pool.num_blocks)
        with use_device(self._device):
            sizes = {batch_bucket(n, self._smallest_batch) for n in range(1, max_num_seqs + 1)}
            for size in sorted(sizes):
                for width in buckets(MIN_WIDTH, max_blocks):
                    for temperature in (0.0, 1.0):
                        inputs = scratch_inputs(size, width, self._pool.scratch_block, temperature)
                        outputs = self._step.run(inputs, draws_here=True)
                        mx.eval(outputs.drawn, self._access.state)
            self._copy_step.warm_up()
            pool, tile, max_short = self._pool, self._tile, self._max_short
            for logits in self._prefill_step.warm_up(pool, max_blocks, tile, max_short):
                for temperature in (0.0, 1.0):
                    mx.eval(scratch_draw(logits, temperature).token_ids)
            for span in later_segments(pool, max_blocks, tile):
                packing = Packing(pool, [span], tile, max_short)
                logits = self._logits(packing, [range(span.stop)], packing.last_rows)
                mx.eval(logits, self._access.state)

    def copy_blocks(self, copies: Seq[BlockCopy]) -> None:
        """As in ``Runner``."""
        with use_device(self._device):
            if copies:
                self._copy_step.run(copies)

    def prefill(self, chunk: PrefillChunk) -> Launched | None:
        """As in ``Runner``."""
        return self.prefill_together([chunk])

    def prefill_together(self, chunks: Seq[PrefillChunk]) -> Launched | None:
        """As in ``PrefillPackingRunner``."""
        drawing = [chunk.sequence for chunk in chunks if chunk.is_last]
        with use_device(self._device):
            if all(chunk.is_last and chunk.stop - chunk.start == 1 for chunk in chunks):
                # One row each, as in a decode step, and its kernel writes and reads in one launch.
                return self._first(self._run_step(self._new_batch(drawing)))
            logits = self._prefill_logits(chunks)
            if not drawing:
                # The last layer's attention and all after it stay uncomputed.
                mx.async_eval(self._access.state)
                return None
            launched = self._drawing.draw(logits, drawing)
            self._access.follow(launched.token_ids)
            return self._first(launched)

    def decode(self, sequences: Seq[Sequence]) -> Launched:
        """As in ``Runner``."""
        with use_device(self._device):
            batch = self._batch = self._batch_for(sequences)
            return self._launched(self._run_step(batch))

    def free(self, sequence: Sequence) -> None:
        """As in ``Runner``."""
        self._first_tokens.pop(sequence, None)

    def _run_step(self, batch: DecodeBatch) -> Launched:
        """One decode step of a batch, lazily; the batch is that of the step after it."""
        sequences = batch.sequences
        draws_here = not any(needs_host(sequence) for sequence in sequences)
        outputs = self._step.run(batch.inputs, draws_here=draws_here)
        if draws_here:
            launched = Launched(sequences, outputs.drawn, outputs.highest)
        else:
            launched = self._drawing.draw(outputs.drawn[: len(sequences)], sequences)
        batch.advance(outputs, self._padded(launched.token_ids))
        return launched

    def _first(self, launched: Launched) -> Launched:
        """Launch first tokens, and keep them for the decode step after this one."""
        for row, sequence in enumerate(launched.sequences):
            self._first_tokens[sequence] = launched.token_ids[row : row + 1]
        return self._launched(launched)

    def _prefill_logits(self, chunks: Seq[PrefillChunk]) -> mx.array:
        """Logits after the chunks that end a prompt, or of any row. Shapes: returns (n, V)."""
        token_ids = [chunk.sequence.token_ids for chunk in chunks]
        spans = [Span(c.sequence.block_ids, c.start, c.stop) for c in chunks]
        packing = Packing(self._pool, spans, self._tile, self._max_short)
        rows = [r for r, c in zip(packing.last_rows, chunks, strict=True) if c.is_last] or [0]
        return self._logits(packing, token_ids, rows)

    def _logits(self, packing: Packing, token_ids: Seq[Seq[int]], rows: Seq[int]) -> mx.array:
        """Logits of some rows of a pass. Shapes: returns (n, V)."""
        if self._prefill_step.can_run(packing):
            return self._prefill_step.run(packing, token_ids, rows)
        last = mx.array(list(rows), dtype=mx.int32)
        tokens, forward_pass = packing.forward_pass(self._access, token_ids)
        logits = self._model(tokens, cache=self._plan.caches(forward_pass, last))
        # A model whose body is not known gives those of every row.
        return logits[last, -1] if len(logits) > len(last) else logits[:, -1]

    def _launched(self, launched: Launched) -> Launched:
        mx.async_eval(launched.arrays, self._access.state)
        return launched

    def _batch_for(self, sequences: Seq[Sequence]) -> DecodeBatch:
        """The batch of the step before, if it still fits, or a new one."""
        batch = self._batch
        if batch is not None and batch.can_serve(sequences) and batch.take_new_blocks():
            return batch
        return self._new_batch(sequences, self._unread_tokens(sequences))

    def _new_batch(self, sequences: Seq[Sequence], tokens: mx.array | None = None) -> DecodeBatch:
        size = batch_bucket(len(sequences), self._smallest_batch)
        return DecodeBatch(sequences, self._pool.scratch_block, size, tokens)

    def _unread_tokens(self, sequences: Seq[Sequence]) -> mx.array | None:
        """Last token of each sequence, if one was not read yet. Shapes: (B,) int32, padded."""
        first_tokens = [self._first_tokens.pop(sequence, None) for sequence in sequences]
        if all(s.num_in_flight <= 1 for s in sequences):
            return None
        known = mx.array([s.last_token_id for s in sequences], dtype=mx.int32)
        # Pieces, not a scatter, which a GPU would have to compile.
        pieces = [
            self._unread_token(s, first) if s.num_in_flight > 1 else known[row : row + 1]
            for row, (s, first) in enumerate(zip(sequences, first_tokens, strict=True))
        ]
        return self._padded(mx.concatenate(pieces))

    def _unread_token(self, sequence: Sequence, first: mx.array | None) -> mx.array:
        """The token that the step before drew for a sequence. Shapes: returns (1,)."""
        if first is not None:
            return first
        assert self._batch is not None
        row = self._batch.sequences.index(sequence)
        return self._batch.inputs.tokens[row : row + 1]

    def _padded(self, tokens: mx.array) -> mx.array:
        """Zeros up to the size of a batch's bucket. Shapes: (n,) -> (B,)."""
        missing = batch_bucket(len(tokens), self._smallest_batch) - len(tokens)
        return mx.pad(tokens, (0, missing)) if missing else tokens
