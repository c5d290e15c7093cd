"""Runs the models that the paged path cannot: with mlx-lm's own caches.

Recurrent and hybrid models, latent attention and caches of a model's own run this way, exactly as
in mlx-lm. A prompt is computed on caches of its own. Sequences that decode are rows of batch
caches, if mlx-lm has them for every layer; else each keeps its own, and the rows of a step are one
graph but not one product.
"""

from collections.abc import Sequence as Seq
from typing import Any

import mlx.core as mx
from mlx_lm.models.cache import make_prompt_cache

from mlx_backends.cache.prefix_cache import BlockCopy
from mlx_backends.engine.batch_caches import BatchCaches, can_merge
from mlx_backends.engine.drawing import Drawing
from mlx_backends.engine.launched import Launched
from mlx_backends.engine.runner import RunnerStats
from mlx_backends.engine.sequence import Sequence
from mlx_backends.engine.step import PrefillChunk
from mlx_backends.models.loader import LoadedModel, use_device


class FallbackRunner:
    """Owns the model and the caches of the running sequences."""

    runs_ahead = False

    def __init__(self, loaded: LoadedModel, eos_token_ids: frozenset[int]) -> None:
        self._model = loaded.model
        self._device = loaded.device
        self._drawing = Drawing(eos_token_ids)
        self._caches: dict[Sequence, list[Any]] = {}
        self._batch = BatchCaches()
        self._can_merge = can_merge(make_prompt_cache(loaded.model))

    @property
    def stats(self) -> RunnerStats:
        held = sum(layer.nbytes for cache in self._caches.values() for layer in cache)
        return RunnerStats(pool_bytes=held + self._batch.nbytes)

    @property
    def peak_memory_bytes(self) -> int:
        return mx.get_peak_memory()

    def warm_up(self, max_num_seqs: int, context_window: int) -> None:
        """As in ``Runner``: nothing is compiled."""

    def copy_blocks(self, copies: Seq[BlockCopy]) -> None:
        """As in ``Runner``; without prefix reuse there are none."""
        assert not copies

    def prefill(self, chunk: PrefillChunk) -> Launched | None:
        """As in ``Runner``."""
        sequence = chunk.sequence
        with use_device(self._device):
            if chunk.start == 0:  # also after a preemption
                self.free(sequence)
                self._caches[sequence] = make_prompt_cache(self._model)
            logits = self._logits(sequence, sequence.token_ids[chunk.start : chunk.stop])
            if not chunk.is_last:
                mx.eval([layer.state for layer in self._caches[sequence]])
                return None
            return self._finished(self._drawing.draw(logits, [sequence]))

    def decode(self, sequences: Seq[Sequence]) -> Launched:
        """As in ``Runner``."""
        with use_device(self._device):
            if self._can_merge and len(sequences) > 1:
                return self._decode_batch(sequences)
            for sequence in [s for s in self._batch.sequences if s in sequences]:
                self._caches[sequence] = self._batch.take(sequence)
            rows = [self._logits(sequence, [sequence.last_token_id]) for sequence in sequences]
            return self._finished(self._drawing.draw(mx.concatenate(rows), sequences))

    def free(self, sequence: Sequence) -> None:
        """As in ``Runner``."""
        self._caches.pop(sequence, None)
        if sequence in self._batch.sequences:
            with use_device(self._device):
                self._batch.drop(sequence)

    def _decode_batch(self, sequences: Seq[Sequence]) -> Launched:
        """One product in every layer for all sequences."""
        batch = self._batch
        for sequence in [s for s in batch.sequences if s not in sequences]:
            self._caches[sequence] = batch.take(sequence)
        new = [s for s in sequences if s not in batch.sequences]
        batch.add(new, [self._caches.pop(sequence) for sequence in new])
        tokens = mx.array([[sequence.last_token_id] for sequence in batch.sequences])
        logits = self._model(tokens, cache=batch.layers)[:, -1]
        return self._finished(self._drawing.draw(logits, batch.sequences))

    def _logits(self, sequence: Sequence, tokens: Seq[int]) -> mx.array:
        """Logits after the last of some new tokens of a sequence. Shapes: returns (1, V)."""
        return self._model(mx.array([tokens]), cache=self._caches[sequence])[:, -1]

    @staticmethod
    def _finished(launched: Launched) -> Launched:
        mx.eval(launched.arrays)
        return launched
