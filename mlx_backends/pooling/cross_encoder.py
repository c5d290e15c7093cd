"""A loaded cross-encoder: token pairs to one score for each. Runs on the MLX thread only."""

from collections.abc import Sequence

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from mlx_backends.config import Device, DType
from mlx_backends.models.encoders.bert_cross_encoder import BertCrossEncoder
from mlx_backends.models.encoders.loader import load_encoder
from mlx_backends.models.loader import use_device
from mlx_backends.pooling.batching import check_ids, pad, token_mask
from mlx_backends.pooling.pair_tokenizer import TokenPair
from mlx_backends.pooling.reranker_description import RerankerDescription


class CrossEncoder:
    """Weights and activation of one model.

    Raises:
        ModelLoadError: The weights are missing, malformed or do not fit the config.
        UnsupportedModelError: A GPU was asked for and MLX has none here.
    """

    def __init__(self, description: RerankerDescription, device: Device, dtype: DType) -> None:
        self._model, self._device = load_encoder(
            description.folder, BertCrossEncoder, description.config, device=device, dtype=dtype
        )
        self._config = description.config
        self._is_probability = description.score_kind == "probability"

    def __call__(self, pairs: Sequence[TokenPair]) -> NDArray[np.float32]:
        """Score some pairs in one forward pass.

        Shapes: returns (len(pairs),), in memory of its own, so that no MLX array leaves the
            thread.

        Raises:
            ModelLoadError: An id is outside the vocabulary.
        """
        token_ids, segments = pad([p.ids for p in pairs]), pad([p.segments for p in pairs])
        check_ids(token_ids, self._config.vocab_size)
        check_ids(segments, self._config.type_vocab_size)
        with use_device(self._device):
            mask = mx.array(token_mask(pairs))
            logits = self._model(mx.array(token_ids), mask, mx.array(segments))
            logits = logits.astype(mx.float32)
            return np.array(mx.sigmoid(logits) if self._is_probability else logits)
