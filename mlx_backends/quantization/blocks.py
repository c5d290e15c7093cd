"""Rounds a model block by block; each block sees what the rounded blocks before it give."""

from collections.abc import Callable, Mapping
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten

from mlx_backends.quantization.block_runs import (
    Run,
    compute_type,
    computed_in,
    intercepted,
    visit_blocks,
)
from mlx_backends.quantization.config import QuantizationConfig
from mlx_backends.quantization.grids import Rounded, packed_layer, round_alone
from mlx_backends.quantization.layers import Layers, is_embedding, quantizable

RoundBlock = Callable[[nn.Module, Layers, Run], dict[str, Rounded]]
"""A block, its layers to round by name, and its run -> those that were rounded. Other weights of
the block may change too."""


def round_blocks(
    model: Any,
    rows: mx.array,
    config: QuantizationConfig,
    widths: Mapping[str, int],
    round_block: RoundBlock,
) -> None:
    """Quantize a language model in place; one block at a time is held unpacked.

    Embeddings, a head and layers that the data does not reach are rounded without data.

    Args:
        model: Not packed.
        rows: Token ids, (rows, length).
        config: Which layers, and groups.
        widths: Bits of each layer.
        round_block: Rounds the layers of one block.

    Raises:
        QuantizationError: The model has no blocks, or groups do not divide its layers.
    """
    chosen = quantizable(model, config)
    stored = next(iter(chosen.values())).weight.dtype
    compute = compute_type(stored)

    def install(rounded: Mapping[str, Rounded]) -> None:
        """Put packed layers in place of dense ones, of which nothing stays in memory."""
        layers = [(name, packed_layer(chosen.pop(name), r, stored)) for name, r in rounded.items()]
        mx.eval([layer.parameters() for _, layer in layers])
        model.update_modules(tree_unflatten(layers))

    def install_alone(name: str) -> None:
        install({name: round_alone(chosen[name].weight, widths[name], config.group)})

    def visit(block: nn.Module, run: Run) -> Any:
        inside = {id(module) for module in block.modules()}
        layers = {name: layer for name, layer in chosen.items() if id(layer) in inside}
        with computed_in(block, compute):
            rounded = round_block(block, layers, run)
            for name, kept in rounded.items():
                weight = kept.values().reshape(layers[name].weight.shape)
                layers[name].weight = weight.astype(compute)
            outputs = run()
            mx.eval(outputs)
        install(rounded)
        return outputs

    for name in [name for name, layer in chosen.items() if is_embedding(name, layer)]:
        install_alone(name)
    visit_blocks(model, rows, visit)
    for name in list(chosen):
        install_alone(name)


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
