"""What runs the batches of a model, and how large they may be on a device."""

import os
from collections.abc import Sequence, Sized
from typing import Protocol, TypeVar

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from mlx_backends.config import EmbedderConfig, RerankerConfig
from mlx_backends.pooling.batching import BatchLimits

Row_contra = TypeVar("Row_contra", bound=Sized, contravariant=True)

_MAX_CPU_BATCHES = 8
# A CPU gains little from more rows and keeps small activations in its caches; a GPU wants many.
_CPU_LIMITS = BatchLimits(max_tokens=512, pass_tokens=64)
_GPU_LIMITS = BatchLimits(max_tokens=16_384, pass_tokens=2_048, has_buckets=True)


class Entries(Protocol):
    """One entry for each row of a batch that is on its way."""

    def result(self) -> NDArray[np.float32]:
        """Wait for them."""
        ...


class BatchModel(Protocol[Row_contra]):
    """A loaded model that takes batches. On the MLX thread only.

    Attributes:
        limits: How large they may be.
        num_streams: Batches that are computed side by side.
        memory_bytes: What the model and its largest batches hold at most.
    """

    @property
    def limits(self) -> BatchLimits: ...

    @property
    def num_streams(self) -> int: ...

    @property
    def memory_bytes(self) -> int: ...

    def extra_bytes(self, longest: int) -> int:
        """What a batch holds beyond that if its longest row is longer than ``limits`` allow."""
        ...

    def __call__(self, rows: Sequence[Row_contra]) -> Entries:
        """Build a forward pass."""
        ...

    def launch(self, batches: Sequence[Entries]) -> None:
        """Start batches that were built, side by side."""
        ...


def limits_of(device: mx.Device, config: EmbedderConfig | RerankerConfig) -> BatchLimits:
    """Batches for a device, no larger than the configuration allows."""
    limits = _CPU_LIMITS if device == mx.Device(mx.cpu) else _GPU_LIMITS
    return BatchLimits(
        config.max_batch_tokens or limits.max_tokens, limits.pass_tokens, limits.has_buckets
    )


def max_launched(device: mx.Device) -> int:
    """Batches that are on their way at once: those that are computed, and as many behind them."""
    return 2 * (num_cpu_batches() if device == mx.Device(mx.cpu) else 1)


def num_cpu_batches(threads_of_a_batch: int = 1) -> int:
    """Batches that keep all cores busy."""
    has_affinity = hasattr(os, "sched_getaffinity")  # not on macOS
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return max(1, min(_MAX_CPU_BATCHES, cores // threads_of_a_batch))
