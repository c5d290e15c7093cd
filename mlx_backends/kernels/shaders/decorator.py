"""``@shader``: a Metal kernel function beside the plain MLX that says what it computes."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_backends.config import is_debug
from mlx_backends.errors import ShaderArgumentError, ShaderMismatchError
from mlx_backends.kernels.shaders.shader import compile_shader, launch

Grid = int | Sequence[int] | Callable[..., int | Sequence[int]]
# Largest difference, relative to the largest value of the reference: a few roundings of the type.
_TOLERANCE = {mx.float32: 1e-5, mx.float16: 5e-3, mx.bfloat16: 4e-2}


def shader(
    source: str,
    *,
    name: str | None = None,
    grid: Grid | None = None,
    threadgroup: int | Sequence[int] | None = None,
    debug: bool | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a reference: calls run the kernel, and the reference gives shapes and types.

    The reference takes the kernel's inputs in the order of their buffers and returns an array, or a
    list of them, for the outputs. MLX is lazy, so asking it for shapes computes nothing. In debug
    mode the first call with each combination of types compares the kernel's result with it.

    Args:
        source: As in ``compile_shader``.
        name: Kernel function; None is the name of the reference, or the only one.
        grid: Threads, or a function of the inputs that tells them; None is one for each element
            of the first output.
        threadgroup: As in ``launch``.
        debug: Whether to compare; None is what ``MLX_BACKENDS_DEBUG`` says.

    Raises:
        ShaderSyntaxError: As in ``compile_shader``.

    The decorated function raises as ``launch``, and ``ShaderMismatchError`` where results differ.
    """

    def decorate(reference: Callable[..., Any]) -> Callable[..., Any]:
        own_name = getattr(reference, "__name__", "")
        kernel = compile_shader(source, name or (own_name if own_name in source else None))
        compared: set[tuple[mx.Dtype, ...]] = set()

        @functools.wraps(reference)
        def run(*inputs: Any) -> Any:
            expected = reference(*inputs)
            arrays = [expected] if isinstance(expected, mx.array) else list(expected)
            if not all(isinstance(array, mx.array) for array in arrays) or not arrays:
                raise ShaderArgumentError(f"the reference of {kernel.name} returns mx.arrays")
            outputs = launch(
                kernel,
                arrays[0].size if grid is None else grid(*inputs) if callable(grid) else grid,
                list(inputs),
                [tuple(array.shape) for array in arrays],
                [array.dtype for array in arrays],
                threadgroup=threadgroup,
            )
            types = tuple(
                array.dtype for array in (*inputs, *arrays) if isinstance(array, mx.array)
            )
            if (is_debug() if debug is None else debug) and types not in compared:
                _compare(kernel.name, outputs, arrays)
                compared.add(types)
            return outputs[0] if isinstance(expected, mx.array) else outputs

        return run

    return decorate


def _compare(name: str, outputs: Sequence[mx.array], expected: Sequence[mx.array]) -> None:
    """See that a kernel computes what its reference does.

    Raises:
        ShaderMismatchError: It does not; says where.
    """
    for index, (output, want) in enumerate(zip(outputs, expected, strict=True)):
        if not mx.issubdtype(want.dtype, mx.floating):
            differs = output != want
        else:
            a, b = output.astype(mx.float32), want.astype(mx.float32)
            allowed = _TOLERANCE.get(want.dtype, 1e-5) * mx.maximum(mx.abs(b).max(), 1e-6)
            differs = mx.logical_not((mx.abs(a - b) <= allowed) | (mx.isnan(a) & mx.isnan(b)))
            differs &= a != b  # infinities
        places = np.flatnonzero(np.array(differs))
        if places.size:
            place = int(places[0])
            got, wanted = output.reshape(-1)[place].item(), want.reshape(-1)[place].item()
            raise ShaderMismatchError(
                f"kernel {name} differs from its reference in {places.size:,} of {want.size:,} "
                f"elements of output {index}; first at flat index {place:,}: {got} instead of "
                f"{wanted}"
            )
