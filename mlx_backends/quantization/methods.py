"""``quantize``: any model in memory, by any method."""

import copy
from collections.abc import Mapping
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_unflatten

from mlx_backends.errors import ConfigError, QuantizationError
from mlx_backends.models import rounded_inputs
from mlx_backends.quantization import ptq
from mlx_backends.quantization.awq import awq
from mlx_backends.quantization.calibration import model_inputs, token_rows
from mlx_backends.quantization.config import QuantizationConfig
from mlx_backends.quantization.gptq import gptq
from mlx_backends.quantization.layers import arrays
from mlx_backends.quantization.qat import OnStep, train
from mlx_backends.quantization.ranges import find_peaks, find_scales
from mlx_backends.quantization.sensitivity import Read
from mlx_backends.quantization.smoothing import smooth
from mlx_backends.quantization.training_data import RowBatches

_START_ROWS = 64


def quantize(model: nn.Module, config: QuantizationConfig | Mapping[str, Any]) -> nn.Module:
    """A quantized copy of a model; the model itself stays as it is.

    Args:
        model: Any MLX module with linear or embedding layers.
        config: How; a mapping is read by ``QuantizationConfig.from_dict``.

    Raises:
        ConfigError: The configuration or its calibration data is not usable.
        QuantizationError: The model cannot be quantized in this way.
    """
    if not isinstance(config, QuantizationConfig):
        config = QuantizationConfig.from_dict(config)
    twin = twin_of(model)
    apply(twin, config)
    return twin


def twin_of(model: nn.Module) -> nn.Module:
    """A copy whose layers are new and whose arrays are the same."""
    return copy.deepcopy(model, {id(array): array for _, array in arrays(model)})


def apply(
    model: nn.Module,
    config: QuantizationConfig,
    *,
    stored: mx.Dtype | None = None,
    on_step: OnStep | None = None,
    read: Read | None = None,
) -> dict[str, Any]:
    """Quantize in place.

    Args:
        model: Changed.
        config: How.
        stored: With ``qat``: type of the scales; None is the model's own.
        on_step: With ``qat``: called now and then with steps done, steps in all, and the loss.
        read: Gives the same model once more, with weights that are read when they are used, so that
            those in memory may go between passes over a model that is not changed yet.

    Returns:
        What ``config.json`` says besides the ``quantization`` section.
    """
    if config.method == "ptq":
        _round_weights(model, config, read)
        return {}
    if config.method == "qat":
        _train(model, config, stored or _type_of(model), on_step)
        if config.activation_bits is None:
            return {}
    scales = None
    if config.method == "static":
        batches = model_inputs(config.calibration_data)
        if config.smooth:
            smooth(model, find_peaks(model, batches))
        scales = find_scales(model, batches, config.observer, config.percentile)
        scales = {name: s for name, s in scales.items() if _is_chosen(name, config)}
    if config.method != "qat":
        ptq.round_to_nearest(model, config)
    if config.mode == "affine":
        _round_inputs(model, scales, config)
        method = "dynamic" if scales is None else "static"
        section: dict[str, Any] = {"method": method, "bits": config.activation_bits}
        return {rounded_inputs.KEY: section if scales is None else section | {"scales": scales}}
    _use_format(model, config)
    return {rounded_inputs.NATIVE_KEY: True}


def _train(
    model: nn.Module, config: QuantizationConfig, stored: mx.Dtype, on_step: OnStep | None
) -> None:
    settings = config.training
    rows = token_rows(config.calibration_data, None, length=settings.sequence_length)
    batches = RowBatches(rows, settings.batch_size, settings.seed)
    teacher = twin_of(model)
    set_start(model, rows[:_START_ROWS], config)
    train(model, config, batches, teacher=teacher, stored=stored, on_step=on_step)


def set_start(model: nn.Module, rows: mx.array, config: QuantizationConfig) -> None:
    """Give a model the weights that its training begins with, as ``config.training`` says.

    Args:
        model: Changed.
        rows: Token ids that GPTQ looks at, (rows, length).
        config: Of the training.
    """
    if config.training.start == "gptq":  # also to go on: a checkpoint's grids are relative to these
        gptq(model, rows, config)
        ptq.unpack(model)


def _type_of(model: nn.Module) -> mx.Dtype:
    return next(array.dtype for _, array in arrays(model))


def product_of(model: nn.Module) -> str:
    """How a model multiplies rounded activations, in words for a report."""
    layers = list(model.modules())
    if any(isinstance(layer, nn.QQLinear) for layer in layers):
        return "low-precision product (mx.qqmm)"
    if any(isinstance(layer, rounded_inputs.RoundedInput) for layer in layers):
        return "simulated in floating point"
    return "full activations"


def _round_weights(model: nn.Module, config: QuantizationConfig, read: Read | None) -> None:
    if not config.needs_data:
        {"rtn": ptq.round_to_nearest, "search": ptq.search}[config.algorithm](model, config)
        return
    rows = token_rows(config.calibration_data, None)
    if config.algorithm == "mixed":
        gptq(model, rows, config, ptq.mixed_widths(model, rows, config, read))
    else:
        {"awq": awq, "gptq": gptq}[config.algorithm](model, rows, config)


def _is_chosen(name: str, config: QuantizationConfig) -> bool:
    return not any(part in name for part in config.exclude)


def _round_inputs(
    model: nn.Module, scales: dict[str, float] | None, config: QuantizationConfig
) -> None:
    if scales is None and config.exclude:
        raise ConfigError("method='dynamic' rounds every linear layer's input: leave out exclude=.")
    rounded_inputs.install(model, scales)


def _use_format(model: nn.Module, config: QuantizationConfig) -> None:
    """Quantize inputs in the weights' format: natively where the device can, else simulated."""
    found = tree_flatten(model.leaf_modules(), is_leaf=nn.Module.is_module)
    linear = [(name, layer) for name, layer in found if isinstance(layer, nn.QuantizedLinear)]
    biased = [name for name, layer in linear if "bias" in layer]
    if biased:
        raise QuantizationError(
            f"mode={config.mode!r} with activations takes linear layers without a bias; "
            f"{biased[0]!r} has one. Use mode='affine'."
        )
    if rounded_inputs.has_native_product(config.mode):
        model.update_modules(
            tree_unflatten([(name, rounded_inputs.native(layer)) for name, layer in linear])
        )
    else:
        rounded_inputs.install(model, None, mode=config.mode)
