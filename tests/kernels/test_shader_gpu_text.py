"""What MLX would hand to Apple's and NVIDIA's compilers for a user's kernel, checked without a GPU.

See test_gpu_text.py for what has to be installed.
"""

import mlx.core as mx
import pytest

from mlx_backends.kernels import compile_shader
from mlx_backends.kernels.shaders import gpu

from .shader_cases import (
    ADD,
    BLOCK_SUM,
    DEVICE_BARRIER,
    GEOMETRY,
    HALVES,
    HELPERS,
    MATMUL,
    POINTERS,
    TYPES,
    VECTORS,
)
from .test_gpu_text import CUDA_START, CUDA_TYPES, clang_errors, nvrtc_log

SOURCES = {
    "add": ADD,
    "sum": BLOCK_SUM,
    "matmul": MATMUL,
    "helpers": HELPERS.split("kernel void other")[0] + HELPERS.split("undeclared; }")[1],
    "pointers": POINTERS,
    "types": TYPES,
    "barrier": DEVICE_BARRIER,
    "vectors": VECTORS,
    "geometry": GEOMETRY,
    "halves": HALVES,
}
TYPES_OF_CUDA = CUDA_TYPES | {
    mx.uint8: "uint8_t",
    mx.int8: "int8_t",
    mx.bool_: "bool",
    mx.int64: "int64_t",
    mx.uint64: "uint64_t",
}


def cuda_text(source: str) -> str:
    """The source as MLX's CUDA backend writes it (mlx/backend/cuda/custom_kernel.cpp)."""
    signature = compile_shader(source).signature
    header, body = gpu.texts(signature, "cuda")
    inputs = [f"const {TYPES_OF_CUDA[b.dtype]}* shader_buffer_{b.index}" for b in signature.inputs]
    outputs = [f"{TYPES_OF_CUDA[b.dtype]}* shader_buffer_{b.index}" for b in signature.outputs]
    parameters = ", ".join([*inputs, "const uint32_t* shader_threads", *outputs])
    return (
        f"{CUDA_START}{header}namespace mlx::core::cu {{\n__global__ void kernel_main("
        f"{parameters}) {{\n{body}\n}}\n}}\n"
    )


def metal_text(source: str) -> str:
    """The source as MLX's Metal backend writes it, taken from an exported call."""
    signature = compile_shader(source).signature
    header, body = gpu.texts(signature, "metal")
    compiled = mx.fast.metal_kernel(
        name="kernel_main",
        input_names=[f"shader_buffer_{b.index}" for b in signature.inputs] + ["shader_threads"],
        output_names=[f"shader_buffer_{b.index}" for b in signature.outputs],
        source=body,
        header=header,
    )
    arrays = [mx.zeros((8,), b.dtype) for b in signature.inputs]

    def call(*arrays: mx.array) -> list[mx.array]:
        return compiled(
            inputs=list(arrays), grid=(8, 1, 1), threadgroup=(8, 1, 1), stream=mx.gpu,
            output_shapes=[(8,)] * len(signature.outputs),
            output_dtypes=[b.dtype for b in signature.outputs],
        )  # fmt: skip

    steps: list[dict] = []
    mx.export_function(steps.append, call, *arrays, mx.zeros((8,), mx.uint32))
    (text,) = [step["arguments"][1] for step in steps if step.get("name") == "CustomKernel"]
    return text


@pytest.mark.parametrize("name", SOURCES)
def test_cuda_compiles(name):
    assert nvrtc_log(cuda_text(SOURCES[name])) == ""


def test_cuda_names_the_users_own_line():
    log = nvrtc_log(cuda_text(ADD.replace("in2[id]", "in3[id]")))
    assert "add_arrays.metal(8): error" in log
    found = gpu._syntax_error(compile_shader(ADD).signature, f"Failed to compile kernel: {log}.")
    assert found.line == 8
    assert "in3" in str(found)


# The stub that stands for Metal's library knows neither vectors nor every type.
@pytest.mark.parametrize("name", ["add", "sum", "barrier"])
def test_metal_parses(name):
    assert clang_errors(metal_text(SOURCES[name])) == []


def test_metal_keeps_the_users_lines():
    lines = metal_text(ADD).splitlines()
    (place,) = [i for i, line in enumerate(lines) if "out[id] = in1[id]" in line]
    (mark,) = [i for i, line in enumerate(lines) if line == '#line 7 "add_arrays.metal"']
    assert ADD.splitlines()[7 + place - mark - 2] == lines[place]
