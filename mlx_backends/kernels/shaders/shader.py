"""``compile_shader`` and ``launch``: Metal kernel functions as their authors write them."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import mlx.core as mx

from mlx_backends.errors import ShaderArgumentError, ShaderSyntaxError
from mlx_backends.kernels.emulator import Schedule
from mlx_backends.kernels.host import host
from mlx_backends.kernels.shaders import emulated, gpu
from mlx_backends.kernels.shaders.parser import parse
from mlx_backends.kernels.shaders.plan import plan_launch
from mlx_backends.kernels.shaders.signature import Signature
from mlx_backends.kernels.shaders.translation import check_words

MAX_SOURCE_BYTES = 1 << 20
_TIME_LIMIT_S = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Shader:
    """A kernel function that ``launch`` can run, from ``compile_shader``.

    Attributes:
        source: The Metal text.
        signature: What it takes.
    """

    source: str = field(repr=False)
    signature: Signature = field(repr=False)

    @property
    def name(self) -> str:
        return self.signature.name

    def __repr__(self) -> str:
        buffers = ", ".join(
            f"{'in' if buffer.is_const else 'out'} {buffer.type_name} {buffer.name}"
            for buffer in self.signature.buffers
        )
        return f"Shader({self.name}: {buffers})"


def compile_shader(source: str, name: str | None = None) -> Shader:
    """Read a Metal kernel function; the compiler itself runs at the first launch.

    Args:
        source: Text with one function ``kernel void name(...)`` or more, and what it calls.
        name: Which function; None is the only one.

    Raises:
        ShaderSyntaxError: There is no such function, or its signature cannot be launched.
    """
    if not isinstance(source, str):
        raise ShaderSyntaxError(f"the source is text; got {type(source).__name__}")
    if not isinstance(name, str | None):
        raise ShaderSyntaxError(f"the name is text; got {type(name).__name__}")
    return _read(source, name)


@lru_cache(maxsize=256)
def _read(source: str, name: str | None) -> Shader:
    """``compile_shader``, once for each text: functions may ask for their kernel at every call."""
    size = len(source.encode("utf-8", "surrogatepass"))
    if size > MAX_SOURCE_BYTES or not source.isascii():
        raise ShaderSyntaxError(
            f"the source has {size:,} bytes; at most {MAX_SOURCE_BYTES:,} of ASCII are read"
        )
    if "\0" in source or "%:" in source:
        raise ShaderSyntaxError("the source holds a NUL or the digraph %:")
    signature = parse(source.replace("\r\n", "\n"), name)
    check_words((*signature.before, *signature.body))
    return Shader(source, signature)


def launch(
    kernel: Shader,
    grid: int | Sequence[int],
    inputs: Sequence[Any],
    output_shapes: Sequence[Sequence[int]],
    output_dtypes: Sequence[mx.Dtype] | None = None,
    *,
    threadgroup: int | Sequence[int] | None = None,
    init_value: float | None = None,
    time_limit_s: float = _TIME_LIMIT_S,
    schedule: Schedule = "forward",
) -> list[mx.array]:
    """Run a kernel on Metal or CUDA where MLX has one, else on the emulator.

    Inputs are the buffers that the kernel only reads (``device const T*``, ``constant T*``,
    ``constant T&``), outputs those that it writes (``device T*``), both in the order of their
    indices. On the emulator the result is computed at once, in a child process.

    Args:
        kernel: From ``compile_shader``.
        grid: Threads in x, y and z; one to three numbers.
        inputs: An array for each input, in the type that the kernel names; a number stands for a
            ``constant T&``.
        output_shapes: A shape for each output.
        output_dtypes: Types of the outputs; None is what the kernel names.
        threadgroup: Threads of a threadgroup; None is 256, 32 x 8 or 8 x 8 x 4.
        init_value: What outputs hold before the kernel runs; without it they hold nothing, and the
            emulator refuses a kernel that leaves a part unwritten.
        time_limit_s: Processor time that the emulator gives the kernel. A GPU cannot be stopped.
        schedule: In which order the emulator runs threads: a correct kernel gives the same in each.

    Raises:
        ShaderArgumentError: The arguments do not fit the signature.
        ShaderSyntaxError: The compiler refuses the text; says the line.
        ConfigError: There is neither a GPU nor a C++ compiler.
        ShaderFaultError: On the emulator: an access out of bounds, a race, a divergent barrier, a
            crash, or a loop without an end; says the element or the thread.
    """
    if not isinstance(kernel, Shader):
        raise ShaderArgumentError(f"kernel comes from compile_shader; got {type(kernel).__name__}")
    if not (isinstance(time_limit_s, int | float) and 0.001 <= time_limit_s <= 3_600):
        raise ShaderArgumentError(f"time_limit_s is 0.001 to 3,600; got {time_limit_s!r:.40}")
    signature = kernel.signature
    plan = plan_launch(
        signature, grid, inputs, output_shapes, output_dtypes, threadgroup, init_value
    )
    where = host()
    if where in ("metal", "cuda"):
        return gpu.run(signature, plan, where)
    return emulated.run(signature, plan, time_limit_s=time_limit_s, schedule=schedule)
