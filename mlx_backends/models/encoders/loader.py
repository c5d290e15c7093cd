"""Loads an encoder's weights into its model class. Runs on the MLX thread only."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map

from mlx_backends.config import Device, DType
from mlx_backends.errors import ModelLoadError
from mlx_backends.models import cpu_layers, safetensors
from mlx_backends.models.encoders.architectures import Architecture
from mlx_backends.models.encoders.encoder import Encoder
from mlx_backends.models.loader import pick_device, use_device

# Weights of a group share a scale and a bias. Smaller groups lose less; every encoder's hidden size
# is a multiple of this.
GROUP_SIZE = 32


def load_encoder(
    folder: Path,
    architecture: Architecture,
    *,
    device: Device,
    dtype: DType,
    weight_bits: int | None = None,
    quantization: Mapping[str, Any] | None = None,
) -> tuple[Encoder, mx.Device]:
    """Load a folder's safetensors into a model of the given class.

    Args:
        folder: Holds ``model*.safetensors``.
        architecture: What to build.
        device: Where it shall run.
        dtype: Type of weights that are not quantized, and of activations.
        weight_bits: Quantize to so many bits; None keeps what the files hold.
        quantization: ``bits`` and ``group_size`` of a folder whose weights are quantized.

    Returns:
        The model, with its weights in memory, and the device that it runs on.

    Raises:
        ModelLoadError: A file is missing or malformed, or its weights do not fit the config.
        UnsupportedModelError: A GPU was asked for and MLX has none here.
    """
    chosen = pick_device(device)
    with use_device(chosen):
        model = architecture.model(architecture.config)
        weights = architecture.model.sanitize(read_weights(folder))
        if quantization:
            _quantize_stored(model, weights, quantization)
        load_weights(model, weights, folder)
        cast_weights(model, chosen, dtype)
        if weight_bits is not None and not quantization:
            nn.quantize(model, GROUP_SIZE, weight_bits, class_predicate=_is_quantizable)
        if chosen == mx.Device(mx.cpu):
            cpu_layers.install(model)
        model.eval()
        mx.eval(model.parameters())
    return model, chosen


def read_weights(folder: Path) -> dict[str, mx.array]:
    """Every tensor of the folder's safetensors files, still on disk.

    Raises:
        ModelLoadError: There is none, or one is malformed.
    """
    files = sorted(folder.glob("model*.safetensors"))
    if not files:
        raise ModelLoadError(
            f"{folder} holds no model*.safetensors; other weight formats are not read."
        )
    weights: dict[str, mx.array] = {}
    for file in files:
        safetensors.validate(file)
        weights.update(cast(dict[str, mx.array], mx.load(str(file))))
    return weights


def load_weights(model: nn.Module, weights: Mapping[str, mx.array], folder: Path) -> None:
    """Give a model its weights; all must be there, and no others.

    Raises:
        ModelLoadError: They do not fit.
    """
    for name, array in weights.items():
        is_packed = f"{name.rpartition('.')[0]}.scales" in weights
        if not is_packed and not mx.issubdtype(array.dtype, mx.floating):
            raise ModelLoadError(
                f"{name} in {folder} has the type {array.dtype}; only float weights are read."
            )
    try:
        model.load_weights(list(weights.items()))
    except ValueError as error:
        raise ModelLoadError(
            f"The weights in {folder} do not fit its config.json: {error!s:.500}"
        ) from error


def cast_weights(model: nn.Module, device: mx.Device, dtype: DType) -> None:
    """Convert float weights to the type asked for; ``auto`` is described in ``EngineConfig``."""
    is_cpu = device == mx.Device(mx.cpu)
    if dtype == "auto" and not is_cpu:
        return
    chosen = mx.float32 if dtype == "auto" else getattr(mx, dtype)

    def cast(array: mx.array) -> mx.array:
        return array.astype(chosen) if mx.issubdtype(array.dtype, mx.floating) else array

    model.update(tree_map(cast, model.parameters()))


def _quantize_stored(
    model: nn.Module, weights: Mapping[str, mx.array], quantization: Mapping[str, Any]
) -> None:
    """Make quantized layers where the files have quantized weights."""
    nn.quantize(
        model,
        quantization["group_size"],
        quantization["bits"],
        class_predicate=lambda path, _: f"{path}.scales" in weights,
    )


def _is_quantizable(_: str, module: nn.Module) -> bool:
    """Matrices with whole groups; heads of one score and tables of segments stay as they are."""
    if not isinstance(module, nn.Linear | nn.Embedding):
        return False
    rows, columns = module.weight.shape
    return rows >= GROUP_SIZE and columns % GROUP_SIZE == 0
