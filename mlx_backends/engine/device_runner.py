"""Runs a paged model on a GPU: compiled decode steps, launched one ahead of what was read."""

from collections.abc import Sequence as Seq

import mlx.core as mx

from mlx_backends.cache.kv_pool import KVPool
from mlx_backends.cache.prefix_cache import BlockCopy
from mlx_backends.engine.decode_batch import (
    MIN_WIDTH,
    DecodeBatch,
    batch_bucket,
    buckets,
    scratch_inputs,
)
from mlx_backends.engine.decode_step import DecodeStep
from mlx_backends.engine.device_pass import ExtensionPass, PrefillPass
from mlx_backends.engine.drawing import Drawing, needs_host
from mlx_backends.engine.launched import Launched
from mlx_backends.engine.pool_access import PoolAccess
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
        tile: As in ``PrefillPass``.
        max_extension: Most tokens of a chunk for which an ``ExtensionPass`` is better.
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
        max_extension: int = 0,
        smallest_batch: int = 1,
    ) -> None:
        self._model = loaded.model
        self._device = loaded.device
        self._plan = plan
        self._pool = pool
        self._access = access
        self._tile = tile
        self._max_extension = max_extension
        self._smallest_batch = smallest_batch
        self._drawing = Drawing(eos_token_ids)
        self._step = DecodeStep(loaded.model, plan, access)
        self._batch: DecodeBatch | None = None
        self._first_tokens: dict[Sequence, mx.array] = {}

    @property
    def stats(self) -> RunnerStats:
        return RunnerStats(
            bytes_per_block=self._pool.bytes_per_block,
            pool_bytes=self._pool.nbytes,
            traces=self._step.traces,
            compile_s=self._step.compile_s,
            operations=self._step.operations,
        )

    @property
    def peak_memory_bytes(self) -> int:
        return mx.get_peak_memory()

    def warm_up(self, max_num_seqs: int, context_window: int) -> None:
        """As in ``Runner``; for greedy and for sampled rows, each in its buckets."""
        max_blocks = -(-context_window // self._pool.block_size)
        with use_device(self._device):
            sizes = {batch_bucket(n, self._smallest_batch) for n in range(1, max_num_seqs + 1)}
            for size in sorted(sizes):
                for width in buckets(MIN_WIDTH, max_blocks):
                    for temperature in (0.0, 1.0):
                        inputs = scratch_inputs(size, width, self._pool.scratch_block, temperature)
                        outputs = self._step.run(inputs, draws_here=True)
                        mx.eval(outputs.drawn, self._access.state)

    def copy_blocks(self, copies: Seq[BlockCopy]) -> None:
        """As in ``Runner``."""
        with use_device(self._device):
            self._access.copy_blocks(copies)

    def prefill(self, chunk: PrefillChunk) -> Launched | None:
        """As in ``Runner``."""
        sequence = chunk.sequence
        with use_device(self._device):
            forward_pass = self._pass_for(chunk)
            tokens = forward_pass.tokens(sequence.token_ids)
            caches = self._plan.caches(forward_pass, forward_pass.last)
            logits = self._model(tokens, cache=caches)
            # A model whose body is not known gives those of every position.
            logits = logits[:, forward_pass.last if logits.shape[1] > 1 else 0]
            if not chunk.is_last:
                # The last layer's attention and all after it stay uncomputed.
                mx.async_eval(self._access.state)
                return None
            launched = self._drawing.draw(logits, [sequence])
            self._access.follow(launched.token_ids)
            self._first_tokens[sequence] = launched.token_ids
            return self._launched(launched)

    def decode(self, sequences: Seq[Sequence]) -> Launched:
        """As in ``Runner``."""
        with use_device(self._device):
            batch = self._batch = self._batch_for(sequences)
            draws_here = not any(needs_host(sequence) for sequence in sequences)
            outputs = self._step.run(batch.inputs, draws_here=draws_here)
            if draws_here:
                launched = Launched(batch.sequences, outputs.drawn, outputs.highest)
            else:
                launched = self._drawing.draw(outputs.drawn[: len(sequences)], sequences)
            batch.advance(outputs, self._padded(launched.token_ids))
            return self._launched(launched)

    def free(self, sequence: Sequence) -> None:
        """As in ``Runner``."""
        self._first_tokens.pop(sequence, None)

    def _pass_for(self, chunk: PrefillChunk) -> PrefillPass | ExtensionPass:
        where = self._access, self._pool, chunk.sequence.block_ids, chunk.start, chunk.stop
        if chunk.stop - chunk.start <= self._max_extension:
            return ExtensionPass(*where)
        return PrefillPass(*where, self._tile)

    def _launched(self, launched: Launched) -> Launched:
        mx.async_eval(launched.arrays, self._access.state)
        return launched

    def _batch_for(self, sequences: Seq[Sequence]) -> DecodeBatch:
        """The batch of the step before, if it still fits, or a new one."""
        batch = self._batch
        if batch is not None and batch.can_serve(sequences) and batch.take_new_blocks():
            return batch
        return DecodeBatch(sequences, self._pool.scratch_block, self._last_tokens(sequences))

    def _last_tokens(self, sequences: Seq[Sequence]) -> mx.array:
        """Last token of each sequence, read or not. Shapes: returns (B,) int32, padded."""
        first_tokens = [self._first_tokens.pop(sequence, None) for sequence in sequences]
        known = mx.array([s.last_token_id for s in sequences], dtype=mx.int32)
        if all(s.num_in_flight <= 1 for s in sequences):
            return self._padded(known)
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
