"""The text that MLX would hand to Apple's and NVIDIA's compilers, checked without a GPU.

CUDA: NVRTC compiles it for compute capability 9.0. It comes from the packages nvidia-cuda-nvrtc,
nvidia-cuda-runtime and nvidia-cuda-cccl, installed with ``pip install --target`` into the folder
that MLX_BACKENDS_TEST_CUDA names. Metal: MLX writes its source while a call is exported, and
libclang reads it as C++ with Metal's address spaces; MLX_BACKENDS_TEST_CLANG names its folder.
"""

import ctypes
import importlib.util
import os
import re
import sys
from functools import cache
from pathlib import Path

import mlx.core as mx
import pytest

from mlx_backends import kernels
from mlx_backends.kernels import kernel

CUDA_TYPES = {
    mx.float32: "float",
    mx.float16: "__half",
    mx.bfloat16: "__nv_bfloat16",
    mx.int32: "int32_t",
    mx.uint16: "uint16_t",
    mx.uint32: "uint32_t",
}
# What stands before a kernel's header in mlx/backend/cuda/custom_kernel.cpp, as far as it is used.
CUDA_START = """
#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda/std/array>
#include <cooperative_groups.h>
#define inf cuda::std::numeric_limits<float>::infinity()
namespace mlx::core::cu {
using Shape = cuda::std::array<int32_t, 8>;
using Strides = cuda::std::array<int64_t, 8>;
template <int N, typename T> __device__ bool is_aligned(T*);  // utils.cuh
}
"""
METAL_STUB = """
#define device __attribute__((address_space(1)))
#define constant __attribute__((address_space(2)))
#define threadgroup static __attribute__((address_space(3)))
#define thread
typedef unsigned int uint; typedef unsigned short ushort; typedef ushort uint16_t;
typedef int int32_t; typedef long int64_t;
typedef unsigned int uint32_t; typedef _Float16 half; typedef half float16_t;
typedef __bf16 bfloat16_t;
struct uint2 { uint x, y; uint2(const device uint2&); uint2(const uint2&); };
struct uint4 { uint x, y, z, w; uint4(const device uint4&); uint4(const uint4&); };
struct uint3 { uint x, y, z; };
namespace metal {
enum class mem_flags { mem_none, mem_device, mem_threadgroup };
void threadgroup_barrier(mem_flags);
float simd_shuffle_xor(float, ushort);
template <class To, class From> To as_type(From);
float min(float, float); float max(float, float); int min(int, int); int max(int, int);
float tanh(float); float rint(float); float log2(float);
namespace fast { float exp2(float); }
}
"""
CUDA_PRELUDE = kernel.read_source("prelude_cuda.h")
CASES = {
    "decode": {"dtype": mx.bfloat16, "head_dim": 128},
    "decode, quantized": {"dtype": mx.bfloat16, "k_bits": 8, "v_bits": 4},
    "queries": {"dtype": mx.float16, "head_dim": 80, "queries": 4, "has_sinks": True, "window": 9},
    "float32": {"head_dim": 256, "soft_cap": 3.0, "lengths": (1, 2_000)},
}


@pytest.fixture(params=[*CASES, "sparse", "few rows"], ids=str)
def launches(request, problem, monkeypatch):
    """Kernels that a call launches, with the inputs and types of each launch."""
    seen = []

    def launch(self, inputs, **sizes):
        seen.append((self, inputs, sizes))
        shapes, dtypes = sizes["output_shapes"], sizes["output_dtypes"]
        return [mx.zeros(shape, dtype) for shape, dtype in zip(shapes, dtypes, strict=True)]

    monkeypatch.setattr(kernel.Kernel, "launch", launch)
    if request.param in PRODUCTS:
        PRODUCTS[request.param]()
        return seen
    case = problem(**{"lengths": (1, 1_000)} | CASES[request.param])
    case.attend(return_lse=True)
    if case.q.shape[2] == 1:
        case.decode()
        slots = mx.array([[3], [4]], dtype=mx.int32)
        order = mx.zeros(1, dtype=mx.int32)
        kernels.kv_append(case.k_pool, case.v_pool, case.k, case.v, slots, order)
        kernels.kv_gather(
            kernels.words_window(case.k_pool), kernels.words_window(case.v_pool),
            mx.array([3, 4], dtype=mx.int32), (0, 20), length=20, num_kv_heads=2,
            head_dim=case.q.shape[3], block_size=16, dtype=case.q.dtype, order=order,
        )  # fmt: skip
        kernels.kv_copy(
            kernels.words_window(case.k_pool), kernels.words_window(case.v_pool),
            *mx.array([[3], [4]], dtype=mx.int32), num_kv_heads=2, block_size=16, order=order,
        )  # fmt: skip
    monkeypatch.undo()
    return seen


def multiply_sparse() -> None:
    """Each sparse kernel, in each type."""
    x = mx.zeros((3, 128), mx.bfloat16)
    starts = mx.zeros(5, mx.int32)
    for index, width in ((mx.uint16, 128), (mx.int32, 40_000)):
        vector, entries = mx.zeros((1, width), mx.float16), mx.zeros(16, mx.float16)
        kernels.csr_matmul(entries, mx.zeros(16, index), starts, vector)
    kernels.csr_matmul(mx.zeros(16), mx.zeros(16, mx.uint16), starts, x.astype(mx.float32))
    kernels.block_matmul(mx.zeros((9, 32, 32), mx.bfloat16), mx.zeros(9, mx.int32), starts, x)
    kernels.two_four_matmul(mx.zeros((9, 64), mx.bfloat16), mx.zeros((9, 8), mx.uint16), x)


def multiply_few_rows() -> None:
    for dtype in (mx.bfloat16, mx.float16, mx.float32):
        packed = mx.quantize(mx.zeros((16, 128), dtype), group_size=64, bits=4)
        kernels.few_rows_matmul(mx.zeros((9, 128), dtype), *packed)


PRODUCTS = {"sparse": multiply_sparse, "few rows": multiply_few_rows}


def test_cuda_compiles(launches):
    for built, inputs, sizes in launches:
        types = [array.dtype for array in inputs], sizes["output_dtypes"]
        assert nvrtc_log(cuda_source(built, *types)) == ""
        assert nvrtc_log(cuda_source(built, *types, by_reference=True)) == ""


def test_what_names_the_files_names_the_attributes_that_they_read(launches):
    for built, _, _ in launches:
        _, body = built.cuda_text()
        for name in built.inputs:
            for attribute in ("shape", "strides", "ndim"):
                assert (f"{name}_{attribute}" in body) == (f"{name}_{attribute}" in built.body)


def test_cuda_check_finds_a_mistake(launches):
    built, inputs, sizes = launches[0]
    text = cuda_source(built, [array.dtype for array in inputs], sizes["output_dtypes"])
    name = {"csr_vector": "lane", "few_rows_matmul": "lane"}.get(built.name, "split")
    assert "undefined" in nvrtc_log(text.replace(f"int {name} =", "int another ="))


def test_metal_parses(launches):
    for built, inputs, sizes in launches:
        assert clang_errors(metal_source(built, inputs, sizes)) == []


def test_metal_check_finds_a_mixed_address_space(launches):
    built, inputs, sizes = launches[0]
    text = metal_source(built, inputs, sizes)
    wrong, place = "const float* p = settings;", "float query_scale ="
    if built.name == "csr_vector":
        wrong, place = "const half* p = values;", "const int num_columns ="
    if built.name == "few_rows_matmul":
        wrong, place = "const uint* p = weight;", "const int num_outputs ="
    mixed = text.replace(place, f"{wrong} {place}")
    assert clang_errors(mixed)


def cuda_source(
    built: kernel.Kernel, input_dtypes: list, output_dtypes: list, *, by_reference: bool = False
) -> str:
    """The source as MLX's CUDA backend writes it, from the text or what names its files."""
    parameters = []
    for name, dtype in zip(built.inputs, input_dtypes, strict=True):
        parameters.append(f"const {CUDA_TYPES[dtype]}* {name}")
        for attribute in ("shape", "strides"):
            if f"{name}_{attribute}" in built.body:
                kind = attribute.capitalize()
                parameters.append(f"const __grid_constant__ {kind} {name}_{attribute}")
    for name, dtype in zip(built.outputs, output_dtypes, strict=True):
        parameters.append(f"{CUDA_TYPES[dtype]}* {name}")
    header, body = built.cuda_text() if by_reference else built.gpu_text(CUDA_PRELUDE)
    return (
        CUDA_START
        + header
        + f"namespace mlx::core::cu {{\n__global__ void kernel_main({', '.join(parameters)}) {{\n"
        + body
        + "\n}\n}\n"
    )


def metal_source(built: kernel.Kernel, inputs: list, sizes: dict) -> str:
    """The source as MLX's Metal backend writes it, taken from an exported call."""
    header, body = built.gpu_text(kernel.read_source("prelude_metal.h"))
    compiled = mx.fast.metal_kernel(
        name=built.name,
        input_names=list(built.inputs),
        output_names=list(built.outputs),
        source=body,
        header=header,
        ensure_row_contiguous=False,
    )

    def call(*arrays: mx.array) -> list[mx.array]:
        return compiled(
            inputs=list(arrays), grid=(32, 1, 1), threadgroup=(32, 1, 1), stream=mx.gpu,
            output_shapes=sizes["output_shapes"], output_dtypes=sizes["output_dtypes"],
        )  # fmt: skip

    steps: list[dict] = []
    mx.export_function(steps.append, call, *inputs)
    (source,) = [step["arguments"][1] for step in steps if step.get("name") == "CustomKernel"]
    assert body in source
    return source


def nvrtc_log(source: str) -> str:
    """What NVRTC says of a source; empty if it compiles without a word."""
    nvrtc, include = load_nvrtc()
    program = ctypes.c_void_p()
    nvrtc.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"kernel.cu", 0, None, None)
    options = (
        b"--gpu-architecture=compute_90",
        f"--include-path={include}".encode(),
        f"--include-path={include}/cccl".encode(),
    )
    failed = nvrtc.nvrtcCompileProgram(program, len(options), (ctypes.c_char_p * 3)(*options))
    size = ctypes.c_size_t()
    nvrtc.nvrtcGetProgramLogSize(program, ctypes.byref(size))
    log = ctypes.create_string_buffer(size.value)
    nvrtc.nvrtcGetProgramLog(program, log)
    nvrtc.nvrtcDestroyProgram(ctypes.byref(program))
    return log.value.decode() or ("failed without a word" if failed else "")


@cache
def load_nvrtc() -> tuple[ctypes.CDLL, Path]:
    root = Path(os.environ.get("MLX_BACKENDS_TEST_CUDA", "no folder"))
    libraries = sorted(root.glob("nvidia/*/lib/libnvrtc.so.*"))
    headers = sorted(root.glob("nvidia/*/include/cuda_fp16.h"))
    if not libraries or not headers:
        pytest.skip("needs NVRTC: see the head of this file")
    return ctypes.CDLL(str(libraries[0])), headers[0].parent


def clang_errors(source: str) -> list[str]:
    folder = os.environ.get("MLX_BACKENDS_TEST_CLANG")
    if folder and folder not in sys.path:
        sys.path.append(folder)
    if importlib.util.find_spec("clang") is None:
        pytest.skip("needs libclang: see the head of this file")
    from clang import cindex

    text = METAL_STUB + re.sub(r"#include.*\n", "", source)
    unit = cindex.Index.create().parse(
        "kernel.cpp", args=["-std=c++14", "-w"], unsaved_files=[("kernel.cpp", text)]
    )
    return [
        f"{error.location.line}: {error.spelling}"
        for error in unit.diagnostics
        if error.severity > 2
    ]
