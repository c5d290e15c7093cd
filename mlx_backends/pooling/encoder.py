"""A loaded encoder: padded token ids to one vector for each row. Runs on the MLX thread only."""

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from mlx_backends.config import Device, DType
from mlx_backends.errors import ModelLoadError
from mlx_backends.models.encoders.loader import load_encoder
from mlx_backends.models.loader import use_device
from mlx_backends.pooling import pool
from mlx_backends.pooling.description import EncoderDescription


class Encoder:
    """Weights, pooling and normalization of one model.

    Raises:
        ModelLoadError: The weights are missing, malformed or do not fit the config.
        UnsupportedModelError: A GPU was asked for and MLX has none here.
    """

    def __init__(self, description: EncoderDescription, device: Device, dtype: DType) -> None:
        self._model, self._device = load_encoder(
            description.folder, description.config, device=device, dtype=dtype
        )
        self._vocab_size = description.config.vocab_size
        self._pool = pool.POOLINGS[description.pooling]
        self._is_normalized = description.is_normalized

    def __call__(self, token_ids: NDArray[np.int32], lengths: list[int]) -> NDArray[np.float32]:
        """Embed a batch that is padded on the right.

        Shapes: token_ids (B, L); lengths B entries, tokens of each row. Returns (B, D), in memory
            of its own, so that no MLX array leaves the thread.

        Raises:
            ModelLoadError: An id is outside the vocabulary.
        """
        self._check_ids(token_ids)
        with use_device(self._device):
            mask = mx.arange(token_ids.shape[1]) < mx.array(lengths)[:, None]
            # Sums over a text in 16 bits would lose what the model's layers kept.
            hidden = self._model(mx.array(token_ids), mask).astype(mx.float32)
            vectors = self._pool(hidden, mask)
            if self._is_normalized:
                vectors = pool.normalize(vectors)
            return np.array(vectors)

    def _check_ids(self, token_ids: NDArray[np.int32]) -> None:
        """MLX reads whatever lies behind the table for an id that is too large."""
        largest = int(token_ids.max())
        if largest >= self._vocab_size:
            raise ModelLoadError(
                f"tokenizer.json gives the id {largest:,}, but the model has {self._vocab_size:,} "
                "tokens; the two files do not belong together."
            )
