"""Which layers of a model are quantized, and how ``config.json`` says it."""

from collections.abc import Iterator
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten

from mlx_backends.errors import QuantizationError
from mlx_backends.quantization.config import AFFINE_GROUPS, QuantizationConfig

Layers = dict[str, Any]


def leaves(model: nn.Module) -> Layers:
    """All layers that hold no other layer, by name."""
    found = tree_flatten(model.leaf_modules(), is_leaf=nn.Module.is_module)
    return {name: layer for name, layer in found if isinstance(layer, nn.Module)}


def quantizable(model: nn.Module, config: QuantizationConfig) -> Layers:
    """The layers that a configuration rounds, and the architecture lets be rounded.

    Raises:
        QuantizationError: The model is quantized already, has no such layer, or a layer's rows
            cannot be cut into groups.
    """
    layers = leaves(model)
    refuse_quantized(layers)
    chosen = {
        name: layer
        for name, layer in layers.items()
        if hasattr(layer, "to_quantized")
        and not _is_left_alone(name, config)
        and own_choice(model, name, layer) is not False
    }
    if not chosen:
        raise QuantizationError(
            "The model has no layer to quantize"
            + (f" besides those of exclude={config.exclude}." if config.exclude else ".")
        )
    _check_groups(chosen, config)
    return chosen


def refuse_quantized(layers: Layers) -> None:
    """Raise QuantizationError if a layer is quantized already."""
    done = [name for name, layer in layers.items() if "scales" in layer]
    if done:
        raise QuantizationError(
            f"The model is quantized already ({len(done)} layers, such as {done[0]!r}). Quantize "
            "the original model, or unpack this one first (dequantize)."
        )


def is_embedding(name: str, layer: nn.Module) -> bool:
    """Whether a layer is an embedding or the output head of a language model."""
    return isinstance(layer, nn.Embedding) or name.rpartition(".")[2] == "lm_head"


def own_choice(model: Any, name: str, layer: nn.Module) -> bool | dict[str, Any]:
    """What an architecture says of a layer: to be rounded as others, not at all, or how.

    mlx-lm's models name layers so that must stay, or take more bits, such as a MoE's router.
    """
    choose = getattr(model, "quant_predicate", None)
    return True if choose is None else choose(name, layer)


def own_widths(model: nn.Module, layers: Layers) -> dict[str, int]:
    """Bits of the layers for which the architecture asks for a width of their own."""
    choices = {name: own_choice(model, name, layer) for name, layer in layers.items()}
    return {name: chosen["bits"] for name, chosen in choices.items() if isinstance(chosen, dict)}


def widths_of(model: nn.Module, layers: Layers, config: QuantizationConfig) -> dict[str, int]:
    """Bits of each layer."""
    asked = {
        name: config.bits_of_embeddings if is_embedding(name, layer) else config.bits
        for name, layer in layers.items()
    }
    return asked | own_widths(model, layers)


def describe(model: nn.Module, config: QuantizationConfig) -> dict[str, Any]:
    """The ``quantization`` section of ``config.json``, as mlx-lm reads it."""
    common = {"group_size": config.group, "bits": config.bits, "mode": config.mode}
    section: dict[str, Any] = dict(common)
    for name, layer in leaves(model).items():
        if "scales" not in layer:
            continue
        own = {key: getattr(layer, key) for key in ("group_size", "bits", "mode")}
        if own != common:
            section[name] = own
    return section


def arrays(model: nn.Module) -> Iterator[tuple[str, mx.array]]:
    """All parameters by name."""
    for name, array in tree_flatten(model.parameters()):
        if isinstance(array, mx.array):
            yield name, array


def _is_left_alone(name: str, config: QuantizationConfig) -> bool:
    return any(part in name for part in config.exclude)


def _check_groups(layers: Layers, config: QuantizationConfig) -> None:
    bad = {
        name: layer.weight.shape[-1]
        for name, layer in layers.items()
        if layer.weight.shape[-1] % config.group
    }
    if not bad:
        return
    name, width = next(iter(bad.items()))
    fitting = [size for size in AFFINE_GROUPS if all(w % size == 0 for w in bad.values())]
    remedy = f"take group_size={fitting[-1]}, or " if fitting and config.mode == "affine" else ""
    raise QuantizationError(
        f"group_size={config.group} does not divide the {width} columns of {name!r} "
        f"({len(bad)} such layers); {remedy}name the layers in exclude=."
    )
