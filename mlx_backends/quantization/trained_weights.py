"""What quantization-aware training changes, and the weights that the model then runs with.

Weights are rounded in the forward pass exactly as they will be packed, and take the gradient as if
they were not (straight-through: Bengio et al. 2013, arXiv:1308.3432).
"""

import math
from collections.abc import Mapping
from typing import Protocol

import mlx.core as mx

Arrays = dict[str, mx.array]


class TrainedWeights(Protocol):
    """Maps what is trained to the weights of the model, by parameter name."""

    def start(self) -> Arrays:
        """What is trained, before the first step."""
        ...

    def exact(self, trained: Arrays) -> Arrays:
        """Weights of the model before rounding."""
        ...


class FullWeights:
    """Every parameter is trained itself.

    Args:
        parameters: Of the model, by name.
    """

    def __init__(self, parameters: Mapping[str, mx.array]) -> None:
        self._parameters = dict(parameters)

    def start(self) -> Arrays:
        """As in ``TrainedWeights``."""
        # Copies: a compiled step refuses an input that it also reads elsewhere, as from a teacher.
        return {name: mx.array(array, mx.float32) for name, array in self._parameters.items()}

    def exact(self, trained: Arrays) -> Arrays:
        """As in ``TrainedWeights``."""
        return trained


class LowRankWeights:
    """Products of two thin matrices are added to chosen weights (Hu et al. 2021, LoRA).

    Args:
        parameters: Of the model, by name; they stay.
        names: Matrices that are added to.
        rank: Columns of the thin matrices.
        seed: Of their first values; the sum starts at nothing.
    """

    def __init__(
        self, parameters: Mapping[str, mx.array], names: list[str], rank: int, seed: int
    ) -> None:
        self._parameters = {name: a.astype(mx.float32) for name, a in parameters.items()}
        self._names = names
        self._rank = rank
        self._key = mx.random.key(seed)

    def start(self) -> Arrays:
        """As in ``TrainedWeights``."""
        trained: Arrays = {}
        keys = mx.random.split(self._key, len(self._names))
        for name, key in zip(self._names, keys, strict=True):
            *lead, rows, columns = self._parameters[name].shape
            bound = 1 / math.sqrt(columns)
            down = mx.random.uniform(-bound, bound, (*lead, self._rank, columns), key=key)
            trained[f"{name}.down"] = down
            trained[f"{name}.up"] = mx.zeros((*lead, rows, self._rank))
        return trained

    def exact(self, trained: Arrays) -> Arrays:
        """As in ``TrainedWeights``."""
        added = {name: trained[f"{name}.up"] @ trained[f"{name}.down"] for name in self._names}
        return {
            name: array + added[name] if name in added else array
            for name, array in self._parameters.items()
        }


def rounded(
    weights: Arrays, widths: Mapping[str, int], group_size: int, stored: mx.Dtype
) -> Arrays:
    """Weights as they will be after packing, straight-through; the others as they are.

    Args:
        weights: By name.
        widths: Bits of those that will be packed.
        group_size: Of the packing.
        stored: Type in which weights are packed, which scales and biases then have.
    """
    return {
        name: _straight_through(weight, widths[name], group_size, stored)
        if name in widths
        else weight
        for name, weight in weights.items()
    }


def _straight_through(weight: mx.array, bits: int, group_size: int, stored: mx.Dtype) -> mx.array:
    packed = mx.quantize(mx.stop_gradient(weight).astype(stored), group_size, bits)
    kept = mx.dequantize(*packed, group_size=group_size, bits=bits).astype(weight.dtype)
    return weight + mx.stop_gradient(kept - weight)
