"""The linear layers of a model, which are what is pruned."""

from collections.abc import Sequence
from typing import Any

import mlx.nn as nn
from mlx.utils import tree_flatten

from mlx_backends.errors import ConfigError


def linear_layers(model: nn.Module, exclude: Sequence[str] = ()) -> dict[str, nn.Linear]:
    """The linear layers of a model by name, without those whose name holds a part of ``exclude``.

    Raises:
        ConfigError: There is none, or one is quantized.
    """
    found: dict[str, Any] = {
        name: layer
        for name, layer in tree_flatten(model.leaf_modules(), is_leaf=nn.Module.is_module)
        if isinstance(layer, nn.Linear | nn.QuantizedLinear)
        and not any(part in name for part in exclude)
    }
    quantized = [name for name, layer in found.items() if isinstance(layer, nn.QuantizedLinear)]
    if quantized:
        raise ConfigError(
            f"{quantized[0]!r} is quantized, and {len(quantized) - 1} more layers are. Prune the "
            "original model, or unpack this one first (mlx_lm.utils.dequantize_model)."
        )
    if not found:
        raise ConfigError("The model has no linear layer to prune.")
    return found
