"""Weights that a CPU holds twice: as floats, and as the bytes they were unpacked from.

A product of few rows, which is what decode steps are, waits for the weight to arrive from memory:
bytes are a quarter of it. So the BLAS shim (``fast_blas.c``) is told where the codes, scales and
offsets of an unpacked weight are, and reads those for up to sixteen rows; for more it takes the
floats. The numbers are the same up to rounding in float32, as every byte is unpacked before it is
multiplied. Any affine format will do: codes of 2 to 8 bits become bytes.
"""

import weakref
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlx_backends import fast_blas

_PACKED = (nn.QuantizedLinear, nn.QuantizedEmbedding)
_GROUP_SIZE_UNIT = 16  # whole vectors


@dataclass(frozen=True, slots=True)
class ByteWeight:
    """The codes of one layer's weight; nothing is computed until ``enter``.

    Attributes:
        layer: The unpacked layer.
        codes: (n, k) uint8.
        scales: (n, k / group_size) float32.
        offsets: Likewise: a weight is ``scale * code + offset``.
        group_size: Columns with one scale.
    """

    layer: nn.Module
    codes: mx.array
    scales: mx.array
    offsets: mx.array
    group_size: int

    @property
    def nbytes(self) -> int:
        return self.codes.nbytes + self.scales.nbytes + self.offsets.nbytes

    def enter(self) -> None:
        """Tell the BLAS, for as long as the layer lives. Its weight must be evaluated."""
        layer: Any = self.layer
        mx.eval(self.codes, self.scales, self.offsets)
        # Views share memory with the arrays, and hold them: nobody else gets the address.
        arrays = [np.asarray(a) for a in (layer.weight, self.codes, self.scales, self.offsets)]
        floats, codes, scales, offsets = arrays
        if fast_blas.enter_bytes(floats, codes, scales, offsets):
            weakref.finalize(layer, _remove, arrays).atexit = False


def _remove(arrays: list[np.ndarray]) -> None:
    fast_blas.remove_bytes(arrays[0])


def unpack(model: nn.Module) -> list[ByteWeight]:
    """Unpack a model's quantized layers in place, in the type of their scales.

    Returns:
        The bytes of those that a BLAS can multiply by; none where it cannot.
    """
    # Here, not at the top: mlx_lm takes two seconds to import. Whoever has a model has imported it.
    from mlx_lm.utils import dequantize_model

    packed = {name: layer for name, layer in model.named_modules() if _is_affine(layer)}
    dequantize_model(model)
    layers: dict[str, Any] = dict(model.named_modules())
    for name, layer in packed.items():
        if layer.bits == 6:  # MLX would take several times the memory of the floats
            layers[name].weight = _floats(layer)
    return [
        _byte_weight(layers[name], layer) for name, layer in packed.items() if _has_bytes(layer)
    ]


def _is_affine(layer: Any) -> bool:
    return type(layer) in _PACKED and layer.mode == "affine"


def _has_bytes(layer: Any) -> bool:
    return (
        fast_blas.has_bytes()
        and _is_affine(layer)
        and layer.scales.dtype == mx.float32
        and layer.group_size % _GROUP_SIZE_UNIT == 0
    )


def _byte_weight(layer: nn.Module, packed: Any) -> ByteWeight:
    return ByteWeight(layer, _codes(packed), packed.scales, packed.biases, packed.group_size)


def _floats(packed: Any) -> mx.array:
    """Shapes: packed words (n, k * bits / 32) -> (n, k), in the type of the scales."""
    codes = _codes(packed).reshape(*packed.scales.shape, -1)
    floats = codes * packed.scales[..., None] + packed.biases[..., None]
    return floats.reshape(len(floats), -1)


def _codes(packed: Any) -> mx.array:
    """Shapes: packed words (n, k * bits / 32) -> (n, k) uint8."""
    if packed.bits == 8:
        return packed.weight.view(mx.uint8)
    if packed.bits == 4:
        pairs = packed.weight.view(mx.uint8)
        return mx.stack([pairs & 15, pairs >> 4], axis=-1).reshape(len(pairs), -1)
    if packed.bits == 6:  # four in three bytes
        first, second, third = mx.split(
            packed.weight.view(mx.uint8).reshape(len(packed.weight), -1, 3), 3, axis=-1
        )
        parts = [
            first & 63,
            first >> 6 | (second & 15) << 2,
            second >> 4 | (third & 3) << 4,
            third >> 2,
        ]
        return mx.concatenate(parts, axis=-1).reshape(len(first), -1)
    ones, zeros = mx.ones_like(packed.scales), mx.zeros_like(packed.scales)
    codes = mx.dequantize(packed.weight, ones, zeros, packed.group_size, packed.bits)
    return codes.astype(mx.uint8)


def enter_all(model: nn.Module, weights: list[ByteWeight]) -> None:
    """Tell the BLAS of the layers that are still in a model, one at a time; frees what is not."""
    layers = {id(layer) for layer in model.modules()}
    while weights:
        weight = weights.pop()
        if id(weight.layer) in layers:
            weight.enter()
