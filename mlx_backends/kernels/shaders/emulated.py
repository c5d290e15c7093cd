"""A user's kernel on the emulator: C++ text, a program of its own, and one child process a launch.

Owns the child: its memory, its limits and its end. A kernel that crashes or never ends costs its
child, never this process. This is protection against mistakes, not a sandbox: a shader is a program
of the caller's, with the caller's rights.
"""

import mmap
import re
import subprocess
import tempfile
from functools import lru_cache
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_backends.errors import (
    ConfigError,
    ShaderArgumentError,
    ShaderFaultError,
    ShaderSyntaxError,
)
from mlx_backends.kernels.emulator import EmulationError, Schedule, is_available
from mlx_backends.kernels.emulator.compiler import user_program
from mlx_backends.kernels.shaders.plan import LaunchPlan
from mlx_backends.kernels.shaders.signature import POSITIONS, Buffer, Signature
from mlx_backends.kernels.shaders.translation import translate

_MESSAGE_BYTES = 2_048  # as in metal_process.h
_ALIGNMENT = 64
_SCHEDULES: tuple[Schedule, ...] = ("forward", "reverse", "shuffled")
_CPP_TYPES = {"char": "signed char", "long": "int64_t", "ulong": "uint64_t"}
_ASSERTION = re.compile(
    r"\.metal:(?P<line>\d+):\d+: +required from .*static assertion failed: (?P<text>[^\n]*)", re.S
)
_ERROR = re.compile(r"\.metal:(?P<line>\d+):(?:\d+:)? (?:fatal )?error: (?P<text>.*)")
# A busy machine may give the child little of its time: this limit is for one that is stuck.
_PATIENCE = 6.0
_START_S = 10.0


def run(
    signature: Signature, plan: LaunchPlan, *, time_limit_s: float, schedule: Schedule
) -> list[mx.array]:
    """Run a launch on this machine's processor.

    Raises:
        ConfigError: There is no C++ compiler.
        ShaderSyntaxError: It refuses the text.
        ShaderFaultError: The kernel did what a GPU does not allow, crashed, or used up its time.
    """
    if not is_available():
        raise ConfigError(
            "Shaders need Metal, CUDA, or a C++ compiler for the emulator: install g++ or clang++."
        )
    program = _program(signature)
    _evaluate(plan)
    offsets, size = _layout(plan)
    with tempfile.TemporaryFile(prefix="mlx-backends-shader-") as file:
        file.truncate(size)
        with mmap.mmap(file.fileno(), size) as memory:
            for index, array in plan.arrays.items():
                _write(memory, offsets[index], array)
            if plan.init_value is not None:
                for index, shape, dtype in plan.outputs:
                    _write(memory, offsets[index], mx.full(shape, plan.init_value, dtype))
            arguments = [
                file.fileno(), size, int(time_limit_s * 1_000), _SCHEDULES.index(schedule),
                *plan.grid, *plan.threadgroup, int(plan.init_value is not None),
            ]  # fmt: skip
            for buffer in signature.buffers:
                count = plan.num_elements[buffer.index] // buffer.width
                arguments += [offsets[buffer.index], count]
            _wait(signature, [str(program), *map(str, arguments)], file.fileno(), time_limit_s)
            _check(signature, memory)
            return [
                _read(memory, offsets[index], shape, dtype) for index, shape, dtype in plan.outputs
            ]


def _evaluate(plan: LaunchPlan) -> None:
    try:
        mx.eval(plan.inputs)
    except (RuntimeError, ValueError) as error:
        raise ShaderArgumentError(
            f"an input cannot be computed here: {error!s:.300}. The emulator needs its inputs at "
            "once, so it works neither under mx.compile nor on another thread's lazy arrays"
        ) from error


@lru_cache(maxsize=256)
def program_text(signature: Signature) -> str:
    """The C++ program of a kernel function."""
    file = f"{signature.name}.metal"
    buffers = ", ".join(_declared_buffer(buffer) for buffer in signature.buffers)
    before = translate(signature.before, "emulator", is_body=False)
    body = translate(signature.body, "emulator", is_body=True)
    return f"""#include "metal.h"
using namespace metal;
#line 1 "{file}"
{before}
#line 1 "generated.cpp"
static emulator::Buffer buffers[] = {{{buffers}}};
static void kernel_body(emulator::Array*) {{
{_declared_parameters(signature)}
{{
#line {signature.body_line} "{file}"
{body}
#line 1 "generated.cpp"
}}
}}
#include "metal_process.h"
int main(int argc, char** argv) {{
  return emulator::run_process(argc, argv, buffers, {len(signature.buffers)}, kernel_body);
}}
"""


def _declared_buffer(buffer: Buffer) -> str:
    is_output = "false" if buffer.is_const else "true"
    return f'{{"{buffer.name}", sizeof({_cpp_type(buffer)}), {is_output}}}'


def _declared_parameters(signature: Signature) -> str:
    lines = []
    for i, buffer in enumerate(signature.buffers):
        const = "const " if buffer.is_const else ""
        pointer = f"emulator::Pointer<{const}{_cpp_type(buffer)}>"
        if buffer.is_reference:
            value = f"{pointer}(&buffers[{i}], 0)[0]"
            lines.append(f"const {_cpp_type(buffer)} {buffer.name} = {value};")
        else:
            lines.append(f"{pointer} {buffer.name}(&buffers[{i}], 0);")
    for position in signature.positions:
        value = f"emulator::{position.attribute}()"
        if position.attribute in POSITIONS:
            value = ", ".join(f"{value}.{part}" for part in "xyz"[: position.width])
        lines.append(f"const {position.type_name} {position.name}({value});")
    return "\n".join(lines)


def _program(signature: Signature) -> Any:
    try:
        return user_program(program_text(signature))
    except EmulationError as error:
        raise _syntax_error(signature, str(error)) from error
    except subprocess.TimeoutExpired as error:
        raise ShaderSyntaxError(f"kernel {signature.name}: compiling it takes too long") from error


def _syntax_error(signature: Signature, text: str) -> ShaderSyntaxError:
    found = _ASSERTION.search(text) or _ERROR.search(text)
    if found is not None:
        return ShaderSyntaxError(
            f"kernel {signature.name} does not compile: {found['text']}", int(found["line"])
        )
    first = next((line for line in text.splitlines() if "error" in line), text.strip())
    return ShaderSyntaxError(f"kernel {signature.name} does not compile: {first:.300}")


def _cpp_type(buffer: Buffer) -> str:
    if buffer.width > 1:
        return buffer.type_name
    return _CPP_TYPES.get(buffer.element, buffer.element)


def _layout(plan: LaunchPlan) -> tuple[dict[int, int], int]:
    """Offset of each buffer in the shared file, and the file's size."""
    offsets: dict[int, int] = {}
    end = _MESSAGE_BYTES
    for index, num_bytes in plan.num_bytes.items():
        offsets[index] = end
        end += -(-max(num_bytes, 1) // _ALIGNMENT) * _ALIGNMENT
    return offsets, end


def _wait(signature: Signature, command: list[str], descriptor: int, time_limit_s: float) -> None:
    process = subprocess.Popen(
        command,
        pass_fds=(descriptor,),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={},
        cwd="/",
    )
    try:
        process.wait(_START_S + _PATIENCE * time_limit_s)
    except subprocess.TimeoutExpired:
        raise ShaderFaultError(
            f"kernel {signature.name} did not end and was stopped: a loop does not end, or "
            "time_limit_s is too short"
        ) from None
    finally:
        process.kill()
        process.wait()
    if process.returncode not in (0, 1):
        raise ShaderFaultError(
            f"kernel {signature.name} ended its process with status {process.returncode}: it "
            "crashed, or asked for too much memory"
        )


def _check(signature: Signature, memory: mmap.mmap) -> None:
    message = memory[:_MESSAGE_BYTES].split(b"\0", 1)[0].decode(errors="replace")
    if message:
        raise ShaderFaultError(f"kernel {signature.name}: {message}")


def _write(memory: mmap.mmap, offset: int, array: mx.array) -> None:
    data = _bytes_of(array)
    memory[offset : offset + len(data)] = data


def _bytes_of(array: mx.array) -> bytes:
    flat = mx.contiguous(array.reshape(-1))
    return np.array(flat.view(mx.uint8) if flat.size else flat.astype(mx.uint8)).tobytes()


def _read(memory: mmap.mmap, offset: int, shape: tuple[int, ...], dtype: mx.Dtype) -> mx.array:
    count = int(np.prod(shape, dtype=np.int64))
    words = np.frombuffer(memory[offset : offset + count * dtype.size], np.uint8)
    if not count:
        return mx.zeros(shape, dtype)
    return mx.array(words).view(dtype).reshape(shape)
