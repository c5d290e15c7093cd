"""Hands a GPU one layer at a time, so that the arrays of few layers are there at once."""

from collections import deque
from collections.abc import Sequence as Seq

import mlx.core as mx

LAYERS_IN_FLIGHT = 2
"""Layers whose arrays a GPU holds at once: it computes one while the next waits for it."""


class LayerPace:
    """Starts each layer of a forward pass when it is built, and waits for the one before the last.

    MLX keeps every array that it hands to a GPU until the work it was handed over with is done.
    Handed over at once, a prompt would hold the arrays of most layers together, unpacked weights
    among them. And a GPU that starts with the first layer computes while Python builds the others.
    """

    def __init__(self) -> None:
        self._started = deque[mx.array]()

    def start(self, out: mx.array, state: Seq[mx.array]) -> None:
        """Start a layer.

        Args:
            out: What the rest of the layer is computed from.
            state: Written by the layer beside it.
        """
        mx.async_eval(out, *state)
        self._started.append(out)
        if len(self._started) == LAYERS_IN_FLIGHT:
            mx.eval(self._started.popleft())
