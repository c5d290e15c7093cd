"""What an encoder's layer is made of, on a CPU: NumPy arrays in and out, loops in C.

MLX's CPU backend computes every operation of a graph on its own, on one thread, with vectors of
four numbers. These functions finish a product while it is in registers (``host_encoder.c``), and
other Python threads run meanwhile. Their readable twins are the layers of ``models.encoders.bert``.

Letters: N tokens of all texts, laid end to end without padding; D hidden size, H heads.
"""

import ctypes
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlx_backends import fast_blas
from mlx_backends.native_library import compiled, find_compiler

Floats = NDArray[np.float32]

_SOURCE = Path(__file__).with_suffix(".c")
_OPTIONS = ("-O3", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math", "-lm")
_NATIVE = ("-march=native",)
_WHOLE_VECTORS = ("-mprefer-vector-width=512",)  # compilers choose half by themselves
_LONG, _INT, _FLOAT, _ARRAY = ctypes.c_long, ctypes.c_int, ctypes.c_float, ctypes.c_void_p
_ARGUMENTS = {
    "pack": [_LONG, _LONG, _ARRAY, _LONG, _LONG, _ARRAY],
    "linear": [_LONG, _LONG, _LONG, _ARRAY, _ARRAY, _ARRAY, _INT, _ARRAY],
    "add_norm": [_LONG, _LONG, _ARRAY, _ARRAY, _ARRAY, _ARRAY, _FLOAT, _ARRAY],
    "attend": [_LONG, _ARRAY, _LONG, _LONG, _ARRAY, _ARRAY, _ARRAY],
    "attend_scratch": [_LONG, _LONG],
}


@dataclass(frozen=True, slots=True)
class Linear:
    """A linear layer's weight, as ``HostEncoder.pack`` lays it out.

    Attributes:
        panels: The weight, columns rounded up to whole panels.
        bias: As long.
        columns: Numbers of a result.
        depth: Numbers of an input.
    """

    panels: Floats
    bias: Floats
    columns: int
    depth: int


class HostEncoder:
    """The functions, compiled for this machine. They may be called from several threads at once.

    Args:
        machine: Options that tell the compiler which instructions there are.

    Raises:
        OSError, subprocess.SubprocessError: They cannot be compiled.
    """

    def __init__(self, machine: tuple[str, ...] = _NATIVE) -> None:
        compiler = find_compiler()
        if compiler is None:
            raise OSError("no C compiler was found; install gcc")
        library = compiled(compiler, _SOURCE, (*_OPTIONS, *machine), stamp=_instructions())
        self._library = ctypes.CDLL(str(library))
        for name, types in _ARGUMENTS.items():
            getattr(self._library, name).argtypes = types
        self._library.attend_scratch.restype = _LONG
        self._panel = int(self._library.panel_columns())

    def pack(self, weight: Floats, bias: Floats) -> Linear:
        """Lay a layer's weight out for ``linear``.

        Shapes: weight (columns, depth), bias (columns,).
        """
        columns, depth = weight.shape
        rounded = -(-columns // self._panel) * self._panel
        panels = np.empty((rounded, depth), np.float32)
        weight = np.ascontiguousarray(weight, np.float32)
        self._library.pack(depth, columns, _at(weight), 1, depth, _at(panels))
        return Linear(panels, np.pad(bias, (0, rounded - columns)), columns, depth)

    def linear(self, x: Floats, layer: Linear, *, with_gelu: bool = False) -> Floats:
        """``x @ weight.T + bias``, and GELU of it if asked for.

        Shapes: x (N, depth). Returns (N, columns).
        """
        y = np.empty((len(x), layer.columns), np.float32)
        self._library.linear(
            *(len(x), layer.columns, layer.depth),
            *(_at(x), _at(layer.panels), _at(layer.bias), with_gelu, _at(y)),
        )
        return y

    def add_norm(
        self, x: Floats, residual: Floats, weight: Floats, bias: Floats, epsilon: float
    ) -> Floats:
        """Layer norm of ``x + residual``.

        Shapes: x and residual (N, D), weight and bias (D,). Returns (N, D).
        """
        y = np.empty_like(x)
        self._library.add_norm(
            *(*x.shape, _at(x), _at(residual), _at(weight), _at(bias), epsilon, _at(y))
        )
        return y

    def attend(self, qkv: Floats, starts: NDArray[np.int64], num_heads: int) -> Floats:
        """Attention of each text's tokens to all of its own.

        Shapes: qkv (N, 3 D), queries, keys and values side by side; starts (number of texts + 1,),
            where each text begins, and N. Returns (N, D).
        """
        size = qkv.shape[1] // 3
        width, longest = size // num_heads, int(np.diff(starts).max())
        scratch = np.empty(self._library.attend_scratch(longest, width), np.float32)
        y = np.empty((len(qkv), size), np.float32)
        self._library.attend(
            *(len(starts) - 1, _at(starts), num_heads, width, _at(qkv), _at(scratch), _at(y))
        )
        return y


@dataclass(frozen=True, slots=True)
class Status:
    """Whether the functions are here, and why not."""

    encoder: HostEncoder | None
    reason: str


@cache
def status() -> Status:
    """The functions compiled for this machine, if they can be."""
    if sys.platform != "linux":
        return Status(None, "MLX uses the platform's own libraries here")
    if fast_blas.is_off():
        return Status(None, "MLX_BACKENDS_BLAS=off")
    try:
        return Status(HostEncoder(_machine()), "compiled for this machine")
    except (OSError, subprocess.SubprocessError) as error:
        return Status(None, f"could not be compiled: {error}")


def _machine() -> tuple[str, ...]:
    return _NATIVE + (_WHOLE_VECTORS if "avx512f" in _instructions() else ())


@cache
def _instructions() -> str:
    """What this machine's processors can do: a cache folder may move to others."""
    wanted = ("flags", "Features")
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line for line in lines if line.startswith(wanted)), "")


def _at(array: NDArray[np.generic]) -> int:
    return array.ctypes.data
