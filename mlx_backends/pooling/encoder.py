"""A loaded encoder: token ids to one vector for each row. Runs on the MLX thread only."""

from collections.abc import Sequence

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from mlx_backends.config import Device, DType
from mlx_backends.models.encoders.bert import Bert
from mlx_backends.models.encoders.loader import load_encoder
from mlx_backends.models.loader import use_device
from mlx_backends.pooling import pool
from mlx_backends.pooling.batching import check_ids, pad, token_mask
from mlx_backends.pooling.description import EncoderDescription


class Encoder:
    """Weights, pooling and normalization of one model.

    Raises:
        ModelLoadError: The weights are missing, malformed or do not fit the config.
        UnsupportedModelError: A GPU was asked for and MLX has none here.
    """

    def __init__(self, description: EncoderDescription, device: Device, dtype: DType) -> None:
        self._model, self._device = load_encoder(
            description.folder, Bert, description.config, device=device, dtype=dtype
        )
        self._vocab_size = description.config.vocab_size
        self._pool = pool.POOLINGS[description.pooling]
        self._is_normalized = description.is_normalized

    def __call__(self, rows: Sequence[Sequence[int]]) -> NDArray[np.float32]:
        """Embed the token ids of some texts in one forward pass.

        Shapes: returns (len(rows), D), in memory of its own, so that no MLX array leaves the
            thread.

        Raises:
            ModelLoadError: An id is outside the vocabulary.
        """
        token_ids = pad(rows)
        check_ids(token_ids, self._vocab_size)
        with use_device(self._device):
            mask = mx.array(token_mask(rows))
            # Sums over a text in 16 bits would lose what the model's layers kept.
            hidden = self._model(mx.array(token_ids), mask).astype(mx.float32)
            vectors = self._pool(hidden, mask)
            if self._is_normalized:
                vectors = pool.normalize(vectors)
            return np.array(vectors)
