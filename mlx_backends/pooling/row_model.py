"""What loaded encoders and cross-encoders share: weights, batches, and what computes them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from mlx_backends.config import EmbedderConfig, RerankerConfig
from mlx_backends.models.encoders.host_bert import host_bert
from mlx_backends.models.encoders.loader import load_encoder
from mlx_backends.pooling.batch_model import Entries, limits_of
from mlx_backends.pooling.footprint import batch_bytes
from mlx_backends.pooling.packed_forward import Finish, PackedForward
from mlx_backends.pooling.padded_forward import Forward, PaddedForward


class RowModel:
    """The part of ``BatchModel`` that does not depend on what rows are. On the MLX thread only.

    Args:
        description: What the model's files say.
        config: How it runs.
        memory_bytes: What it was counted to hold at most.

    Raises:
        ModelLoadError: The weights are missing, malformed or do not fit the config.
        UnsupportedModelError: A GPU was asked for and MLX has none here.
    """

    def __init__(
        self, description: Any, config: EmbedderConfig | RerankerConfig, memory_bytes: int
    ) -> None:
        self._shape = description.architecture.config
        self._model: Any
        self._model, self._device = load_encoder(
            description.folder,
            description.architecture,
            device=config.device,
            dtype=config.dtype,
            weight_bits=config.weight_bits,
            quantization=description.quantization,
        )
        self.limits = limits_of(self._device, config)
        self.memory_bytes = memory_bytes

    def _use(self, forward: Forward, pooling: str, finish: Finish) -> None:
        """Run batches through one function, or, where that is faster, through its parts.

        Args:
            forward: As in ``PaddedForward``.
            pooling: Name of a function of ``pool``.
            finish: What the function does with pooled vectors.
        """
        host = host_bert(self._model, self._device)
        if host is None:
            self._run = PaddedForward(forward, self._device, self.limits, self._shape)
        else:
            self.limits = replace(self.limits, has_padding=False)
            self._run = PackedForward(host, pooling, finish, self._shape)

    @property
    def num_streams(self) -> int:
        """Batches that are computed side by side."""
        return self._run.num_streams

    def extra_bytes(self, longest: int) -> int:
        """As in ``BatchModel``."""
        if longest <= self.limits.max_tokens:
            return 0
        return batch_bytes(self._shape, longest, longest)

    def launch(self, batches: Sequence[Entries]) -> None:
        """As in ``BatchModel``."""
        self._run.launch(batches)
