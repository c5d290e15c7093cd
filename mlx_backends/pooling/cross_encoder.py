"""A loaded cross-encoder: token pairs to one score for each. Runs on the MLX thread only."""

from collections.abc import Sequence

import mlx.core as mx

from mlx_backends.config import RerankerConfig
from mlx_backends.models.encoders.loader import load_encoder
from mlx_backends.pooling.batch_model import PaddedForward, limits_of
from mlx_backends.pooling.pair_tokenizer import TokenPair
from mlx_backends.pooling.reranker_description import RerankerDescription


class CrossEncoder:
    """Weights and activation of one model.

    Args:
        description: What the model's files say.
        config: How it runs.
        memory_bytes: What it was counted to hold at most.

    Raises:
        ModelLoadError: The weights are missing, malformed or do not fit the config.
        UnsupportedModelError: A GPU was asked for and MLX has none here.
    """

    def __init__(
        self, description: RerankerDescription, config: RerankerConfig, memory_bytes: int
    ) -> None:
        self._model, device = load_encoder(
            description.folder,
            description.architecture,
            device=config.device,
            dtype=config.dtype,
            weight_bits=config.weight_bits,
            quantization=description.quantization,
        )
        self._is_probability = description.score_kind == "probability"
        self.limits = limits_of(device, config)
        self.memory_bytes = memory_bytes
        self._run = PaddedForward(
            self._scores, device, self.limits, description.architecture.config
        )

    @property
    def num_streams(self) -> int:
        """Batches that are computed side by side."""
        return self._run.num_streams

    def extra_bytes(self, longest: int) -> int:
        """As in ``BatchModel``."""
        return self._run.extra_bytes(longest)

    def __call__(self, rows: Sequence[TokenPair]) -> mx.array:
        """Start scoring some pairs.

        Shapes: returns (len(rows),) in float32.

        Raises:
            ModelLoadError: An id is outside the vocabulary.
        """
        return self._run([pair.ids for pair in rows], [pair.segments for pair in rows])

    def _scores(self, token_ids: mx.array, mask: mx.array, segments: mx.array | None) -> mx.array:
        logits = self._model(token_ids, mask, segments).astype(mx.float32)
        return mx.sigmoid(logits) if self._is_probability else logits
