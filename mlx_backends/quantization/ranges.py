"""Ranges of what linear layers are given, found by running calibration data through the model."""

from collections.abc import Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlx_backends.errors import QuantizationError
from mlx_backends.models.rounded_inputs import RoundedInput, install, uninstall
from mlx_backends.quantization.block_runs import run_blocks
from mlx_backends.quantization.config import Observer

_LEVELS = 127
# Magnitudes kept of each layer and batch, at even steps.
_SAMPLES = 16_384
# Clipped ranges that the search for the smallest squared error tries, as shares of the largest.
_CLIPS = np.linspace(0.2, 1.0, 81)


Notes = list[tuple[mx.array, mx.array]]


class _Watched(RoundedInput):
    """Notes magnitudes of the inputs and rounds nothing."""

    def round_input(self, x: mx.array) -> mx.array:
        rows = mx.abs(x.astype(mx.float32)).reshape(-1, x.shape[-1])
        step = -(-rows.size // _SAMPLES)
        sample = mx.contiguous(rows.reshape(-1)[::step])  # a view would keep all rows
        note = rows.max(axis=0), sample
        mx.eval(note)  # or the rows would be kept until it is
        self.__dict__.setdefault("seen", []).append(note)
        return x


def find_peaks(model: nn.Module, batches: Sequence[mx.array]) -> dict[str, mx.array]:
    """Largest magnitude of each channel of each linear layer's input, (channels,)."""
    return {
        name: mx.stack([peaks for peaks, _ in notes]).max(axis=0)
        for name, notes in _watch(model, batches).items()
    }


def find_scales(
    model: nn.Module, batches: Sequence[mx.array], observer: Observer, percentile: float
) -> dict[str, float]:
    """A scale for each linear layer's input, so that codes go from -127 to 127.

    Args:
        model: Its linear layers are watched while it runs; it is unchanged afterwards.
        batches: Inputs of the model.
        observer: ``minmax`` keeps the largest magnitude, ``percentile`` that share of them, and
            ``mse`` the range with the smallest squared error.
        percentile: In percent.

    Raises:
        QuantizationError: The data leaves a layer without a finite input that is not zero.
    """
    return {
        name: _scale(name, notes, observer, percentile)
        for name, notes in _watch(model, batches).items()
    }


def _watch(model: nn.Module, batches: Sequence[mx.array]) -> dict[str, Notes]:
    """What each linear layer that ran was given: peaks by channel, and samples, of each batch."""
    install(model, None, base=_Watched)
    watched: dict[str, Any] = {
        name: layer for name, layer in model.named_modules() if isinstance(layer, _Watched)
    }
    try:
        for batch in batches:
            run_blocks(model, batch)
        seen = {name: layer.__dict__.pop("seen", []) for name, layer in watched.items()}
    finally:
        uninstall(model)
    return {name: notes for name, notes in seen.items() if notes}


def _scale(name: str, notes: Notes, observer: Observer, percentile: float) -> float:
    largest = max(float(np.array(peaks).max()) for peaks, _ in notes)
    if not 0 < largest < float("inf"):
        raise QuantizationError(
            f"The inputs of {name!r} reach {largest} on the calibration data; give data on which "
            "the model works."
        )
    samples = np.concatenate([np.array(sample) for _, sample in notes])
    if observer == "minmax":
        limit = largest
    elif observer == "percentile":
        limit = float(np.percentile(samples, percentile)) or largest
    else:
        limit = largest * _best_clip(samples / largest)
    return limit / _LEVELS


def _best_clip(samples: np.ndarray) -> float:
    """The share of the range (1) that loses the least, squared, in rounding and clipping."""

    def error(clip: float) -> float:
        scale = clip / _LEVELS
        kept = np.clip(np.round(samples / scale), -_LEVELS, _LEVELS) * scale
        return float(np.square(kept - samples).sum())

    return float(min(_CLIPS, key=error))
