"""Batches as MLX computes them: padded to the longest row. Runs on the MLX thread only."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from mlx_backends import fast_blas
from mlx_backends.models import cpu_layers
from mlx_backends.models.encoders.encoder import EncoderConfig
from mlx_backends.pooling.batch_model import num_cpu_batches
from mlx_backends.pooling.batching import BatchLimits, TokenRow, check_ids, pad, token_mask

Forward = Callable[[mx.array, mx.array, mx.array | None], mx.array]


@dataclass(frozen=True, slots=True)
class LazyEntries:
    """Entries that MLX evaluates."""

    array: mx.array

    def result(self) -> NDArray[np.float32]:
        """As in ``Entries``."""
        return np.array(self.array)


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
        is_cpu = device == mx.Device(mx.cpu)
        # On a CPU compiling saves nothing that can be measured, and every new shape costs.
        self._forward: Any = mx.compile(forward) if limits.has_buckets else forward
        self.num_streams = num_cpu_batches(fast_blas.num_threads()) if is_cpu else 1
        streams = [mx.new_stream(mx.cpu) for _ in range(self.num_streams)] if is_cpu else [device]
        self._streams = itertools.cycle(streams)
        self._limits = limits
        self._config = config

    def __call__(
        self, rows: Sequence[TokenRow], segments: Sequence[TokenRow] | None = None
    ) -> LazyEntries:
        """Build a forward pass.

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
            return LazyEntries(outputs[: len(rows)] if height > len(rows) else outputs)

    def launch(self, batches: Sequence[Any]) -> None:
        """As in ``BatchModel``."""
        # Together: one after the other, MLX would wait for the first to be nearly done.
        mx.async_eval(*[batch.array for batch in batches])
