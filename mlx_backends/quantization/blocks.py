"""Rounds a model block by block; each block sees what the rounded blocks before it give."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten

from mlx_backends.errors import QuantizationError
from mlx_backends.quantization.config import QuantizationConfig
from mlx_backends.quantization.grids import Rounded, packed_layer, round_alone
from mlx_backends.quantization.layers import Layers, bits_of, is_embedding, quantizable

Call = Callable[[Any, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""What stands for a layer's call: layer, the layer's own call, arguments, named arguments."""
Run = Callable[[], Any]
"""Computes a block on the calibration data, as it is now."""
RoundBlock = Callable[[nn.Module, Layers, Run], dict[str, Rounded]]
"""A block, its layers to round by name, and its run -> those that were rounded. Other weights of
the block may change too."""

_STAND_IN = "call_instead"


def round_blocks(
    model: Any, rows: mx.array, config: QuantizationConfig, round_block: RoundBlock
) -> None:
    """Quantize a language model in place; one block at a time is held unpacked.

    Embeddings, a head and layers that the data does not reach are rounded without data.

    Args:
        model: Not packed.
        rows: Token ids, (rows, length).
        config: Bits and groups.
        round_block: Rounds the layers of one block.

    Raises:
        QuantizationError: The model has no blocks, or groups do not divide its layers.
    """
    chosen = quantizable(model, config)
    stored = next(iter(chosen.values())).weight.dtype
    is_cpu = mx.default_device() == mx.Device(mx.cpu)
    compute = mx.float32 if is_cpu else stored  # fastest there

    def install(rounded: Mapping[str, Rounded]) -> None:
        """Put packed layers in place of dense ones, of which nothing stays in memory."""
        layers = [(name, packed_layer(chosen.pop(name), r, stored)) for name, r in rounded.items()]
        mx.eval([layer.parameters() for _, layer in layers])
        model.update_modules(tree_unflatten(layers))

    def install_alone(name: str) -> None:
        layer = chosen[name]
        bits = bits_of(name, layer, config)
        install({name: round_alone(layer.weight, bits, config.group)})

    def visit(block: nn.Module, run: Run) -> Any:
        inside = {id(module) for module in block.modules()}
        layers = {name: layer for name, layer in chosen.items() if id(layer) in inside}
        block.set_dtype(compute)
        rounded = round_block(block, layers, run)
        for name, kept in rounded.items():
            layers[name].weight = kept.values().reshape(layers[name].weight.shape).astype(compute)
        outputs = run()
        mx.eval(outputs)
        block.set_dtype(stored)
        install(rounded)
        return outputs

    for name in [name for name, layer in chosen.items() if is_embedding(name, layer)]:
        install_alone(name)
    visit_blocks(model, rows, visit)
    for name in list(chosen):
        install_alone(name)


def visit_blocks(model: Any, rows: mx.array, visit: Callable[[nn.Module, Run], Any]) -> None:
    """Visit each block of a language model; it runs on what the blocks before, as visited, give.

    One forward pass of the model drives it, so that a block is called as the architecture does.

    Args:
        model: Has ``layers``, its blocks.
        rows: Token ids, (rows, length).
        visit: Gives the outputs of the block, whose weights it may change.

    Raises:
        QuantizationError: The model has no list of blocks.
    """
    blocks = list(getattr(model, "layers", []))
    if not blocks:
        raise QuantizationError("The model has no list of blocks (`layers`) to go through.")

    def call(block: Any, own: Callable[..., Any], args: Any, named: Any) -> Any:
        return visit(block, partial(own, *args, **named))

    with intercepted(blocks, call):
        model(rows)  # lazy: the last logits are never computed


def input_moments(layers: Layers, run: Run) -> dict[str, mx.array]:
    """Sums of outer products of each layer's inputs, over all tokens.

    Args:
        layers: By name; those that the run does not reach are left out.
        run: Calls the layers.

    Returns:
        (columns, columns) float32, by name.
    """
    names = {id(layer): name for name, layer in layers.items()}
    moments: dict[str, mx.array] = {}

    def call(layer: Any, own: Callable[..., Any], args: Any, named: Any) -> Any:
        inputs = args[0].reshape(-1, args[0].shape[-1]).astype(mx.float32)
        name = names[id(layer)]
        moments[name] = moments.get(name, 0) + inputs.T @ inputs
        mx.eval(moments[name])
        return own(*args, **named)

    with intercepted(layers.values(), call):
        mx.eval(run())
    return moments


@contextmanager
def intercepted(layers: Iterable[nn.Module], call: Call) -> Iterator[None]:
    """Let ``call`` stand for the call of each layer, for a while."""
    chosen = list(layers)
    for layer in chosen:
        layer.__dict__[_STAND_IN] = call
        layer.__class__ = _intercepted(type(layer))
    try:
        yield
    finally:
        for layer in chosen:
            layer.__class__ = type(layer).__bases__[0]
            del layer.__dict__[_STAND_IN]


@cache
def _intercepted(kind: type[nn.Module]) -> type[nn.Module]:
    def stand_in(self: Any, *args: Any, **named: Any) -> Any:
        return self.__dict__[_STAND_IN](self, partial(kind.__call__, self), args, named)

    return type(kind.__name__, (kind,), {"__call__": stand_in})
