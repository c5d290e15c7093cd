"""``quantize_model``: from a model folder to a quantized one that mlx-lm and the engine load."""

import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_map

from mlx_backends.errors import OutputError, QuantizationError
from mlx_backends.models.loader import read_model
from mlx_backends.models.source import model_folder
from mlx_backends.new_folder import new_folder
from mlx_backends.quantization import ptq
from mlx_backends.quantization.block_runs import compute_type
from mlx_backends.quantization.calibration import token_rows
from mlx_backends.quantization.config import QuantizationConfig
from mlx_backends.quantization.layers import arrays, describe
from mlx_backends.quantization.methods import apply
from mlx_backends.text.tokenizer import Tokenizer
from mlx_backends.weight_files import OnProgress, copy_small_files, write_json, write_weights


@dataclass(frozen=True, slots=True)
class QuantizedFolder:
    """What was written.

    Attributes:
        folder: The new model folder.
        source_bytes: Bytes of the weights before.
        weight_bytes: Bytes of the weights in the folder.
        bits_per_weight: Bits that a weight takes, scales included.
        seconds: How long it took.
        peak_memory_bytes: Highest memory of MLX meanwhile.
    """

    folder: Path
    source_bytes: int
    weight_bytes: int
    bits_per_weight: float
    seconds: float
    peak_memory_bytes: int


def quantize_model(
    source: str | Path,
    destination: str | Path,
    config: QuantizationConfig,
    *,
    force: bool = False,
    dequantize: bool = False,
    on_progress: OnProgress | None = None,
) -> QuantizedFolder:
    """Quantize a model folder into a new one.

    Without data, one tensor is read and written after the other: memory stays near the size of one
    shard of the result. Calibration goes block by block. ``qat`` holds the model whole, with what
    training adds.

    Args:
        source: Folder, Hub id or ``bundled``.
        destination: New folder; it appears when all of it is written.
        config: How. Texts as calibration data are encoded with the model's tokenizer.
        force: Replace a destination that exists.
        dequantize: Unpack a model that is quantized already; its weights stay rounded.
        on_progress: Called with the number of steps trained and of all, then of tensors written.

    Raises:
        ConfigError: The configuration or its calibration data is not usable.
        ModelError: The source cannot be read, or cannot be quantized in this way.
        OutputError: The destination exists, or the disk is full or read-only.
    """
    started = time.perf_counter()
    folder = model_folder(str(source), "lm")
    if Path(destination).expanduser().resolve() == folder.resolve():
        raise OutputError(f"{destination} is the source itself; name another folder.")
    mx.reset_peak_memory()
    with new_folder(Path(destination), force=force) as partial:
        quantized = _quantized(folder, config, dequantize, on_progress)
        weight_bytes = write_weights(quantized.weights, partial, on_progress)
        copy_small_files(folder, partial)
        write_json(partial / "config.json", quantized.settings)
    return QuantizedFolder(
        folder=Path(destination),
        source_bytes=sum(path.stat().st_size for path in folder.glob("model*.safetensors")),
        weight_bytes=weight_bytes,
        bits_per_weight=weight_bytes * 8 / quantized.num_weights,
        seconds=time.perf_counter() - started,
        peak_memory_bytes=mx.get_peak_memory(),
    )


@dataclass(frozen=True, slots=True)
class _Quantized:
    """A quantized model's arrays, mostly not computed yet, and its ``config.json``."""

    weights: dict[str, mx.array]
    settings: dict[str, Any]
    num_weights: int


def _quantized(
    folder: Path, config: QuantizationConfig, dequantize: bool, on_progress: OnProgress | None
) -> _Quantized:
    model, settings = read_model(folder)
    if settings.get("quantization") and not dequantize:
        raise QuantizationError(
            f"{folder} is quantized already. Quantize the original model, or unpack this one "
            "first (dequantize=True, --dequantize): its weights stay as rounded as they are."
        )
    for name in ("quantization", "quantization_config"):
        settings.pop(name, None)
    ptq.unpack(model)
    num_weights = sum(array.size for _, array in arrays(model))
    stored = _stored_type(model)
    # Training holds the model whole; all else casts a block by itself, where it runs one.
    _cast(model, compute_type(stored) if config.method == "qat" else stored)
    config = _with_token_ids(config, folder)
    settings |= apply(
        model,
        config,
        stored=stored,
        read=lambda: _read_again(folder, stored),
        on_step=(lambda done, total, _: on_progress(done, total)) if on_progress else None,
    )
    _cast(model, stored)
    settings["quantization"] = describe(model, config)
    settings["quantization_config"] = settings["quantization"]  # where the Hub looks
    return _Quantized(dict(arrays(model)), settings, num_weights)


def _read_again(folder: Path, stored: mx.Dtype) -> nn.Module:
    model, _ = read_model(folder)
    ptq.unpack(model)
    _cast(model, stored)
    return model


def _stored_type(model: nn.Module) -> mx.Dtype:
    """The type of what is not packed: the model's own 16-bit type, or bfloat16.

    Scales in float32 would cost as much again as a 1-bit weight in groups of 64.
    """
    types = [array.dtype for _, array in arrays(model)]
    return mx.float16 if mx.float16 in types else mx.bfloat16


def _cast(model: nn.Module, dtype: mx.Dtype) -> None:
    def cast(array: Any) -> Any:
        return array.astype(dtype) if mx.issubdtype(array.dtype, mx.floating) else array

    model.update(tree_map(cast, model.parameters()))


def _with_token_ids(config: QuantizationConfig, folder: Path) -> QuantizationConfig:
    if not config.needs_data:
        return config
    tokenizer = Tokenizer.from_folder(folder)
    return replace(config, calibration_data=token_rows(config.calibration_data, tokenizer.encode))
