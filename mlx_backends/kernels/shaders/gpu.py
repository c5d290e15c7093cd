"""A user's kernel on Metal or CUDA, through MLX's custom kernels.

MLX writes the signature itself, from the arrays of a call. So the user's function is taken apart:
its body becomes MLX's source, behind lines that give MLX's names back the user's, and what stands
before the function becomes MLX's header. ``#line`` keeps the user's lines in compiler messages.
"""

import hashlib
import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, Literal

import mlx.core as mx

from mlx_backends.errors import ShaderSyntaxError
from mlx_backends.kernels.kernel import read_source
from mlx_backends.kernels.shaders.plan import LaunchPlan
from mlx_backends.kernels.shaders.signature import POSITIONS, Buffer, Signature
from mlx_backends.kernels.shaders.tokens import text_of
from mlx_backends.kernels.shaders.translation import translate

Gpu = Literal["metal", "cuda"]

# MLX puts arrays of fewer elements into another address space, in which the user's text may not
# compile.
_MIN_ELEMENTS = 8
_CUDA_PRELUDE = ("metal_on_cuda.h", "metal_language.h", "metal_threads_on_cuda.h")
_ERROR = re.compile(r"\.metal[:(](?P<line>\d+)[:)].*?error:? (?P<text>.*)")


def run(signature: Signature, plan: LaunchPlan, gpu: Gpu) -> list[mx.array]:
    """Launch a kernel, lazily but for its first launch, which is compiled and waited for.

    Raises:
        ShaderSyntaxError: The compiler refuses the text.
    """
    inputs = [
        _padded(array) if not buffer.is_reference else array.reshape(-1)
        for buffer, array in zip(signature.inputs, plan.inputs, strict=True)
    ]
    compiled = _compiled(signature, gpu)
    outputs = compiled.make(
        inputs=[*inputs, mx.array([*plan.grid, 0, 0, 0, 0, 0], mx.uint32)],
        grid=plan.grid,
        threadgroup=plan.threadgroup,
        output_shapes=[shape for _, shape, _ in plan.outputs],
        output_dtypes=[dtype for *_, dtype in plan.outputs],
        init_value=plan.init_value,
    )
    if not compiled.has_run:
        try:
            mx.eval(outputs)
        except (RuntimeError, ValueError) as error:
            raise _syntax_error(signature, str(error)) from error
        compiled.has_run = True
    return outputs


class _Compiled:
    """MLX's function for a kernel, and whether it has compiled."""

    def __init__(self, make: Callable[..., Any]) -> None:
        self.make = make
        self.has_run = False


@lru_cache(maxsize=256)
def _compiled(signature: Signature, gpu: Gpu) -> _Compiled:
    header, source = texts(signature, gpu)
    # MLX's CUDA backend keeps compiled programs on disk by their name alone.
    digest = hashlib.sha256((header + source).encode()).hexdigest()[:12]
    make: Callable[..., Any] = mx.fast.metal_kernel if gpu == "metal" else mx.fast.cuda_kernel
    return _Compiled(
        make(
            name=f"{signature.name}_{digest}",
            input_names=[*map(_mlx_name, signature.inputs), "shader_threads"],
            output_names=list(map(_mlx_name, signature.outputs)),
            source=source,
            header=header,
            ensure_row_contiguous=True,
        )
    )


def texts(signature: Signature, gpu: Gpu) -> tuple[str, str]:
    """Header and source for MLX."""
    file = f"{signature.name}.metal"
    if gpu == "metal":
        before, body = text_of(signature.before), text_of(signature.body)
        prelude = "#include <metal_stdlib>\nusing namespace metal;\n"
    else:
        before = translate(signature.before, "cuda", is_body=False)
        body = translate(signature.body, "cuda", is_body=True)
        prelude = "".join(map(read_source, _CUDA_PRELUDE))
    header = f'{prelude}#line 1 "{file}"\n{before}\n'
    lines = [_buffer_line(buffer, gpu) for buffer in signature.buffers]
    lines += _position_lines(signature, gpu)
    source = "\n".join(lines) + f'\n#line {signature.body_line} "{file}"\n{body}\n}}\n'
    return header, source


def _mlx_name(buffer: Buffer) -> str:
    return f"shader_buffer_{buffer.index}"


def _buffer_line(buffer: Buffer, gpu: Gpu) -> str:
    name = _mlx_name(buffer)
    space = "device " if gpu == "metal" else ""
    const = "const " if buffer.is_const else ""
    if buffer.width > 1:
        name = f"(({const}{space}{buffer.type_name}*){name})"
    if buffer.is_reference:
        return f"const auto {buffer.name} = {name}[0];"
    return f"auto {buffer.name} = {name};"


def _position_lines(signature: Signature, gpu: Gpu) -> list[str]:
    """Positions under the user's names, which may be the attributes' own."""
    before, after = [], []
    if gpu == "cuda":
        # CUDA launches whole blocks; Metal cuts those at the edge of the grid.
        before.append("if (shader_is_outside(shader_threads)) return;")
    for i, position in enumerate(signature.positions):
        value = position.attribute
        if gpu == "cuda":
            value = f"shader_{value}(shader_threads)"
        before.append(f"const auto shader_position_{i} = {value};")
        parts = f"shader_position_{i}"
        if position.attribute in POSITIONS:
            parts = ", ".join(f"{parts}.{part}" for part in "xyz"[: position.width])
        after.append(f"const {position.type_name} {position.name} = {position.type_name}({parts});")
    return [*before, "{", *after]


def _padded(array: mx.array) -> mx.array:
    missing = _MIN_ELEMENTS - array.size
    return mx.pad(array.reshape(-1), (0, missing)) if missing > 0 else array


def _syntax_error(signature: Signature, text: str) -> ShaderSyntaxError:
    found = _ERROR.search(text)
    line = int(found["line"]) if found else None
    said = found["text"] if found else " ".join(text.split())[:300]
    return ShaderSyntaxError(f"kernel {signature.name} does not compile: {said}", line)
