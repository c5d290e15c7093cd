"""Post-training quantization of weights, in place, into mlx-lm's format.

Round to nearest is MLX's own.
"""

from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten

from mlx_backends.quantization.config import QuantizationConfig
from mlx_backends.quantization.grids import packed_layer, round_to_best_grid
from mlx_backends.quantization.layers import arrays, leaves, own_choice, quantizable, widths_of
from mlx_backends.quantization.sensitivity import Read, sensitivities

_SCALE_BITS = 32  # a scale and a bias of 16 bits each


def round_to_nearest(model: nn.Module, config: QuantizationConfig) -> None:
    """Round each layer by itself."""
    pack(model, widths_of(model, quantizable(model, config), config), config)


def search(model: nn.Module, config: QuantizationConfig) -> None:
    """Round each layer to the evenly spaced values that lose the least, group by group.

    MLX's own values hold zero and the far end of the range; at 2 and 3 bits that costs much.
    """
    chosen = quantizable(model, config)
    for name, bits in widths_of(model, chosen, config).items():
        layer = chosen.pop(name)  # no layer that is done stays in memory
        rounded = round_to_best_grid(layer.weight, bits, config.group)
        packed = packed_layer(layer, rounded, layer.weight.dtype)
        model.update_modules(tree_unflatten([(name, packed)]))


def pack(model: nn.Module, widths: dict[str, int], config: QuantizationConfig) -> None:
    """Replace layers by packed ones of the given bits; lazy, nothing is evaluated."""

    def choose(name: str, layer: nn.Module) -> bool | dict[str, Any]:
        if name not in widths:
            return False
        params = {"group_size": config.group, "bits": widths[name], "mode": config.mode}
        chosen = own_choice(model, name, layer)
        return params if chosen is True else chosen

    nn.quantize(model, config.group, config.bits, mode=config.mode, class_predicate=choose)


def mixed_widths(
    model: nn.Module, rows: mx.array, config: QuantizationConfig, read: Read | None = None
) -> dict[str, int]:
    """Bits of each layer: ``high_bits`` for the most sensitive ones that the budget takes.

    mlx-lm's own search for a threshold stops early where one layer stands out.

    Args:
        model: A language model; unchanged.
        rows: Token ids, (rows, length).
        config: Bits, groups and the budget.
        read: As in ``sensitivities``.
    """
    chosen, size = quantizable(model, config), sum(array.size for _, array in arrays(model))
    found = sensitivities(model, rows, config, read)
    assert config.target_bits is not None
    widths = widths_of(model, chosen, config)
    packed = {name: layer.weight.size for name, layer in chosen.items()}
    least = sum(
        count * (widths[name] + _SCALE_BITS / config.group) for name, count in packed.items()
    )
    left = config.target_bits * size - 16 * (size - sum(packed.values())) - least
    for name in sorted(found, key=lambda name: -found[name]):
        cost = (config.bits_of_sensitive - widths[name]) * packed[name]
        if 0 < cost <= left:
            widths[name] = config.bits_of_sensitive
            left -= cost
    return widths


def unpack(model: nn.Module) -> None:
    """Replace packed layers by dense ones with the same, rounded, weights."""
    from mlx_lm.utils import dequantize_model

    if any("scales" in layer for layer in leaves(model).values()):
        dequantize_model(model)
