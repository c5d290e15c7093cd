"""Loads an encoder's weights into its model class. Runs on the MLX thread only."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar, cast

import mlx.core as mx
from mlx.utils import tree_map

from mlx_backends.config import Device, DType
from mlx_backends.errors import ModelLoadError
from mlx_backends.models import safetensors
from mlx_backends.models.encoders.bert import Bert, BertConfig
from mlx_backends.models.loader import pick_device, use_device

Architecture = TypeVar("Architecture", bound=Bert)


def load_encoder(
    folder: Path,
    architecture: type[Architecture],
    config: BertConfig,
    *,
    device: Device,
    dtype: DType,
) -> tuple[Architecture, mx.Device]:
    """Load a folder's safetensors into a model of the given class.

    Returns:
        The model, with its weights in memory, and the device that it runs on.

    Raises:
        ModelLoadError: A file is missing or malformed, or its weights do not fit the config.
        UnsupportedModelError: A GPU was asked for and MLX has none here.
    """
    chosen = pick_device(device)
    with use_device(chosen):
        model = architecture(config)
        weights = architecture.sanitize(_read_weights(folder))
        _require_floats(folder, weights)
        try:
            model.load_weights(list(weights.items()))
        except ValueError as error:
            raise ModelLoadError(
                f"The weights in {folder} do not fit its config.json: {error!s:.500}"
            ) from error
        _cast(model, chosen, dtype)
        model.eval()
        mx.eval(model.parameters())
    return model, chosen


def _read_weights(folder: Path) -> dict[str, mx.array]:
    """Every tensor of the folder's safetensors files, still on disk."""
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


def _require_floats(folder: Path, weights: Mapping[str, mx.array]) -> None:
    for name, array in weights.items():
        if not mx.issubdtype(array.dtype, mx.floating):
            raise ModelLoadError(
                f"{name} in {folder} has the type {array.dtype}; only float weights are read."
            )


def _cast(model: Bert, device: mx.Device, dtype: DType) -> None:
    """Convert the weights to the type asked for; ``auto`` is described in ``EngineConfig``."""
    is_cpu = device == mx.Device(mx.cpu)
    if dtype == "auto" and not is_cpu:
        return
    chosen = mx.float32 if dtype == "auto" else getattr(mx, dtype)
    model.update(tree_map(lambda array: array.astype(chosen), model.parameters()))
