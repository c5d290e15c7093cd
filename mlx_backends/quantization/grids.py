"""The values that a group of weights may take, learned together with the weights.

A group has a scale and a bias: code ``c`` stands for ``scale * c + bias``, as in MLX's affine
format. Rounding passes the gradient through (straight-through: Bengio et al. 2013,
arXiv:1308.3432), also to scale and bias (learned step size: Esser et al. 2019, arXiv:1902.08153).
MLX's own rounding keeps zero among the values, which at 2 bits leaves three of them on one side;
a learned grid need not.
"""

from collections.abc import Mapping
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_unflatten

from mlx_backends.quantization.trained_weights import Arrays

# Shares of a group's range that the first grid may cover.
_SHARES = np.linspace(0.4, 1.0, 25)
_SCALE, _BIAS = ".log_scale", ".shift"


class Grids:
    """Scales and biases of all weights that are packed.

    Args:
        weights: By name, before rounding.
        widths: Bits of those that are packed, by name.
        group_size: Weights of a group, along the last axis.
        stored: Type that scales and biases will have.
    """

    def __init__(
        self, weights: Arrays, widths: Mapping[str, int], group_size: int, stored: mx.Dtype
    ) -> None:
        self._widths = dict(widths)
        self._group_size = group_size
        self._stored = stored
        self._first: dict[str, tuple[mx.array, mx.array]] = {}
        for name, bits in self._widths.items():
            self._first[name] = _best_grid(_grouped(weights[name], group_size), bits)
            mx.eval(self._first[name])

    def start(self) -> Arrays:
        """What is trained of the grids: changes relative to the first ones."""
        trained: Arrays = {}
        for name, (scale, _) in self._first.items():
            trained[name + _SCALE] = mx.zeros(scale.shape)
            trained[name + _BIAS] = mx.zeros(scale.shape)
        return trained

    def round(self, weights: Arrays, trained: Arrays) -> Arrays:
        """Weights as they will be after packing, with gradients; others as they are."""
        rounded = dict(weights)
        for name, bits in self._widths.items():
            weight = weights[name]
            scale, bias = self._grid(name, trained)
            exact = _codes(_grouped(weight, self._group_size), scale, bias, bits)
            codes = exact + mx.stop_gradient(mx.round(exact) - exact)
            rounded[name] = (scale * codes + bias).reshape(weight.shape)
        return rounded

    def pack(self, model: nn.Module, weights: Arrays, trained: Arrays) -> None:
        """Replace the model's layers by packed ones of mlx-lm's format, and set all weights."""
        exact = {
            name: array.astype(self._stored)
            for name, array in weights.items()
            if name not in self._widths
        }
        model.update(tree_unflatten(list(exact.items())))
        layers: dict[str, Any] = dict(model.named_modules())
        packed = []
        for name, bits in self._widths.items():
            scale, bias = self._grid(name, trained)
            codes = _codes(_grouped(weights[name], self._group_size), scale, bias, bits)
            path = name.removesuffix(".weight")
            layer = layers[path].to_quantized(self._group_size, bits, mode="affine")
            layer.weight = pack_codes(mx.round(codes).reshape(weights[name].shape), bits)
            layer.scales = scale[..., 0].astype(self._stored)
            layer.biases = bias[..., 0].astype(self._stored)
            packed.append((path, layer))
        model.update_modules(tree_unflatten(packed))

    def _grid(self, name: str, trained: Arrays) -> tuple[mx.array, mx.array]:
        """Scale and bias of each group as they will be stored, (..., groups, 1) float32."""
        scale, bias = self._first[name]
        bias = bias + scale * trained[name + _BIAS]
        scale = scale * mx.exp(trained[name + _SCALE])
        return self._as_stored(scale), self._as_stored(bias)

    def _as_stored(self, values: mx.array) -> mx.array:
        kept = values.astype(self._stored).astype(mx.float32)
        return values + mx.stop_gradient(kept - values)


def pack_codes(codes: mx.array, bits: int) -> mx.array:
    """Codes as MLX packs them: one stream of bits along a row, lowest first.

    Shapes: (..., columns) -> (..., columns * bits / 32) uint32.
    """
    values = np.array(codes.astype(mx.uint8))
    stream = np.unpackbits(values[..., None], axis=-1, count=bits, bitorder="little")
    packed = np.packbits(stream.reshape(*values.shape[:-1], -1), axis=-1, bitorder="little")
    return mx.array(np.ascontiguousarray(packed).view(np.uint32))


def _grouped(weight: mx.array, group_size: int) -> mx.array:
    """Shapes: (..., columns) -> (..., groups, group_size), float32."""
    return weight.astype(mx.float32).reshape(*weight.shape[:-1], -1, group_size)


def _codes(groups: mx.array, scale: mx.array, bias: mx.array, bits: int) -> mx.array:
    """Codes before they are rounded to integers."""
    return mx.clip((groups - bias) / scale, 0, 2**bits - 1)


def _best_grid(groups: mx.array, bits: int) -> tuple[mx.array, mx.array]:
    """The evenly spaced values, centred on each group's range, with the least squared error."""
    low, high = groups.min(axis=-1, keepdims=True), groups.max(axis=-1, keepdims=True)
    centre, span = (low + high) / 2, mx.maximum(high - low, 1e-6)
    least = mx.full(span.shape, float("inf"))
    scale, bias = span, low
    for share in _SHARES:
        step = span * (float(share) / (2**bits - 1))
        first = centre - span * (float(share) / 2)
        kept = step * mx.round(_codes(groups, step, first, bits)) + first
        error = mx.square(kept - groups).sum(axis=-1, keepdims=True)
        is_better = error < least
        least = mx.where(is_better, error, least)
        scale, bias = mx.where(is_better, step, scale), mx.where(is_better, first, bias)
        mx.eval(least, scale, bias)
    return scale, bias
