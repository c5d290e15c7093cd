"""A loaded encoder: token ids to one vector for each row. Runs on the MLX thread only."""

from collections.abc import Sequence

import mlx.core as mx

from mlx_backends.config import EmbedderConfig
from mlx_backends.models.loader import use_device
from mlx_backends.pooling import pool
from mlx_backends.pooling.batch_model import Entries
from mlx_backends.pooling.batching import TokenRow
from mlx_backends.pooling.dense import load_dense
from mlx_backends.pooling.description import EncoderDescription
from mlx_backends.pooling.row_model import RowModel


class Encoder(RowModel):
    """Weights, pooling, projections and normalization of one model; made as ``RowModel``."""

    def __init__(
        self, description: EncoderDescription, config: EmbedderConfig, memory_bytes: int
    ) -> None:
        super().__init__(description, config, memory_bytes)
        with use_device(self._device):
            self._dense = [load_dense(step) for step in description.dense]
        self._pool = pool.POOLINGS[description.pooling]
        self._is_normalized = description.is_normalized
        self._use(self._vectors, description.pooling, self._finish)

    def __call__(self, rows: Sequence[TokenRow]) -> Entries:
        """Start embedding the token ids of some texts.

        Shapes: gives (len(rows), D) in float32.

        Raises:
            ModelLoadError: An id is outside the vocabulary.
        """
        return self._run(rows)

    def _vectors(self, token_ids: mx.array, mask: mx.array, _: mx.array | None) -> mx.array:
        # Sums over a text in 16 bits would lose what the model's layers kept.
        hidden = self._model(token_ids, mask).astype(mx.float32)
        return self._finish(self._pool(hidden, mask))

    def _finish(self, vectors: mx.array) -> mx.array:
        for dense in self._dense:
            vectors = dense(vectors)
        return pool.normalize(vectors) if self._is_normalized else vectors
