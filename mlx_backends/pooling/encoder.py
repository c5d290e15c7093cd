"""A loaded encoder: token ids to one vector for each row. Runs on the MLX thread only."""

from collections.abc import Sequence

import mlx.core as mx

from mlx_backends.config import EmbedderConfig
from mlx_backends.models.encoders.loader import load_encoder
from mlx_backends.models.loader import use_device
from mlx_backends.pooling import pool
from mlx_backends.pooling.batch_model import PaddedForward, limits_of
from mlx_backends.pooling.batching import TokenRow
from mlx_backends.pooling.dense import load_dense
from mlx_backends.pooling.description import EncoderDescription


class Encoder:
    """Weights, pooling, projections and normalization of one model.

    Args:
        description: What the model's files say.
        config: How it runs.
        memory_bytes: What it was counted to hold at most.

    Raises:
        ModelLoadError: The weights are missing, malformed or do not fit the config.
        UnsupportedModelError: A GPU was asked for and MLX has none here.
    """

    def __init__(
        self, description: EncoderDescription, config: EmbedderConfig, memory_bytes: int
    ) -> None:
        self._model, device = load_encoder(
            description.folder,
            description.architecture,
            device=config.device,
            dtype=config.dtype,
            weight_bits=config.weight_bits,
            quantization=description.quantization,
        )
        with use_device(device):
            self._dense = [load_dense(step) for step in description.dense]
        self._pool = pool.POOLINGS[description.pooling]
        self._is_normalized = description.is_normalized
        self.limits = limits_of(device, config)
        self.memory_bytes = memory_bytes
        self._run = PaddedForward(
            self._vectors, device, self.limits, description.architecture.config
        )

    @property
    def num_streams(self) -> int:
        """Batches that are computed side by side."""
        return self._run.num_streams

    def extra_bytes(self, longest: int) -> int:
        """As in ``BatchModel``."""
        return self._run.extra_bytes(longest)

    def __call__(self, rows: Sequence[TokenRow]) -> mx.array:
        """Start embedding the token ids of some texts.

        Shapes: returns (len(rows), D) in float32.

        Raises:
            ModelLoadError: An id is outside the vocabulary.
        """
        return self._run(rows)

    def _vectors(self, token_ids: mx.array, mask: mx.array, _: mx.array | None) -> mx.array:
        # Sums over a text in 16 bits would lose what the model's layers kept.
        hidden = self._model(token_ids, mask).astype(mx.float32)
        vectors = self._pool(hidden, mask)
        for dense in self._dense:
            vectors = dense(vectors)
        return pool.normalize(vectors) if self._is_normalized else vectors
