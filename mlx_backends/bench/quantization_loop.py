"""The usual loop of quantization-aware training: each layer rounds its own weights as it is called.

The peer that a training step is timed against. Min-max values of each group, found anew from the
weights in every forward pass; gradients go straight through (Jacob et al. 2017, arXiv:1712.05877).
"""

from functools import cache
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from mlx_backends.quantization.config import QuantizationConfig
from mlx_backends.quantization.layers import quantizable, widths_of


def fake_quantized(weight: mx.array, bits: int, group_size: int) -> mx.array:
    """Weights as rounding would leave them, with the identity as gradient; of the same type."""
    groups = weight.reshape(-1, group_size)
    low, high = groups.min(axis=-1, keepdims=True), groups.max(axis=-1, keepdims=True)
    scale = mx.maximum(high - low, 1e-6) / (2**bits - 1)
    codes = mx.clip(mx.round((groups - low) / scale), 0, 2**bits - 1)
    kept = (codes * scale + low).reshape(weight.shape)
    return weight + mx.stop_gradient(kept - weight)


def round_when_called(model: nn.Module, config: QuantizationConfig) -> None:
    """Let the layers that a configuration rounds do so in each call, in place."""
    layers = quantizable(model, config)
    for name, bits in widths_of(model, layers, config).items():
        layer: Any = layers[name]
        layer.__class__ = _rounding(type(layer))
        layer.rounded_bits, layer.rounded_group = bits, config.group


@cache
def _rounding(kind: Any) -> type[nn.Module]:
    """A layer's class whose every call sees rounded weights."""

    class Rounding(kind):
        rounded_bits: int
        rounded_group: int

        def __call__(self, x: mx.array) -> mx.array:
            return self._rounded(super().__call__, x)

        def as_linear(self, x: mx.array) -> mx.array:
            return self._rounded(super().as_linear, x)

        def _rounded(self, run: Any, x: mx.array) -> mx.array:
            exact = self.weight
            self.weight = fake_quantized(exact, self.rounded_bits, self.rounded_group)
            try:
                return run(x)
            finally:
                self.weight = exact

    return Rounding
