"""What quantization-aware training changes: every weight, or low-rank additions to them."""

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
        return {name: trained[name] for name in self._parameters}


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
