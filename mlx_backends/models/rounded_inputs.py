"""Linear layers whose inputs are rounded to 8 bits before the product: W8A8 and its like.

The weights stay those of the layer, packed or not. The input is rounded to what integer codes with
one scale would hold, symmetric, and multiplied in floating point: the numerics of an integer
product, on any device, and not its speed. MLX has no integer matrix product. The formats ``mxfp8``
and ``nvfp4`` run as real low-precision products (``mx.qqmm``) where the device has them, and are
simulated in the same way elsewhere.

``config.json`` says it beside mlx-lm's own keys, so that mlx-lm reads the same folder with full
activations: ``"activation_quantization": {"method": "static", "bits": 8, "scales": {...}}``.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_flatten, tree_unflatten

from mlx_backends.errors import ModelLoadError

KEY = "activation_quantization"
"""Section of ``config.json`` for 8-bit integers."""
NATIVE_KEY = "quantize_activations"
"""mlx-lm's flag for the formats that ``mx.qqmm`` multiplies."""
_LEVELS = 127
_SMALLEST_SCALE = 1e-12
_LINEAR = (nn.Linear, nn.QuantizedLinear)


class RoundedInput(nn.Module):
    """Mixed into a linear layer's class: rounds what the layer is given.

    Attributes:
        input_scale: One scale for all inputs, found beforehand; None takes one from each row.
        input_mode: ``int8``, or an MLX format that is simulated.
    """

    input_scale: float | None = None
    input_mode: str = "int8"

    def __call__(self, x: mx.array) -> mx.array:
        return super().__call__(self.round_input(x))

    def round_input(self, x: mx.array) -> mx.array:
        """The input as its codes hold it, in its own type."""
        if self.input_mode != "int8":
            return round_to_format(x, self.input_mode)
        return round_to_int8(x, self.input_scale)


class RoundedInputTraining(RoundedInput):
    """As ``RoundedInput``, with the identity as its gradient (straight-through)."""

    def round_input(self, x: mx.array) -> mx.array:
        return x + mx.stop_gradient(super().round_input(x) - x)


def round_to_int8(x: mx.array, scale: float | None = None) -> mx.array:
    """``scale * clip(round(x / scale), -127, 127)``, in x's type.

    Args:
        x: Any shape.
        scale: None takes the largest magnitude of each row (last axis), divided by 127.
    """
    if scale is not None:
        return (mx.clip(mx.round(x / scale), -_LEVELS, _LEVELS) * scale).astype(x.dtype)
    exact = x.astype(mx.float32)
    scales = mx.maximum(mx.abs(exact).max(axis=-1, keepdims=True) / _LEVELS, _SMALLEST_SCALE)
    return (mx.round(exact / scales) * scales).astype(x.dtype)


def round_to_format(x: mx.array, mode: str) -> mx.array:
    """What ``mx.quantize`` in a block format keeps of the input's rows."""
    rows = x.reshape(-1, x.shape[-1])
    codes, scales, *_ = mx.quantize(rows, mode=mode)
    return mx.dequantize(codes, scales, mode=mode).astype(x.dtype).reshape(x.shape)


def install(
    model: nn.Module,
    scales: dict[str, float] | None,
    *,
    mode: str = "int8",
    base: type[RoundedInput] = RoundedInput,
) -> None:
    """Round the inputs of a model's linear layers.

    Args:
        model: Changed in place; parameters and their names stay.
        scales: Static scales by layer name; layers without one are left alone. None rounds the
            inputs of all linear layers by rows.
        mode: ``int8``, or an MLX format to simulate.
        base: How to round.
    """
    layer: Any
    for name, layer in model.named_modules():
        if not _is_rounded(name, layer, scales):
            continue
        layer.__class__ = _rounding(type(layer), base)
        layer.input_mode = mode
        layer.input_scale = None if scales is None else scales[name]


def _is_rounded(name: str, layer: Any, scales: dict[str, float] | None) -> bool:
    is_linear = isinstance(layer, _LINEAR) and not isinstance(layer, RoundedInput)
    return is_linear and (scales is None or name in scales)


def uninstall(model: nn.Module) -> None:
    """Undo ``install``."""
    layer: Any
    for layer in model.modules():
        if isinstance(layer, RoundedInput):
            layer.__class__ = type(layer).__bases__[1]


@contextmanager
def exact_inputs(model: nn.Module) -> Iterator[None]:
    """Let a model's layers take inputs as they are, for as long as the context lasts."""
    rounding = [
        (layer, type(layer)) for layer in model.modules() if isinstance(layer, RoundedInput)
    ]
    native = _native_layers(model)
    uninstall(model)
    replace_native(model)
    try:
        yield
    finally:
        layer: Any
        for layer, rounding_class in rounding:
            layer.__class__ = rounding_class
        if native:
            model.update_modules(tree_unflatten(native))


@cache
def _rounding(layer: type[nn.Module], base: type[RoundedInput]) -> type[nn.Module]:
    return type(f"{base.__name__}{layer.__name__}", (base, layer), {})


def replace_unsupported(model: nn.Module, config: dict[str, Any]) -> None:
    """Put plain packed layers in place of mlx-lm's ``QQLinear`` if the device cannot run them."""
    if config.get(NATIVE_KEY) and not has_native_product(_mode(config)):
        replace_native(model)


def replace_native(model: nn.Module) -> None:
    """Put plain packed layers in place of all ``QQLinear`` ones."""
    native = _native_layers(model)
    if native:
        model.update_modules(tree_unflatten([(name, _plain(layer)) for name, layer in native]))


def _native_layers(model: nn.Module) -> list[tuple[str, Any]]:
    found = tree_flatten(model.leaf_modules(), is_leaf=nn.Module.is_module)
    return [(name, layer) for name, layer in found if isinstance(layer, nn.QQLinear)]


def install_from_config(model: nn.Module, config: dict[str, Any]) -> None:
    """Round activations as a model folder's ``config.json`` asks; nothing if it does not.

    ``replace_unsupported`` comes first.

    Raises:
        ModelLoadError: The section is malformed.
    """
    section = config.get(KEY)
    if section is not None:
        install(model, _scales(section))
    if config.get(NATIVE_KEY) and not has_native_product(_mode(config)):
        install(model, None, mode=_mode(config))


def _mode(config: dict[str, Any]) -> str:
    return str(config.get("quantization", {}).get("mode", "affine"))


def _scales(section: Any) -> dict[str, float] | None:
    """Static scales of the section; None for dynamic rounding."""
    if not isinstance(section, dict) or section.get("bits") != 8:
        raise ModelLoadError(f"{KEY} in config.json must be an object with bits 8.")
    if section.get("method") == "dynamic":
        return None
    scales = section.get("scales")
    if section.get("method") != "static" or not isinstance(scales, dict):
        raise ModelLoadError(f"{KEY} in config.json must be dynamic, or static with scales.")
    if not all(isinstance(s, float) and 0 < s < float("inf") for s in scales.values()):
        raise ModelLoadError(f"{KEY} in config.json has a scale that is no positive number.")
    return scales


@cache
def has_native_product(mode: str) -> bool:
    """Whether this device multiplies quantized activations of a format, asked by doing it."""
    try:
        weight, scales, *_ = mx.quantize(mx.ones((64, 128)), mode=mode)
        out = mx.qqmm(mx.ones((4, 128)), weight, scales, mode=mode)
        mx.eval(out)
    except (RuntimeError, ValueError, TypeError):
        return False
    return bool(mx.isfinite(out).all())


def native(layer: nn.QuantizedLinear) -> nn.Module:
    """The layer with quantized activations in the same format, by ``mx.qqmm``."""
    rows, columns = layer.weight.shape
    twin = nn.QQLinear(columns * 32 // layer.bits, rows, layer.group_size, layer.bits, layer.mode)
    twin.weight, twin.scales = layer.weight, layer.scales
    twin._quantized = True
    return twin


def _plain(layer: Any) -> nn.QuantizedLinear:
    rows, words = layer.weight.shape
    twin = nn.QuantizedLinear(
        words * 32 // layer.bits,
        rows,
        bias=False,
        group_size=layer.group_size,
        bits=layer.bits,
        mode=layer.mode,
    )
    twin.weight, twin.scales = layer.weight, layer.scales
    return twin
