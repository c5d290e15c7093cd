"""Rounds a model block by block; each block sees what the rounded blocks before it give."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
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


def round_blocks(
    model: Any, rows: mx.array, config: QuantizationConfig, round_block: RoundBlock
) -> None:
    """Quantize a language model in place.

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
    names = {id(layer): name for name, layer in chosen.items()}
    packed: dict[str, nn.Module] = {}

    def keep(name: str, rounded: Rounded) -> None:
        layer = chosen[name]
        packed[name] = packed_layer(layer, rounded, layer.weight.dtype)
        layer.weight = rounded.values().reshape(layer.weight.shape).astype(layer.weight.dtype)
        mx.eval(layer.weight, packed[name].parameters())

    def keep_alone(is_due: Callable[[str, nn.Module], bool]) -> None:
        for name, layer in chosen.items():
            if is_due(name, layer):
                keep(name, round_alone(layer.weight, bits_of(name, layer, config), config.group))

    def visit(block: nn.Module, run: Run) -> None:
        inner = {names[id(layer)]: layer for layer in block.modules() if id(layer) in names}
        for name, rounded in round_block(block, inner, run).items():
            keep(name, rounded)

    keep_alone(is_embedding)
    visit_blocks(model, rows, visit)
    keep_alone(lambda name, _: name not in packed)
    model.update_modules(tree_unflatten(list(packed.items())))


def visit_blocks(model: Any, rows: mx.array, visit: Callable[[nn.Module, Run], None]) -> None:
    """Visit each block of a language model; it runs on what the blocks before, as visited, give.

    One forward pass of the model drives it, so that a block is called as the architecture does.

    Args:
        model: Has ``layers``, its blocks.
        rows: Token ids, (rows, length).
        visit: May change the weights of the block.

    Raises:
        QuantizationError: The model has no list of blocks.
    """
    blocks = list(getattr(model, "layers", []))
    if not blocks:
        raise QuantizationError("The model has no list of blocks (`layers`) to go through.")

    def call(block: Any, own: Callable[..., Any], args: Any, named: Any) -> Any:
        visit(block, partial(own, *args, **named))
        outputs = own(*args, **named)
        mx.eval(outputs)
        return outputs

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
        layer.__class__ = _calling(type(layer), call)
    try:
        yield
    finally:
        for layer in chosen:
            layer.__class__ = type(layer).__bases__[0]


def _calling(kind: type[nn.Module], call: Call) -> type[nn.Module]:
    def stand_in(self: Any, *args: Any, **named: Any) -> Any:
        return call(self, partial(kind.__call__, self), args, named)

    return type(kind.__name__, (kind,), {"__call__": stand_in})
