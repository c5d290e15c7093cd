"""One launch on the emulator: the program's text, its arguments, and what it left unwritten."""

import ctypes
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import mlx.core as mx
import numpy as np

from mlx_backends.kernels.emulator.compiler import load
from mlx_backends.kernels.emulator.errors import EmulationError

if TYPE_CHECKING:
    from mlx_backends.kernels.kernel import Kernel

Schedule = Literal["forward", "reverse", "shuffled"]
_SCHEDULES: tuple[Schedule, ...] = ("forward", "reverse", "shuffled")
_C_TYPES = {
    mx.float32: "float",
    mx.float16: "Half",
    mx.bfloat16: "BFloat16",
    mx.int32: "int",
    mx.uint16: "ushort",
    mx.uint32: "uint",
}
_MESSAGE_BYTES = 1_000
_schedule: Schedule = "forward"

_RUN = """
extern "C" __attribute__((visibility("default"))) void run(
    emulator::Array* arrays, const unsigned* groups, unsigned group_size, int schedule,
    char* message, int size) {
  const std::string error = emulator::run_grid(
      {groups[0], groups[1], groups[2]}, {group_size, 1, 1}, schedule, kernel_body, arrays);
  std::strncpy(message, error.c_str(), size - 1);
}
"""


class _Array(ctypes.Structure):
    """``emulator::Array`` of memory.h."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("data", ctypes.c_void_p),
        ("size", ctypes.c_int64),
        ("item_bytes", ctypes.c_int64),
        ("writers", ctypes.c_void_p),
        ("shape", ctypes.c_void_p),
        ("strides", ctypes.c_void_p),
    )


@dataclass(frozen=True, slots=True)
class _Argument:
    """An array as the kernel sees it, and a record of who wrote each of its elements."""

    name: str
    view: np.ndarray
    writers: np.ndarray | None
    shape: np.ndarray
    strides: np.ndarray

    @classmethod
    def of(cls, name: str, array: mx.array, *, is_written: bool) -> "_Argument":
        view = _numpy_view(array)
        strides = np.array(view.strides, np.int64) // view.itemsize
        shape = np.array(view.shape, np.int32)
        reach = int(((shape - 1) * strides).sum()) + 1 if view.size else 0
        writers = np.zeros(reach, np.int32) if is_written else None
        return cls(name, view, writers, shape, strides)

    @property
    def struct(self) -> _Array:
        reach = int(((self.shape - 1) * self.strides).sum()) + 1 if self.view.size else 0
        return _Array(
            self.name.encode(),
            self.view.ctypes.data,
            reach,
            self.view.itemsize,
            self.writers.ctypes.data if self.writers is not None else None,
            self.shape.ctypes.data,
            self.strides.ctypes.data,
        )


@contextmanager
def scheduled(schedule: Schedule) -> Iterator[None]:
    """Run threads in this order inside the block: a correct kernel gives the same in each."""
    global _schedule
    before, _schedule = _schedule, schedule
    try:
        yield
    finally:
        _schedule = before


def run(
    kernel: "Kernel",
    inputs: Sequence[mx.array],
    groups: tuple[int, int, int],
    group_size: int,
    output_shapes: Sequence[tuple[int, ...]],
    output_dtypes: Sequence[mx.Dtype],
) -> list[mx.array]:
    """Run a kernel on the CPU; inputs that it declares as in place are changed in place.

    Raises:
        EmulationError: The kernel did what a GPU does not allow, or does not compile.
    """
    # Ones in every bit are NaN: a result that rests on unwritten memory shows.
    outputs = [
        _filled(shape, dtype) for shape, dtype in zip(output_shapes, output_dtypes, strict=True)
    ]
    mx.eval(inputs, outputs)
    arguments = [
        _Argument.of(name, array, is_written=name in kernel.in_place)
        for name, array in zip(kernel.inputs, inputs, strict=True)
    ]
    arguments += [
        _Argument.of(name, array, is_written=True)
        for name, array in zip(kernel.outputs, outputs, strict=True)
    ]
    dtypes = [array.dtype for array in inputs]
    program = load(program_text(kernel, dtypes, output_dtypes))
    structs = (_Array * len(arguments))(*[argument.struct for argument in arguments])
    message = ctypes.create_string_buffer(_MESSAGE_BYTES)
    program.run(
        structs,
        (ctypes.c_uint * 3)(*groups),
        ctypes.c_uint(group_size),
        _SCHEDULES.index(_schedule),
        message,
        _MESSAGE_BYTES,
    )
    if message.value:
        raise EmulationError(f"{kernel.name}: {message.value.decode()}")
    _check_outputs(kernel, arguments[len(inputs) :])
    return outputs


def program_text(
    kernel: "Kernel", input_dtypes: Sequence[mx.Dtype], output_dtypes: Sequence[mx.Dtype]
) -> str:
    """The C++ program: constants and prelude, then the body as a function of its arrays."""
    lines = []
    names = [*kernel.inputs, *kernel.outputs]
    for i, (name, dtype) in enumerate(zip(names, [*input_dtypes, *output_dtypes], strict=True)):
        const = "const " if i < len(kernel.inputs) else ""
        lines.append(
            f"  const emulator::DevicePointer<{const}{_C_TYPES[dtype]}> {name}{{&arrays[{i}], 0}};"
        )
        for attribute in ("shape", "strides"):
            if i < len(kernel.inputs) and f"{name}_{attribute}" in kernel.body:
                lines.append(f"  const auto* {name}_{attribute} = arrays[{i}].{attribute};")
    return (
        kernel.header('#include "prelude.h"\n')
        + "static void kernel_body(emulator::Array* arrays) {\n"
        + "\n".join(lines)
        + f'\n#line 1 "{kernel.name}.h"\n{kernel.body}\n}}\n'
        + _RUN
    )


def _check_outputs(kernel: "Kernel", outputs: Sequence[_Argument]) -> None:
    for argument in outputs:
        if argument.name in kernel.scratch or argument.writers is None:
            continue
        missing = np.flatnonzero(argument.writers == 0)
        if missing.size:
            raise EmulationError(
                f"{kernel.name}: unwritten output {argument.name}[{missing[0]}], and "
                f"{missing.size - 1} more of {argument.writers.size} elements"
            )


def _filled(shape: tuple[int, ...], dtype: mx.Dtype) -> mx.array:
    words = np.full((*shape[:-1], shape[-1] * dtype.size), 0xFF, np.uint8)
    return mx.array(words).view(dtype)


def _numpy_view(array: mx.array) -> np.ndarray[Any, Any]:
    """A view of the array's own memory."""
    if array.dtype == mx.bfloat16:
        array = array.view(mx.uint16)
        mx.eval(array)
    return np.array(array, copy=False)
