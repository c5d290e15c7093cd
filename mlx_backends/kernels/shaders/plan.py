"""A launch, checked against the kernel's signature before anything runs."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_backends.errors import ShaderArgumentError
from mlx_backends.kernels.shaders.signature import Buffer, Signature

MAX_THREADGROUP = 1_024
_MAX_GRID = 2**31 - 1
_DEFAULT_THREADGROUPS = {1: (256, 1, 1), 2: (32, 8, 1), 3: (8, 8, 4)}
_RANGES = {
    mx.int8: (-(2**7), 2**7 - 1),
    mx.int16: (-(2**15), 2**15 - 1),
    mx.int32: (-(2**31), 2**31 - 1),
    mx.int64: (-(2**63), 2**63 - 1),
    mx.uint8: (0, 2**8 - 1),
    mx.uint16: (0, 2**16 - 1),
    mx.uint32: (0, 2**32 - 1),
    mx.uint64: (0, 2**64 - 1),
}


@dataclass(frozen=True)
class LaunchPlan:
    """Arrays and sizes of one launch.

    Attributes:
        inputs: One array for each input of the signature.
        outputs: Buffer index, shape and type of each output of the signature.
        grid: Threads in x, y and z.
        threadgroup: Threads of a threadgroup in x, y and z.
        init_value: What outputs hold before the kernel writes; None if nothing.
        arrays: Inputs by buffer index.
    """

    inputs: tuple[mx.array, ...]
    outputs: tuple[tuple[int, tuple[int, ...], mx.Dtype], ...]
    grid: tuple[int, int, int]
    threadgroup: tuple[int, int, int]
    init_value: float | None
    arrays: dict[int, mx.array]

    @cached_property
    def num_elements(self) -> dict[int, int]:
        """Scalars of each buffer."""
        inputs = {index: array.size for index, array in self.arrays.items()}
        return inputs | {index: math.prod(shape) for index, shape, _ in self.outputs}

    @cached_property
    def num_bytes(self) -> dict[int, int]:
        inputs = {index: array.nbytes for index, array in self.arrays.items()}
        outputs = {index: math.prod(shape) * dtype.size for index, shape, dtype in self.outputs}
        return inputs | outputs


def plan_launch(
    signature: Signature,
    grid: int | Sequence[int],
    inputs: Sequence[Any],
    output_shapes: Sequence[Sequence[int]],
    output_dtypes: Sequence[mx.Dtype] | None,
    threadgroup: int | Sequence[int] | None,
    init_value: float | None,
) -> LaunchPlan:
    """Check the arguments of ``launch``; see there.

    Raises:
        ShaderArgumentError: They do not fit the signature.
    """
    arrays = _inputs(signature, inputs)
    threads = _sizes("grid", grid, signature)
    return LaunchPlan(
        inputs=tuple(arrays.values()),
        outputs=_outputs(signature, output_shapes, output_dtypes),
        grid=threads,
        threadgroup=_threadgroup(threads, grid, threadgroup, signature),
        init_value=_init_value(init_value),
        arrays=arrays,
    )


def _inputs(signature: Signature, inputs: Sequence[Any]) -> dict[int, mx.array]:
    expected = signature.inputs
    if isinstance(inputs, mx.array | np.ndarray | str) or not isinstance(inputs, Sequence):
        raise ShaderArgumentError(
            f"inputs of {signature.name} is a list with an array for each of "
            f"{_listed(expected)}; got {type(inputs).__name__}"
        )
    if len(inputs) != len(expected):
        raise ShaderArgumentError(
            f"{signature.name} reads {len(expected)} buffers: {_listed(expected)}; "
            f"got {len(inputs)} inputs"
        )
    return {
        buffer.index: _input(buffer, value) for buffer, value in zip(expected, inputs, strict=True)
    }


def _listed(buffers: Sequence[Buffer]) -> str:
    return ", ".join(buffer.described for buffer in buffers) or "none"


def _input(buffer: Buffer, value: Any) -> mx.array:
    if isinstance(value, np.ndarray | np.generic):
        value = _from_numpy(buffer, value)
    if isinstance(value, bool | int | float):
        value = _scalar(buffer, value)
    if not isinstance(value, mx.array):
        raise ShaderArgumentError(
            f"input {buffer.described} is an mx.array, a numpy array or a number; "
            f"got {type(value).__name__}"
        )
    if value.dtype != buffer.dtype:
        raise ShaderArgumentError(
            f"input {buffer.described}, is {_name(buffer.dtype)} ({buffer.type_name}) in the "
            f"kernel; got {_name(value.dtype)}. Convert it with astype, or change the kernel"
        )
    if buffer.is_reference and value.size != buffer.width:
        raise ShaderArgumentError(
            f"input {buffer.described}, is one {buffer.type_name} (constant T&); got an array of "
            f"shape {value.shape}"
        )
    _check_size(buffer, "input", tuple(value.shape))
    return value


def _from_numpy(buffer: Buffer, value: Any) -> mx.array:
    try:
        return mx.array(value)
    except (TypeError, ValueError) as error:
        raise ShaderArgumentError(
            f"input {buffer.described}: MLX has no type {value.dtype}"
        ) from error


def _scalar(buffer: Buffer, value: float) -> mx.array:
    """A Python number as the array that a ``constant T&`` reads."""
    low_high = _RANGES.get(buffer.dtype)
    if low_high is not None and (not isinstance(value, int) or isinstance(value, bool)):
        raise ShaderArgumentError(f"input {buffer.described}, is {buffer.type_name}; got {value!r}")
    if low_high is not None and not low_high[0] <= value <= low_high[1]:
        raise ShaderArgumentError(
            f"input {buffer.described}, is {buffer.type_name}, from {low_high[0]:,} to "
            f"{low_high[1]:,}; got {value:,}"
        )
    if not buffer.is_reference or buffer.width != 1:
        raise ShaderArgumentError(
            f"input {buffer.described}, is an array of {buffer.type_name}; got the number {value!r}"
        )
    return mx.array(value, buffer.dtype)


def _check_size(buffer: Buffer, what: str, shape: tuple[int, ...]) -> None:
    size = math.prod(shape)
    if size == 0:
        raise ShaderArgumentError(f"{what} {buffer.described}, has no elements: shape {shape}")
    if size % buffer.width:
        raise ShaderArgumentError(
            f"{what} {buffer.described}, is read as {buffer.type_name}, so its elements are a "
            f"multiple of {buffer.width}; got shape {shape}"
        )


def _outputs(
    signature: Signature,
    shapes: Sequence[Sequence[int]],
    dtypes: Sequence[mx.Dtype] | None,
) -> tuple[tuple[int, tuple[int, ...], mx.Dtype], ...]:
    expected = signature.outputs
    given = _shape_list(signature, shapes)
    if dtypes is None:
        dtypes = [buffer.dtype for buffer in expected]
    for name, values in (("output_shapes", given), ("output_dtypes", dtypes)):
        if not isinstance(values, Sequence) or len(values) != len(expected):
            count = len(values) if isinstance(values, Sequence) else type(values).__name__
            raise ShaderArgumentError(
                f"{signature.name} writes {len(expected)} buffers: {_listed(expected)}; {name} "
                f"has {count}"
            )
    outputs = []
    for buffer, shape, dtype in zip(expected, given, dtypes, strict=True):
        if dtype != buffer.dtype:
            named = _name(dtype) if isinstance(dtype, mx.Dtype) else f"{dtype!r:.40}"
            raise ShaderArgumentError(
                f"output {buffer.described}, is {_name(buffer.dtype)} ({buffer.type_name}) in the "
                f"kernel; output_dtypes says {named}"
            )
        _check_size(buffer, "output", shape)
        outputs.append((buffer.index, shape, buffer.dtype))
    return tuple(outputs)


def _shape_list(signature: Signature, shapes: Any) -> list[tuple[int, ...]]:
    if not isinstance(shapes, Sequence) or isinstance(shapes, str):
        raise ShaderArgumentError(
            f"output_shapes of {signature.name} is a list of shapes; got {type(shapes).__name__}"
        )
    checked = []
    for shape in shapes:
        is_shape = isinstance(shape, Sequence) and not isinstance(shape, str)
        if not is_shape or not all(_is_size(n) for n in shape):
            raise ShaderArgumentError(
                f"output_shapes of {signature.name} is a list of shapes, each a tuple of sizes; "
                f"got {shape!r:.80} in it"
            )
        if math.prod(shape) > _MAX_GRID:
            raise ShaderArgumentError(
                f"output_shapes of {signature.name}: {tuple(shape)} has {math.prod(shape):,} "
                f"elements; at most {_MAX_GRID:,}"
            )
        checked.append(tuple(shape))
    return checked


def _sizes(name: str, value: Any, signature: Signature) -> tuple[int, int, int]:
    sizes = (value,) if _is_int(value) else value
    if not isinstance(sizes, Sequence) or isinstance(sizes, str) or not 1 <= len(sizes) <= 3:
        raise ShaderArgumentError(
            f"{name} of {signature.name} is the number of threads in x, y and z: one to three "
            f"integers; got {value!r:.80}"
        )
    if not all(_is_int(n) and 1 <= n <= _MAX_GRID for n in sizes):
        raise ShaderArgumentError(
            f"{name} of {signature.name} has sizes from 1 to {_MAX_GRID:,}; got {value!r:.80}"
        )
    if math.prod(sizes) > _MAX_GRID:
        raise ShaderArgumentError(
            f"{name} of {signature.name} has {math.prod(sizes):,} threads; at most {_MAX_GRID:,}"
        )
    x, y, z = (*sizes, 1, 1)[:3]
    return x, y, z


def _threadgroup(
    grid: tuple[int, int, int], given_grid: Any, threadgroup: Any, signature: Signature
) -> tuple[int, int, int]:
    """The threadgroup asked for, or a usual one; never larger than the grid."""
    if threadgroup is None:
        dimensions = 1 if _is_int(given_grid) else len(given_grid)
        sizes = _DEFAULT_THREADGROUPS[dimensions]
    else:
        sizes = _sizes("threadgroup", threadgroup, signature)
        if math.prod(sizes) > MAX_THREADGROUP:
            raise ShaderArgumentError(
                f"threadgroup of {signature.name} has {math.prod(sizes):,} threads {sizes}; a GPU "
                f"takes at most {MAX_THREADGROUP:,}"
            )
    x, y, z = (min(size, threads) for size, threads in zip(sizes, grid, strict=True))
    return x, y, z


def _init_value(value: Any) -> float | None:
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    raise ShaderArgumentError(f"init_value is a number or None; got {value!r:.80}")


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_size(value: Any) -> bool:
    return _is_int(value) and 0 <= value <= _MAX_GRID


def _name(dtype: mx.Dtype) -> str:
    return str(dtype).removeprefix("mlx.core.")
