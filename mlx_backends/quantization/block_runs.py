"""Runs a model block by block on calibration data, in little memory."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from math import prod
from typing import Any

import mlx.core as mx
import mlx.nn as nn
from mlx.utils import tree_unflatten

from mlx_backends.errors import QuantizationError
from mlx_backends.layer_classes import changed_classes
from mlx_backends.quantization.layers import arrays

Call = Callable[[Any, Callable[..., Any], tuple[Any, ...], dict[str, Any]], Any]
"""What stands for a layer's call: layer, the layer's own call, arguments, named arguments."""
Run = Callable[[], Any]
"""Computes a block on the calibration data, as it is now."""

_STAND_IN = "call_instead"
# Tokens that a block computes at once: what is inside a block takes many times its inputs.
_RUN_TOKENS = {"cpu": 1_024, "gpu": 4_096}


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
        return visit(block, _in_slices(partial(own, **named), args))

    with intercepted(blocks, call):
        model(rows)  # lazy: the last logits are never computed


def run_blocks(model: Any, rows: mx.array) -> None:
    """Run a model whose layers note what they are given; block by block if it has blocks.

    The logits of a language model are not computed.

    Args:
        model: Any module.
        rows: Its input.
    """

    def visit(block: nn.Module, run: Run) -> Any:
        with computed_in(block, compute_type(_type_of(block))):
            outputs = run()
            mx.eval(outputs)
        return outputs

    if getattr(model, "layers", None):
        visit_blocks(model, rows, visit)
    else:
        model(rows)


def compute_type(stored: mx.Dtype) -> mx.Dtype:
    """The type in which a model of this type runs fastest: float32 on a CPU, else its own."""
    return mx.float32 if mx.default_device() == mx.Device(mx.cpu) else stored


@contextmanager
def computed_in(
    block: nn.Module, compute: mx.Dtype, besides: Iterable[mx.array] = ()
) -> Iterator[None]:
    """Let a block's weights, ``besides`` some, have another type for a while."""
    kept, left = dict(arrays(block)), {id(array) for array in besides}

    def is_cast(array: mx.array) -> bool:
        return mx.issubdtype(array.dtype, mx.floating) and id(array) not in left

    cast = {name: a.astype(compute) if is_cast(a) else a for name, a in kept.items()}
    block.update(tree_unflatten(list(cast.items())))
    try:
        yield
    finally:
        # A cast back would keep what it is cast from in memory, until it is computed.
        back = [
            (name, kept[name] if array is cast[name] else array.astype(kept[name].dtype))
            for name, array in arrays(block)
        ]
        block.update(tree_unflatten(back))


def _type_of(block: nn.Module) -> mx.Dtype:
    types = [array.dtype for _, array in arrays(block)]
    return next((kind for kind in types if mx.issubdtype(kind, mx.floating)), mx.float32)


def _in_slices(own: Callable[..., Any], args: tuple[Any, ...]) -> Run:
    """A block's run, some rows at a time."""
    count, *shape = args[0].shape if args and isinstance(args[0], mx.array) else (1,)
    tokens = _RUN_TOKENS[mx.default_device().type.name]
    size = max(1, tokens // max(1, prod(shape[:-1])))
    if count <= size:
        return partial(own, *args)

    def of_rows(argument: Any, rows: slice) -> Any:
        # A mask for all rows has their axis too; one of (length, length) has not.
        has_rows = isinstance(argument, mx.array) and argument.ndim > 2 and len(argument) == count
        return argument[rows] if has_rows else argument

    def run() -> Any:
        parts = []
        for first in range(0, count, size):
            rows = slice(first, first + size)
            parts.append(own(args[0][rows], *(of_rows(a, rows) for a in args[1:])))
            mx.eval(parts[-1])
        return _joined(parts)

    return run


def _joined(parts: list[Any]) -> Any:
    """Outputs of slices as one; a block may give several arrays."""
    if isinstance(parts[0], tuple | list):
        return type(parts[0])(_joined(list(column)) for column in zip(*parts, strict=True))
    return mx.concatenate(parts) if isinstance(parts[0], mx.array) else parts[0]


@contextmanager
def intercepted(layers: Iterable[nn.Module], call: Call) -> Iterator[None]:
    """Let ``call`` stand for the call of each layer, for a while."""
    chosen = list(layers)
    for layer in chosen:
        layer.__dict__[_STAND_IN] = call
    try:
        with changed_classes(chosen, _intercepted):
            yield
    finally:
        for layer in chosen:
            del layer.__dict__[_STAND_IN]


@cache
def _intercepted(kind: type[nn.Module]) -> type[nn.Module]:
    def standing_for(method: Any) -> Any:
        def stand_in(self: Any, *args: Any, **named: Any) -> Any:
            return self.__dict__[_STAND_IN](self, partial(method, self), args, named)

        return stand_in

    # An embedding is called as a head too.
    names = [name for name in ("__call__", "as_linear") if hasattr(kind, name)]
    return type(kind.__name__, (kind,), {n: standing_for(getattr(kind, n)) for n in names})
