"""What encoders and cross-encoders share: how a batch is padded, and a forward pass run.

Runs on the MLX thread only.
"""

import itertools
import os
from collections.abc import Callable, Sequence, Sized
from typing import Any, Protocol, TypeVar

import mlx.core as mx

from mlx_backends import fast_blas
from mlx_backends.config import EmbedderConfig, RerankerConfig
from mlx_backends.models import cpu_layers
from mlx_backends.models.encoders.encoder import EncoderConfig
from mlx_backends.pooling.batching import BatchLimits, TokenRow, check_ids, pad, token_mask
from mlx_backends.pooling.footprint import batch_bytes

Row_contra = TypeVar("Row_contra", bound=Sized, contravariant=True)
Forward = Callable[[mx.array, mx.array, mx.array | None], mx.array]

_MAX_HOST_STREAMS = 8
# A CPU gains little from more rows and keeps small activations in its caches; a GPU wants many.
_CPU_LIMITS = BatchLimits(max_tokens=512, pass_tokens=64)
_GPU_LIMITS = BatchLimits(max_tokens=16_384, pass_tokens=2_048, has_buckets=True)


class BatchModel(Protocol[Row_contra]):
    """A loaded model that takes padded batches.

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

    def __call__(self, rows: Sequence[Row_contra]) -> mx.array:
        """Start a forward pass; one entry for each row, still to be evaluated."""
        ...


def limits_of(device: mx.Device, config: EmbedderConfig | RerankerConfig) -> BatchLimits:
    """Batches for a device, no larger than the configuration allows."""
    limits = _CPU_LIMITS if device == mx.Device(mx.cpu) else _GPU_LIMITS
    return BatchLimits(
        config.max_batch_tokens or limits.max_tokens, limits.pass_tokens, limits.has_buckets
    )


def max_launched(device: mx.Device) -> int:
    """Batches that are on their way at once: those that are computed, and as many behind them."""
    return 2 * (_num_host_streams() if device == mx.Device(mx.cpu) else 1)


class PaddedForward:
    """Pads rows and runs a function on them, compiled where that pays.

    On a CPU, one batch after the other goes to the next of several streams, each of which is a
    thread of MLX: batches that are evaluated together are computed side by side, which serves
    several cores better than several threads in each product, as most operations have one only.

    Args:
        forward: Token ids, mask and segments (each (B, L), segments or None) to one entry a row.
        device: Where to run.
        limits: How batches are padded.
        config: What ids are checked against.
    """

    def __init__(
        self, forward: Forward, device: mx.Device, limits: BatchLimits, config: EncoderConfig
    ) -> None:
        self._is_cpu = device == mx.Device(mx.cpu)
        # On a CPU compiling saves nothing that can be measured, and every new shape costs.
        self._forward: Any = mx.compile(forward) if limits.has_buckets else forward
        self._streams = itertools.cycle(_host_streams() if self._is_cpu else [device])
        self._limits = limits
        self._config = config

    @property
    def num_streams(self) -> int:
        """Batches that are computed side by side."""
        return _num_host_streams() if self._is_cpu else 1

    def extra_bytes(self, longest: int) -> int:
        """As in ``BatchModel``."""
        if longest <= self._limits.max_tokens:
            return 0
        return batch_bytes(self._config, longest, longest)

    def __call__(
        self, rows: Sequence[TokenRow], segments: Sequence[TokenRow] | None = None
    ) -> mx.array:
        """Start a forward pass.

        Raises:
            ModelLoadError: An id or a segment is outside its table.
        """
        width = self._limits.padded_length(max(map(len, rows)))
        height = self._limits.padded_rows(len(rows))
        token_ids = pad(rows, width=width, height=height)
        check_ids(token_ids, self._config.vocab_size)
        mask = token_mask(rows, width=width, height=height)
        kinds = None
        if segments is not None:
            kinds = pad(segments, width=width, height=height)
            check_ids(kinds, self._config.num_segments)
        with mx.stream(next(self._streams)), cpu_layers.one_position():
            outputs = self._forward(
                mx.array(token_ids), mx.array(mask), None if kinds is None else mx.array(kinds)
            )
            return outputs[: len(rows)] if height > len(rows) else outputs


def _host_streams() -> list[mx.Stream]:
    return [mx.new_stream(mx.cpu) for _ in range(_num_host_streams())]


def _num_host_streams() -> int:
    """Cores that are left to batches when every product takes the threads that it was given."""
    has_affinity = hasattr(os, "sched_getaffinity")  # not on macOS
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    return max(1, min(_MAX_HOST_STREAMS, cores // fast_blas.num_threads()))
