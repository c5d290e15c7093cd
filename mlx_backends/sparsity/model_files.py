"""Sparse layers in a model folder: the ``sparsity`` section of ``config.json``, and the arrays.

A sparse layer's arrays lie in the safetensors files under its name, as any layer's; the section
says which are sparse, in which format and shape, and how their entries are quantized.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_unflatten

from mlx_backends.errors import ModelLoadError
from mlx_backends.json_file import read_json
from mlx_backends.new_folder import new_folder
from mlx_backends.sparsity.layers import SparseLinear
from mlx_backends.weight_files import copy_small_files, write_json, write_weights

KEY = "sparsity"


def model_classes(config: Mapping[str, Any]) -> tuple[Any, Any]:
    """What ``mlx_lm.utils.load_model`` takes as ``get_model_classes``; sparse layers are put in.

    mlx-lm hands a new model the weights it is about to get, to ``sanitize`` them: the moment when
    both are there.
    """
    from mlx_lm.utils import _get_classes

    model_class, args_class = _get_classes(dict(config))
    section = config.get(KEY)
    if section is None:
        return model_class, args_class
    return _with_sparse_layers(model_class, section), args_class


def save_model(
    model: nn.Module, source: str | Path, destination: str | Path, *, force: bool = False
) -> Path:
    """Write a model with sparse layers as a folder that the engine serves; mlx-lm cannot read it.

    Args:
        model: After ``to_sparse``. Other layers may be quantized by ``mlx.nn.quantize``.
        source: Folder of the model it was, for ``config.json``, tokenizer and templates.
        destination: New folder; it appears when all of it is written.
        force: Replace a destination that exists.

    Raises:
        OutputError: The destination exists, or the disk is full or read-only.
    """
    settings = read_json(Path(source) / "config.json", dict)
    for name in ("quantization", "quantization_config", KEY):
        settings.pop(name, None)
    settings |= _quantization(model) | {KEY: describe(model)}
    with new_folder(Path(destination), force=force) as partial:
        parameters = tree_flatten(model.parameters())
        write_weights({n: a for n, a in parameters if isinstance(a, mx.array)}, partial)
        copy_small_files(Path(source), partial)
        write_json(partial / "config.json", settings)
    return Path(destination)


def describe(model: nn.Module) -> dict[str, Any]:
    """The ``sparsity`` section of ``config.json``."""
    layers = {
        name: {
            "format": layer.format,
            "shape": list(layer.weight_shape),
            "bits": layer.entry_bits,
            "group_size": layer.entry_group,
        }
        for name, layer in model.named_modules()
        if isinstance(layer, SparseLinear)
    }
    return {"layers": layers}


def install(model: nn.Module, section: Any, weights: Mapping[str, mx.array]) -> None:
    """Put the sparse layers of a section in place of a model's dense ones.

    Raises:
        ModelLoadError: The section is malformed or does not fit the model and its weights.
    """
    dense = dict(model.named_modules())
    try:
        layers = {
            name: _layer(name, dense[name], entry, weights)
            for name, entry in section["layers"].items()
        }
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ModelLoadError(f"config.json, sparsity: {type(error).__name__}: {error}") from error
    model.update_modules(tree_unflatten(list(layers.items())))


def _with_sparse_layers(model_class: Any, section: Any) -> Any:
    class Loading(model_class):
        def sanitize(self, weights: dict[str, mx.array]) -> dict[str, mx.array]:
            self.__class__ = model_class  # the name was needed for this one call
            if hasattr(self, "sanitize"):
                weights = self.sanitize(weights)
            install(self, section, weights)
            return weights

    return Loading


def _layer(
    name: str, dense: Any, entry: Mapping[str, Any], weights: Mapping[str, mx.array]
) -> SparseLinear:
    shape = (int(entry["shape"][0]), int(entry["shape"][1]))
    if dense.weight.shape != shape:
        raise ValueError(f"{name} is {shape}, but {dense.weight.shape} in the model")
    prefix = f"{name}."
    arrays = {key[len(prefix) :]: a for key, a in weights.items() if key.startswith(prefix)}
    return SparseLinear(
        shape, entry["format"], arrays, bits=entry["bits"], group_size=entry["group_size"]
    )


def _quantization(model: nn.Module) -> dict[str, Any]:
    """The ``quantization`` section of the layers that MLX quantized, as mlx-lm reads it."""
    packed = {
        name: {key: getattr(layer, key) for key in ("group_size", "bits", "mode")}
        for name, layer in model.named_modules()
        if isinstance(layer, nn.QuantizedLinear | nn.QuantizedEmbedding)
    }
    if not packed:
        return {}
    common = next(iter(packed.values()))
    own = {name: options for name, options in packed.items() if options != common}
    return {"quantization": common | own}
