"""A loaded cross-encoder: token pairs to one score for each. Runs on the MLX thread only."""

from collections.abc import Sequence

import mlx.core as mx

from mlx_backends.config import RerankerConfig
from mlx_backends.pooling.batch_model import Entries
from mlx_backends.pooling.pair_tokenizer import TokenPair
from mlx_backends.pooling.reranker_description import RerankerDescription
from mlx_backends.pooling.row_model import RowModel


class CrossEncoder(RowModel):
    """Weights and activation of one model; made as ``RowModel``."""

    def __init__(
        self, description: RerankerDescription, config: RerankerConfig, memory_bytes: int
    ) -> None:
        super().__init__(description, config, memory_bytes)
        self._is_probability = description.score_kind == "probability"
        self._use(self._scores, "cls", lambda first: self._activated(self._model.score(first)))

    def __call__(self, rows: Sequence[TokenPair]) -> Entries:
        """Start scoring some pairs.

        Shapes: gives (len(rows),) in float32.

        Raises:
            ModelLoadError: An id is outside the vocabulary.
        """
        return self._run([pair.ids for pair in rows], [pair.segments for pair in rows])

    def _scores(self, token_ids: mx.array, mask: mx.array, segments: mx.array | None) -> mx.array:
        return self._activated(self._model(token_ids, mask, segments).astype(mx.float32))

    def _activated(self, logits: mx.array) -> mx.array:
        return mx.sigmoid(logits) if self._is_probability else logits
