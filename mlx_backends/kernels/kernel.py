"""A kernel: one body in ``source/``, its compile-time constants, and its launch on this host."""

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_backends.errors import ConfigError
from mlx_backends.kernels import emulator
from mlx_backends.kernels.host import Host, host

_ELEMENTS = {mx.float32: (32, 0), mx.float16: (16, 0), mx.bfloat16: (16, 1)}


@dataclass(frozen=True, slots=True)
class Kernel:
    """A body with fixed constants; one compiled program on each host.

    Constants hold what makes the code itself different: data type, head size, switches. Sizes that
    differ from call to call (batch, context, table width) are read from shapes at run time.

    Attributes:
        name: Stem of the body's file in ``source/``.
        inputs: Names of the inputs in the body.
        outputs: Names of the outputs in the body.
        constants: Names and values, defined as macros before the body.
        in_place: Inputs that the kernel writes. MLX does not know of it: callers order such writes
            with an order token, an output of the writer that later readers take as an input.
        scratch: Outputs that a launch may leave partly unwritten.
        functions: Files of ``source/`` whose functions the body calls.
        reads_flat: The body takes its inputs as contiguous; MLX copies those that are not.
    """

    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: tuple[tuple[str, int], ...]
    in_place: tuple[str, ...] = ()
    scratch: tuple[str, ...] = ()
    functions: tuple[str, ...] = ()
    reads_flat: bool = False

    @property
    def defines(self) -> str:
        """The constants as the lines of C that stand before every prelude."""
        return "".join(f"#define {name} {value}\n" for name, value in self.constants)

    @property
    def body(self) -> str:
        return read_source(f"{self.name}.h")

    def gpu_text(self, prelude: str) -> tuple[str, str]:
        """Header and body as a GPU's compiler gets them: MLX hashes both at every launch."""
        return _compact(self.header(prelude)), _compact(self.body)

    def cuda_text(self) -> tuple[str, str]:
        """``gpu_text`` for CUDA as a few lines that name the files, which NVRTC reads itself.

        MLX hashes what it is given at every launch: some microseconds for the whole text.
        """
        folder = files("mlx_backends.kernels").joinpath("source")
        if not isinstance(folder, Path) or '"' in str(folder):  # a package in a ZIP file
            return self.gpu_text(read_source("prelude_cuda.h"))
        includes = [
            f'#include "{folder / file}"\n'
            for file in ("prelude_cuda.h", *self.functions, f"{self.name}.h")
        ]
        # MLX passes the shapes and strides whose names it finds in the body.
        body = self.body
        attributes = [
            f"{name}_{kind}" for name in self.inputs for kind in ("shape", "strides", "ndim")
        ]
        used = " ".join(name for name in attributes if name in body)
        return self.defines + "".join(includes[:-1]), f"// {used}\n{includes[-1]}"

    def header(self, prelude: str) -> str:
        """Everything before the body: constants, one host's prelude and shared functions."""
        return self.defines + prelude + "".join(map(read_source, self.functions))

    def launch(
        self,
        inputs: Sequence[mx.array],
        *,
        groups: tuple[int, int, int],
        group_size: int,
        output_shapes: Sequence[tuple[int, ...]],
        output_dtypes: Sequence[mx.Dtype],
    ) -> list[mx.array]:
        """Run ``groups`` threadgroups of ``group_size`` threads and return the outputs.

        Raises:
            ConfigError: No host can run kernels here.
            EmulationError: The emulator found a mistake in the kernel.
        """
        where = host()
        if where is None:
            raise ConfigError(
                "Custom kernels need Metal or CUDA, and MLX's default device has neither. Use "
                "plain MLX on a CPU, or kernels.emulated() in a test."
            )
        if where == "emulator":
            inputs = list(map(mx.contiguous, inputs)) if self.reads_flat else inputs
            return emulator.run(self, inputs, groups, group_size, output_shapes, output_dtypes)
        return _compiled(self, where)(
            inputs=list(inputs),
            grid=(groups[0] * group_size, groups[1], groups[2]),
            threadgroup=(group_size, 1, 1),
            output_shapes=output_shapes,
            output_dtypes=output_dtypes,
        )


@cache
def read_source(file: str) -> str:
    """Text of a file in ``source/``."""
    return files("mlx_backends.kernels").joinpath("source", file).read_text(encoding="utf-8")


def element_constants(dtype: mx.Dtype) -> dict[str, int]:
    """Constants that name the type of activations.

    Raises:
        ConfigError: The kernels do not compute in this type.
    """
    if dtype not in _ELEMENTS:
        names = "float32, float16 and bfloat16"
        raise ConfigError(f"Kernels take {names}, not {dtype}. Convert the arrays first.")
    bits, is_bfloat = _ELEMENTS[dtype]
    return {"ELEMENT_BITS": bits, "ELEMENT_IS_BFLOAT": is_bfloat}


def constants(*parts: Mapping[str, int], **more: int) -> tuple[tuple[str, int], ...]:
    """Several sets of constants as one, in a fixed order, with booleans as 0 and 1."""
    merged = {name: int(value) for part in (*parts, more) for name, value in part.items()}
    return tuple(sorted(merged.items()))


def num_compiled() -> int:
    """Programs made so far; on CUDA each is compiled anew in every process."""
    return _compiled.cache_info().currsize


@cache
def _compiled(kernel: Kernel, where: Host) -> Callable[..., Any]:
    header, body = kernel.gpu_text(read_source(f"prelude_{where}.h"))
    # MLX's CUDA backend keeps compiled programs on disk by their name alone.
    digest = hashlib.sha256((header + body).encode()).hexdigest()[:12]
    if where == "cuda":
        header, body = kernel.cuda_text()
    make: Callable[..., Any] = mx.fast.metal_kernel if where == "metal" else mx.fast.cuda_kernel
    return make(
        name=f"{kernel.name}_{digest}",
        input_names=list(kernel.inputs),
        output_names=list(kernel.outputs),
        source=body,
        header=header,
        ensure_row_contiguous=kernel.reads_flat,
    )


def _compact(text: str) -> str:
    """The text without comments, indentation and empty lines."""
    lines = (line.partition("//")[0].strip() for line in text.splitlines())
    return "".join(f"{line}\n" for line in lines if line)
