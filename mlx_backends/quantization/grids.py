"""The values that a group of weights may take, learned together with the weights.

A group has a scale and a bias: code ``c`` stands for ``scale * c + bias``, as in MLX's affine
format. Rounding passes the gradient through (straight-through: Bengio et al. 2013,
arXiv:1308.3432), also to scale and bias (learned step size: Esser et al. 2019, arXiv:1902.08153).
MLX's own rounding keeps zero among the values, which at 2 bits leaves three of them on one side;
a learned grid need not.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from math import prod
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np
from mlx.utils import tree_unflatten

from mlx_backends.quantization.trained_weights import Arrays

# Shares of a group's range that the first grid may cover.
_SHARES = tuple(np.linspace(0.4, 1.0, 25).tolist())
_SCALE, _BIAS, _WEIGHTS = ".log_scale", ".shift", ".weights"
# Small weights are rounded side by side: a step launches a kernel for all of them at once.
_SET_WEIGHTS = 2**24
Grid = Callable[[slice, mx.array], tuple[mx.array, mx.array]]
# Weights whose grids are searched at once: a dozen arrays of so many are held meanwhile.
_SLICE_WEIGHTS = 2**20
# Up to so many weights, a search is one evaluation: waiting after each width would take longer.
_SMALL_SEARCH = 2**17


@dataclass(frozen=True, slots=True)
class Rounded:
    """A rounded matrix, or stack of matrices, as its groups.

    Attributes:
        codes: (groups, group_size), whole numbers of any type.
        scale, bias: (groups, 1).
        bits: Of a code.
    """

    codes: mx.array
    scale: mx.array
    bias: mx.array
    bits: int

    def values(self) -> mx.array:
        """What the codes stand for, (groups, group_size)."""
        return self.scale * self.codes + self.bias


@dataclass(frozen=True, slots=True)
class _Set:
    """Weights of one width whose groups are rounded side by side, as one array.

    Attributes:
        names: Of the weights.
        shapes: Of the weights.
        bits: Of a code.
        scale, bias: The first grid, (groups, 1) float32.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    bits: int
    scale: mx.array
    bias: mx.array

    def joined(self, weights: Arrays, group_size: int) -> mx.array:
        """Shapes: returns (groups, group_size) float32."""
        parts = [weights[name].reshape(-1, group_size) for name in self.names]
        return mx.concatenate(parts).astype(mx.float32)

    def parts(self, rows: mx.array, group_size: int) -> list[mx.array]:
        """What belongs to each weight, of an array with a row for each group."""
        return _split(rows, [prod(shape) // group_size for shape in self.shapes])


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
        self._sets = [
            self._set(weights, names, bits)
            for bits in sorted(set(widths.values()))
            for names in _side_by_side(weights, [n for n in widths if widths[n] == bits])
        ]

    def start(self) -> Arrays:
        """What is trained of the grids: changes relative to the first ones."""
        trained: Arrays = {}
        for index, group in enumerate(self._sets):
            trained[f"grid.{index}{_SCALE}"] = mx.zeros(group.scale.shape)
            trained[f"grid.{index}{_BIAS}"] = mx.zeros(group.scale.shape)
        return trained

    def join(self, weights: Arrays) -> Arrays:
        """Weights, those of a set as one array: what trains a set updates it at once."""
        joined = {name: array for name, array in weights.items() if name not in self._widths}
        return joined | {
            f"grid.{index}{_WEIGHTS}": group.joined(weights, self._group_size)
            for index, group in enumerate(self._sets)
        }

    def round(self, weights: Arrays, trained: Arrays, dtype: mx.Dtype = mx.float32) -> Arrays:
        """Weights as they will be after packing, with gradients; others as they are.

        Args:
            weights: By name, or as ``join`` gives them.
            trained: Changes of the grids.
            dtype: Of what is rounded.
        """
        rounded = self._others(weights)
        for index, group in enumerate(self._sets):
            scale, bias = self._grid(index, trained)
            exact = _codes(self._groups(index, weights), scale, bias, group.bits)
            kept = scale * (exact + mx.stop_gradient(mx.round(exact) - exact)) + bias
            parts = group.parts(kept.astype(dtype), self._group_size)
            for name, shape, part in zip(group.names, group.shapes, parts, strict=True):
                rounded[name] = part.reshape(shape)
        return rounded

    def pack(self, model: nn.Module, weights: Arrays, trained: Arrays) -> None:
        """Replace the model's layers by packed ones of mlx-lm's format, and set all weights."""
        exact = {name: a.astype(self._stored) for name, a in self._others(weights).items()}
        model.update(tree_unflatten(list(exact.items())))
        layers: dict[str, Any] = dict(model.named_modules())
        packed = []
        for index, group in enumerate(self._sets):
            scale, bias = self._grid(index, trained)
            codes = _codes(self._groups(index, weights), scale, bias, group.bits)
            columns = [
                group.parts(rows, self._group_size) for rows in (mx.round(codes), scale, bias)
            ]
            for name, whole, step, first in zip(group.names, *columns, strict=True):
                path = name.removesuffix(".weight")
                rounded = Rounded(whole, step, first, group.bits)
                packed.append((path, packed_layer(layers[path], rounded, self._stored)))
        model.update_modules(tree_unflatten(packed))

    def _set(self, weights: Arrays, names: Sequence[str], bits: int) -> _Set:
        shapes = tuple(weights[name].shape for name in names)
        grids = [best_grid(weights[n].reshape(-1, self._group_size), bits) for n in names]
        scale, bias = (mx.concatenate(list(column)) for column in zip(*grids, strict=True))
        mx.eval(scale, bias)
        return _Set(tuple(names), shapes, bits, scale, bias)

    def _groups(self, index: int, weights: Arrays) -> mx.array:
        """Groups of a set, (groups, group_size) float32, of weights by name or joined."""
        joined = weights.get(f"grid.{index}{_WEIGHTS}")
        return self._sets[index].joined(weights, self._group_size) if joined is None else joined

    def _others(self, weights: Arrays) -> Arrays:
        """Weights that are not packed."""
        joined = {f"grid.{index}{_WEIGHTS}" for index in range(len(self._sets))}
        return {n: a for n, a in weights.items() if n not in self._widths and n not in joined}

    def _grid(self, index: int, trained: Arrays) -> tuple[mx.array, mx.array]:
        """Scale and bias of each group of a set as they will be stored, (groups, 1) float32."""
        group = self._sets[index]
        bias = group.bias + group.scale * trained[f"grid.{index}{_BIAS}"]
        scale = group.scale * mx.exp(trained[f"grid.{index}{_SCALE}"])
        return self._as_stored(scale), self._as_stored(bias)

    def _as_stored(self, values: mx.array) -> mx.array:
        kept = values.astype(self._stored).astype(mx.float32)
        return values + mx.stop_gradient(kept - values)


def _split(rows: mx.array, sizes: Sequence[int]) -> list[mx.array]:
    """Parts of so many rows each, whose gradients are laid end to end.

    MLX's own gradient of a part is as long as the whole: with many parts that is most of a step.
    """

    @mx.custom_function
    def parts(rows: mx.array) -> list[mx.array]:
        return list(mx.split(rows, list(accumulate(sizes))[:-1]))

    @parts.vjp
    def joined(_rows: mx.array, gradients: list[mx.array], _parts: list[mx.array]) -> mx.array:
        return mx.concatenate(gradients)

    made: Any = parts(rows)
    return made


def _side_by_side(weights: Arrays, names: Sequence[str]) -> list[list[str]]:
    """Names in lists whose weights together are not too many for one array."""
    found: list[list[str]] = []
    size = _SET_WEIGHTS
    for name in names:
        if size + weights[name].size > _SET_WEIGHTS:
            found.append([])
            size = 0
        found[-1].append(name)
        size += weights[name].size
    return found


def pack_codes(codes: mx.array, bits: int) -> mx.array:
    """Codes as MLX packs them: one stream of bits along a row, lowest first.

    Shapes: (..., columns) -> (..., columns * bits / 32) uint32.
    """
    values = np.array(codes.astype(mx.uint8))
    stream = np.unpackbits(values[..., None], axis=-1, count=bits, bitorder="little")
    packed = np.packbits(stream.reshape(*values.shape[:-1], -1), axis=-1, bitorder="little")
    return mx.array(np.ascontiguousarray(packed).view(np.uint32))


def _rounded_codes(groups: mx.array, scale: mx.array, bias: mx.array, bits: int) -> mx.array:
    # A group of equal weights has the scale 0 in MLX's own values.
    codes = mx.where(scale == 0, 0.0, _codes(groups, mx.where(scale == 0, 1.0, scale), bias, bits))
    return mx.round(codes)


def _codes(groups: mx.array, scale: mx.array, bias: mx.array, bits: int) -> mx.array:
    """Codes before they are rounded to integers."""
    return mx.clip((groups - bias) / scale, 0, 2**bits - 1)


def round_to_best_grid(
    weights: mx.array,
    bits: int,
    group_size: int,
    importance: mx.array | None = None,
    widths: Iterable[float] = _SHARES,
) -> Rounded:
    """Round each group by itself to the values that lose the least.

    Args:
        weights: (..., columns).
        bits: Of a code.
        group_size: Columns of a group.
        importance: Weight of the error in each column, (columns,); None counts all alike.
        widths: As in ``best_grid``.
    """
    groups = weights.reshape(-1, group_size)
    if importance is not None:
        importance = mx.broadcast_to(importance, weights.shape).reshape(groups.shape)

    def grid(rows: slice, part: mx.array) -> tuple[mx.array, mx.array]:
        return best_grid(part, bits, None if importance is None else importance[rows], widths)

    return _rounded(groups, bits, grid)


def round_alone(weights: mx.array, bits: int, group_size: int) -> Rounded:
    """Round without data: at 4 bits and more to MLX's own values, below to those of ``best_grid``.

    MLX's own hold zero and the far end of a group's range, which costs much where values are few.
    """
    if bits < 4:
        return round_to_best_grid(weights, bits, group_size)

    def grid(rows: slice, part: mx.array) -> tuple[mx.array, mx.array]:
        _, scale, bias = mx.quantize(part, group_size, bits)
        return scale, bias

    return _rounded(weights.reshape(-1, group_size), bits, grid)


def _rounded(groups: mx.array, bits: int, grid: Grid) -> Rounded:
    """Round groups slice by slice: in float32, all at once take many times their own memory.

    Args:
        groups: (groups, group_size).
        bits: Of a code.
        grid: From the rows of a slice, and the slice in float32, to scale and bias.
    """
    parts = []
    step = max(1, _SLICE_WEIGHTS // groups.shape[1])
    for first in range(0, len(groups), step):
        rows = slice(first, first + step)
        part = groups[rows].astype(mx.float32)
        scale, bias = grid(rows, part)
        codes = _rounded_codes(part, scale, bias, bits).astype(mx.uint8)
        mx.eval(codes, scale, bias)
        parts.append((codes, scale, bias))
    codes, scale, bias = (mx.concatenate(list(column)) for column in zip(*parts, strict=True))
    return Rounded(codes, scale, bias, bits)


def packed_layer(layer: Any, rounded: Rounded, stored: mx.Dtype) -> Any:
    """A packed layer of mlx-lm's format in place of a dense one.

    Args:
        layer: Dense; gives shape and bias.
        rounded: Its weights.
        stored: Type of scales and biases.
    """
    shape = layer.weight.shape
    packed = layer.to_quantized(rounded.codes.shape[-1], rounded.bits, mode="affine")
    packed.weight = pack_codes(rounded.codes.reshape(shape), rounded.bits)
    packed.scales, packed.biases = (
        part.reshape(*shape[:-1], -1).astype(stored) for part in (rounded.scale, rounded.bias)
    )
    return packed


def best_grid(
    groups: mx.array,
    bits: int,
    importance: mx.array | None = None,
    widths: Iterable[float] = _SHARES,
) -> tuple[mx.array, mx.array]:
    """The evenly spaced values of each group with the least squared error.

    Ranges of several widths around the middle are tried; scale and bias are then fitted to the
    codes of each by least squares.

    Args:
        groups: (groups, group_size).
        bits: Of a code.
        importance: Weight of the error in each column, (group_size,) or (groups, group_size);
            None counts all alike.
        widths: To try, as shares of each group's range.

    Returns:
        Scale and bias, (groups, 1) float32.
    """
    groups = groups.astype(mx.float32)
    share = mx.ones(groups.shape[-1]) if importance is None else importance
    share = share / mx.maximum(share.sum(axis=-1, keepdims=True), 1e-30)
    low, high = groups.min(axis=-1, keepdims=True), groups.max(axis=-1, keepdims=True)
    centre, span = (low + high) / 2, mx.maximum(high - low, 1e-6)
    least = mx.full(span.shape, float("inf"))
    scale, bias = span, low
    for width in widths:
        step = span * (width / (2**bits - 1))
        first = centre - span * (width / 2)
        step, first = _fitted(groups, mx.round(_codes(groups, step, first, bits)), step, share)
        kept = step * mx.round(_codes(groups, step, first, bits)) + first
        error = (share * mx.square(kept - groups)).sum(axis=-1, keepdims=True)
        is_better = error < least
        least = mx.where(is_better, error, least)
        scale, bias = mx.where(is_better, step, scale), mx.where(is_better, first, bias)
        if groups.size > _SMALL_SEARCH:
            mx.eval(least, scale, bias)
    return scale, bias


def _fitted(
    groups: mx.array, codes: mx.array, step: mx.array, share: mx.array
) -> tuple[mx.array, mx.array]:
    """Scale and bias that fit the codes best; the scale stays where all codes are the same."""

    def mean(values: mx.array) -> mx.array:
        return (share * values).sum(axis=-1, keepdims=True)

    code, value = mean(codes), mean(groups)
    spread = mean(mx.square(codes - code))
    slope = mean((codes - code) * (groups - value)) / mx.maximum(spread, 1e-12)
    scale = mx.where((spread > 1e-6) & (slope > 0), slope, step)
    return scale, value - scale * code
