"""Quantized layers for a GPU, put in place of a loaded model's own: same numbers, fewer launches.

A decode step of a small model is bound by the number of its kernels, and MLX's quantized product
takes every axis before the last two for a batch of products. So, where a row has one new token:

- rows become one matrix, and the weights are read once instead of once a row;
- layers that take the same input (queries, keys and values; gate and up) are one product.

With many rows the weights may be unpacked first (``unpack_rule``).

Each layer is a subclass of the one it replaces and keeps its parameters, as views of the stacked
ones. The layer itself is the readable twin.
"""

from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from mlx_backends import kernels
from mlx_backends.models.unpack_rule import VECTOR_ROWS, UnpackRule

_SAME_INPUT = (("q_proj", "k_proj", "v_proj"), ("gate_proj", "up_proj"))
_PARAMETERS = ("weight", "scales", "biases", "bias")


def install(model: nn.Module, rule: UnpackRule | None = None) -> None:
    """Swap the quantized layers of a model that runs on a GPU; idempotent.

    Subclasses of the known layers keep their own ways.

    Args:
        model: A loaded model.
        rule: When weights are unpacked before the product; None is never.
    """
    for module in model.modules():
        for names in _SAME_INPUT:
            layers = [module.get(name) for name in names]
            if _can_stack(layers):
                _Stack(layers, rule)
    module: Any
    for module in model.modules():
        module.__class__ = _REPLACEMENTS.get(type(module), type(module))
        if isinstance(module, DeviceQuantizedLinear | DeviceQuantizedEmbedding):
            module.rule = rule


def compile_products(model: nn.Module, dtype: mx.Dtype) -> None:
    """Have MLX compile its kernels for some rows, where there is a rule about them."""
    rule = _rule(model)
    if rule is not None:
        rule.compile_products(model, dtype)


def smallest_batch(model: nn.Module, dtype: mx.Dtype) -> int:
    """Rows to which a batch of more than one is best filled up.

    MLX's matrix kernel takes eight rows in a third of the time that its vector kernel needs for
    four (``bench facts``).
    """
    rule = _rule(model)
    layers = [m for m in model.modules() if isinstance(m, DeviceQuantizedLinear)]
    if rule is None or not all(rule.has_kernel(VECTOR_ROWS, layer, dtype) for layer in layers):
        return 1
    return VECTOR_ROWS


def unpacked_layer_bytes(model: nn.Module, dtype: mx.Dtype) -> int:
    """Bytes that the weights of a model's largest layer take when they are unpacked."""
    sizes: dict[str, int] = {}
    for name, module in model.named_modules():
        if isinstance(module, DeviceQuantizedLinear) and module.rule is not None:
            layer = next((part for part in name.split(".") if part.isdecimal()), "")
            sizes[layer] = sizes.get(layer, 0) + _unpacked_bytes(module, dtype)
    sizes.pop("", None)  # the head, which is counted by itself
    return max(sizes.values(), default=0)


def unpacked_head_bytes(model: nn.Module, dtype: mx.Dtype) -> int:
    """Bytes that the output head takes when it is unpacked; an embedding may be the head."""
    heads = (
        module
        for name, module in model.named_modules()
        if isinstance(module, DeviceQuantizedEmbedding)
        or (isinstance(module, DeviceQuantizedLinear) and name.endswith("lm_head"))
    )
    sizes = [_unpacked_bytes(head, dtype) for head in heads if head.rule is not None]
    return max(sizes, default=0)


def _unpacked_bytes(layer: Any, dtype: mx.Dtype) -> int:
    num_rows, num_groups = layer.scales.shape
    return num_rows * num_groups * layer.group_size * dtype.size


def _rule(model: nn.Module) -> UnpackRule | None:
    layers = (m for m in model.modules() if isinstance(m, DeviceQuantizedLinear))
    first = next(layers, None)
    return None if first is None else first.rule


class _Unpacking:
    """The product of a quantized layer with rows, one matrix, in the way that its rule chooses.

    Attributes:
        rule: As in ``install``.
    """

    rule: UnpackRule | None = None

    def _product(self, packed: Callable[[mx.array], mx.array], x: mx.array) -> mx.array:
        num_rows = x.size // x.shape[-1]
        if self.rule is None:
            return _as_one_matrix(packed, x)
        if self.rule.splits(num_rows, self, x.dtype):
            return self._split(x)
        unpacks = self.rule.applies(num_rows, self, x.dtype)
        return _as_one_matrix(self._unpacked if unpacks else packed, x)

    def _split(self, x: mx.array) -> mx.array:
        layer: Any = self
        rows = x.reshape(-1, x.shape[-1])
        out = kernels.few_rows_matmul(rows, layer["weight"], layer["scales"], layer["biases"])
        out = out.reshape(*x.shape[:-1], -1)
        return out + layer["bias"] if "bias" in layer else out

    def _unpacked(self, x: mx.array) -> mx.array:
        layer: Any = self
        weight = mx.dequantize(
            layer["weight"],
            layer["scales"],
            layer.get("biases"),
            group_size=layer.group_size,
            bits=layer.bits,
            mode=layer.mode,
        ).astype(x.dtype)
        return mx.addmm(layer["bias"], x, weight.T) if "bias" in layer else x @ weight.T


class DeviceQuantizedLinear(_Unpacking, nn.QuantizedLinear):
    """One product for all rows."""

    def __call__(self, x: mx.array) -> mx.array:
        return self._product(super().__call__, x)


class DeviceQuantizedEmbedding(_Unpacking, nn.QuantizedEmbedding):
    """As ``DeviceQuantizedLinear``, for an embedding that is also the head."""

    def as_linear(self, x: mx.array) -> mx.array:
        return self._product(super().as_linear, x)


class StackedLinear(DeviceQuantizedLinear):
    """One of several layers with the same input, whose products are computed together."""

    def __call__(self, x: mx.array) -> mx.array:
        stack, index = self.__dict__["_stack"]
        return stack.output(index, x) if x.shape[-2] == 1 else super().__call__(x)


_REPLACEMENTS: dict[type, type] = {
    nn.QuantizedLinear: DeviceQuantizedLinear,
    nn.QuantizedEmbedding: DeviceQuantizedEmbedding,
}


class _Stack:
    """The product of several layers' weights with one input, computed when the first is called.

    The outputs of one input are kept until every layer has taken its own.
    """

    def __init__(self, layers: Sequence[Any], rule: UnpackRule | None) -> None:
        whole: Any = DeviceQuantizedLinear.__new__(DeviceQuantizedLinear)
        nn.Module.__init__(whole)
        first = layers[0]
        whole.group_size, whole.bits, whole.mode = first.group_size, first.bits, first.mode
        whole.rule = rule
        for name in _PARAMETERS:
            if first.get(name) is not None:
                whole[name] = mx.concatenate([layer[name] for layer in layers])
        mx.eval(whole.parameters())
        self._product: Callable[[mx.array], mx.array] = whole
        self._bounds: list[tuple[int, int]] = []
        self._input: mx.array | None = None
        self._outputs: dict[int, mx.array] = {}
        start = 0
        for index, layer in enumerate(layers):
            stop = start + len(layer.weight)
            self._bounds.append((start, stop))
            for name in whole:
                layer[name] = whole[name][start:stop]
            mx.eval(layer.parameters())
            layer.__class__ = StackedLinear
            # Past the module's own __setattr__, which would take it for a submodule.
            layer.__dict__["_stack"] = (self, index)
            start = stop

    def output(self, index: int, x: mx.array) -> mx.array:
        """What the layer of an index makes of ``x``."""
        if x is not self._input or index not in self._outputs:
            product = self._product(x)
            self._outputs = {i: product[..., a:b] for i, (a, b) in enumerate(self._bounds)}
            self._input = x
        output = self._outputs.pop(index)
        if not self._outputs:
            self._input = None
        return output


def _can_stack(layers: Sequence[Any]) -> bool:
    if any(type(layer) is not nn.QuantizedLinear for layer in layers):
        return False
    return len({_format(layer) for layer in layers}) == 1


def _format(layer: Any) -> tuple[object, ...]:
    """What layers must have in common to be stacked."""
    arrays = [layer.get(name) for name in _PARAMETERS]
    inner = tuple(None if a is None else (a.dtype, a.shape[1:]) for a in arrays)
    return layer.group_size, layer.bits, layer.mode, inner


def _as_one_matrix(product: Callable[[mx.array], mx.array], x: mx.array) -> mx.array:
    """Apply a product of matrices to all rows at once. Shapes: (..., L, K) -> (..., L, N)."""
    if x.size == x.shape[-2] * x.shape[-1]:
        return product(x)
    return product(x.reshape(-1, x.shape[-1])).reshape(*x.shape[:-1], -1)
