"""What the linear layers of a model are given, found by running calibration data through it."""

from collections.abc import Iterable
from functools import cache
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlx_backends.errors import ConfigError


def input_norms(
    model: nn.Module, layers: dict[str, nn.Linear], batches: Iterable[Any]
) -> dict[str, mx.array]:
    """The L2 norm of each input feature of each layer, over all tokens. Shapes: (in,) float32.

    Args:
        model: Unchanged afterwards.
        layers: Layers of the model, by name.
        batches: Inputs of the model: token ids of shape (batch, length), or lists of them.

    Raises:
        ConfigError: There is no data, or it does not reach a layer.
    """
    arrays = [_ids(batch) for batch in _batches(batches)]
    if not arrays:
        raise ConfigError("calibration_data is empty; give some thousand tokens of real text.")
    try:
        for layer in layers.values():
            _watch(layer)
        for ids in arrays:
            mx.eval(model(ids), [layer.__dict__.get("_squares") for layer in layers.values()])
        squares = {name: layer.__dict__.pop("_squares", None) for name, layer in layers.items()}
    finally:
        for layer in layers.values():
            _unwatch(layer)
    unseen = [name for name, total in squares.items() if total is None]
    if unseen:
        raise ConfigError(f"The calibration data does not reach {unseen[0]!r}; exclude it.")
    return {name: mx.sqrt(total) for name, total in squares.items() if total is not None}


@cache
def _watched(base: type[nn.Linear]) -> type[nn.Linear]:
    """A layer that sums the squares of each input feature."""

    class Watched(base):
        def __call__(self, x: mx.array) -> mx.array:
            squares = x.astype(mx.float32).square().reshape(-1, x.shape[-1]).sum(axis=0)
            before = self.__dict__.get("_squares")
            self.__dict__["_squares"] = squares if before is None else before + squares
            return super().__call__(x)

    return Watched


def _watch(layer: Any) -> None:
    layer.__class__ = _watched(type(layer))


def _unwatch(layer: Any) -> None:
    layer.__dict__.pop("_squares", None)
    if type(layer).__name__ == "Watched":
        layer.__class__ = type(layer).__mro__[1]


def _batches(data: Any) -> list[Any]:
    if data is None or isinstance(data, str | bytes):
        raise ConfigError(
            "method='wanda' needs calibration_data: token ids of shape (batch, length), or a list "
            f"of such arrays or of lists of ids; got {type(data).__name__}."
        )
    return [data] if isinstance(data, mx.array | np.ndarray) else list(data)


def _ids(batch: Any) -> mx.array:
    try:
        ids = batch if isinstance(batch, mx.array) else mx.array(np.asarray(batch))
    except (TypeError, ValueError) as error:
        raise ConfigError(f"calibration_data holds what is no array: {error}.") from error
    if ids.size == 0:
        raise ConfigError("calibration_data holds an empty batch.")
    return ids[None] if ids.ndim == 1 else ids
