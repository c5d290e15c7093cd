"""What the linear layers of a model are given, found by running calibration data through it."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlx_backends.errors import ConfigError
from mlx_backends.layer_classes import changed_classes
from mlx_backends.sparsity.linear import linear_layers

InputNorms = dict[str, mx.array]


def input_norms(
    model: nn.Module, batches: Iterable[Any], exclude: Sequence[str] = ("lm_head",)
) -> InputNorms:
    """The L2 norm of each input feature of each linear layer, over all tokens.

    What Wanda needs of calibration data: ``prune`` takes it in place of the data, so that several
    ways to prune a model run it only once. Shapes: (in,) float32.

    Args:
        model: Unchanged afterwards.
        batches: Inputs of the model: token ids of shape (batch, length), or lists of them.
        exclude: Parts of names of layers that are left out.

    Raises:
        ConfigError: There is no data, or it does not reach a layer.
    """
    arrays = [_ids(batch) for batch in _batches(batches)]
    if not arrays:
        raise ConfigError("calibration_data is empty; give some thousand tokens of real text.")
    layers = linear_layers(model, exclude)
    squares: InputNorms = {}
    # What watches is a class, which tells layers apart by their identity.
    names = {id(layer): name for name, layer in layers.items()}

    def note(layer: nn.Module, x: mx.array) -> None:
        added = x.astype(mx.float32).square().reshape(-1, x.shape[-1]).sum(axis=0)
        name = names[id(layer)]
        squares[name] = squares[name] + added if name in squares else added

    with changed_classes(layers.values(), lambda kind: _watched(kind, note)):
        for ids in arrays:
            mx.eval(model(ids), squares)
    unseen = [name for name in layers if name not in squares]
    if unseen:
        raise ConfigError(f"The calibration data does not reach {unseen[0]!r}; exclude it.")
    return {name: mx.sqrt(squares[name]) for name in layers}


def _watched(kind: type[nn.Module], note: Callable[[nn.Module, mx.array], None]) -> type[nn.Module]:
    """A layer that tells what it is given before it computes."""

    class Watched(kind):
        def __call__(self, x: mx.array) -> mx.array:
            note(self, x)
            return super().__call__(x)

    return Watched


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
