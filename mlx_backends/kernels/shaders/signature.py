"""What a Metal kernel function takes: buffers with their types, and positions in the grid.

Source: Metal Shading Language Specification, sections "Function Attributes", "Address Spaces" and
"Attributes for Kernel Function Input Arguments".
"""

from dataclasses import dataclass
from typing import Literal

import mlx.core as mx

from mlx_backends.kernels.shaders.tokens import Token

SCALAR_TYPES = {
    "float": mx.float32,
    "half": mx.float16,
    "bfloat": mx.bfloat16,
    "char": mx.int8,
    "short": mx.int16,
    "int": mx.int32,
    "long": mx.int64,
    "uchar": mx.uint8,
    "ushort": mx.uint16,
    "uint": mx.uint32,
    "ulong": mx.uint64,
    "bool": mx.bool_,
    "int8_t": mx.int8,
    "int16_t": mx.int16,
    "int32_t": mx.int32,
    "int64_t": mx.int64,
    "uint8_t": mx.uint8,
    "uint16_t": mx.uint16,
    "uint32_t": mx.uint32,
    "uint64_t": mx.uint64,
}
_VECTOR_BASES = ("float", "half", "char", "short", "int", "uchar", "ushort", "uint")
# Three-wide vectors lie at multiples of four elements, which no array of MLX does.
VECTOR_TYPES = {f"{base}{width}": (base, width) for base in _VECTOR_BASES for width in (2, 4)}
POSITIONS = (
    "thread_position_in_grid",
    "threads_per_grid",
    "thread_position_in_threadgroup",
    "threads_per_threadgroup",
    "threadgroup_position_in_grid",
    "threadgroups_per_grid",
)


@dataclass(frozen=True, slots=True)
class Buffer:
    """An array that the kernel reads or writes.

    Attributes:
        name: Of the parameter.
        index: Of ``[[buffer(index)]]``.
        space: Address space.
        is_const: Whether the kernel only reads it; else it is an output.
        is_reference: Whether it is one value rather than an array.
        element: Metal's name of the scalar type.
        width: Elements of a vector type; 1 for a scalar.
        line: Line of the parameter.
    """

    name: str
    index: int
    space: Literal["device", "constant"]
    is_const: bool
    is_reference: bool
    element: str
    width: int
    line: int

    @property
    def dtype(self) -> mx.Dtype:
        return SCALAR_TYPES[self.element]

    @property
    def type_name(self) -> str:
        return self.element if self.width == 1 else f"{self.element}{self.width}"

    @property
    def described(self) -> str:
        return f"{self.name!r}, buffer {self.index}"


@dataclass(frozen=True, slots=True)
class Position:
    """Where a thread is, or how large something is.

    Attributes:
        name: Of the parameter.
        attribute: Metal's attribute.
        type_name: Type of the parameter, such as ``uint2``.
        width: Its components.
    """

    name: str
    attribute: str
    type_name: str
    width: int


@dataclass(frozen=True, slots=True, eq=False)
class Signature:
    """A kernel function taken apart. One is itself only, so that it is a cheap key of a cache.

    Attributes:
        name: Of the function.
        buffers: In the order of their indices.
        positions: In the order of the parameters.
        before: Everything of the source before the function, other kernels blanked.
        body: What stands between the function's braces.
        body_line: Line on which ``body`` begins.
    """

    name: str
    buffers: tuple[Buffer, ...]
    positions: tuple[Position, ...]
    before: tuple[Token, ...]
    body: tuple[Token, ...]
    body_line: int

    @property
    def inputs(self) -> tuple[Buffer, ...]:
        return tuple(buffer for buffer in self.buffers if buffer.is_const)

    @property
    def outputs(self) -> tuple[Buffer, ...]:
        return tuple(buffer for buffer in self.buffers if not buffer.is_const)
