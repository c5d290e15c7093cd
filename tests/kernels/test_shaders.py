"""Kernel functions as their authors write them, against plain MLX, in every order of threads."""

import threading

import mlx.core as mx
import numpy as np
import pytest

from mlx_backends import kernels
from mlx_backends.errors import ShaderMismatchError, ShaderSyntaxError
from mlx_backends.kernels import compile_shader, emulator, launch, shader

pytestmark = pytest.mark.skipif(
    kernels.host() is None and not emulator.is_available(), reason="needs a GPU or a C++ compiler"
)
SCHEDULES = ("forward", "reverse", "shuffled")
ADD = """
#include <metal_stdlib>
using namespace metal;
kernel void add_arrays(device const float *in1 [[buffer(0)]],
                       device const float *in2 [[buffer(1)]],
                       device float *out [[buffer(2)]],
                       uint id [[thread_position_in_grid]]) {
    out[id] = in1[id] + in2[id];
}
"""
BLOCK_SUM = """
kernel void block_sum(device const float* x [[buffer(0)]], device float* out [[buffer(1)]],
    constant uint& n [[buffer(2)]], uint i [[thread_position_in_grid]],
    uint t [[thread_index_in_threadgroup]], uint g [[threadgroup_position_in_grid]]) {
  threadgroup float shared[128];
  shared[t] = i < n ? x[i] : 0.0;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  for (uint step = 64; step > 0; step /= 2) {
    if (t < step) shared[t] += shared[t + step];
    threadgroup_barrier(mem_flags::mem_threadgroup);
  }
  if (t == 0) out[g] = shared[0];
}
"""
MATMUL = """
constant int TILE = 8;
kernel void matmul(device const float* a [[buffer(0)]], device const float* b [[buffer(1)]],
    device float* c [[buffer(2)]], constant int& M [[buffer(3)]], constant int& N [[buffer(4)]],
    constant int& K [[buffer(5)]], uint2 g [[threadgroup_position_in_grid]],
    uint2 t [[thread_position_in_threadgroup]]) {
  threadgroup float left[TILE][TILE], right[TILE][TILE];
  const int row = g.y * TILE + t.y, column = g.x * TILE + t.x;
  float sum = 0;
  for (int start = 0; start < K; start += TILE) {
    left[t.y][t.x] = row < M && start + int(t.x) < K ? a[row * K + start + t.x] : 0;
    right[t.y][t.x] = column < N && start + int(t.y) < K ? b[(start + t.y) * N + column] : 0;
    threadgroup_barrier(mem_flags::mem_threadgroup);
    for (int k = 0; k < TILE; k++) sum += left[t.y][k] * right[k][t.x];
    threadgroup_barrier(mem_flags::mem_threadgroup);
  }
  if (row < M && column < N) c[row * N + column] = sum;
}
"""
HELPERS = """
/* Functions, templates and macros
   before the kernel. */
#define BIAS 1.0
inline float gelu(float x) {
  return 0.5f * x * (1 + tanh(0.7978845608f * (x + 0.044715f * x * x * x)));
}
template <typename T> T twice(T x) { return x + x; }
kernel void other(device float* out) { out[0] = undeclared; }
kernel void activate(device const half* x, device half* out, uint id [[thread_position_in_grid]]) {
  out[id] = half(twice(gelu(float(x[id]))) + BIAS);
}
"""
VECTORS = """
kernel void normalize_rows(device const float4* x [[buffer(0)]], device float4* out [[buffer(1)]],
    uint lane [[thread_index_in_simdgroup]], uint row [[threadgroup_position_in_grid]]) {
  device const float4* here = x + row * 32;
  float4 v = here[lane];
  float inverse = rsqrt(simd_sum(dot(v, v)) / 128.0f);
  out[row * 32 + lane] = v * inverse;
}
"""
POINTERS = """
float total(threadgroup const float* s, uint n) {
  float sum = 0;
  for (uint i = 0; i < n; i++) sum += s[i];
  return sum;
}
kernel void pointers(device float* out [[buffer(1)]], constant float* p [[buffer(0)]],
    uint t [[thread_index_in_threadgroup]]) {
  threadgroup float s[4];
  threadgroup float extra;
  s[t] = p[0] * float(t);
  if (t == 0) extra = 1;
  threadgroup_barrier(mem_flags::mem_threadgroup);
  device float* here = out + t;
  *here = max(s[t], s[(t + 1) % 4]) + total(s, 4) + extra;
  auto old = here[0];
  here[0] += 1;
  here[0] = here[0] - (here[0] - old);
}
"""
TYPES = """
kernel void types(device const int* a, device const uchar* b, device const bool* c,
    device const long* d, device const bfloat* e, device ulong* out, device char* bits,
    device bfloat* brain, uint3 at [[thread_position_in_grid]], uint3 size [[threads_per_grid]]) {
  uint i = (at.z * size.y + at.y) * size.x + at.x;
  out[i] = ulong(a[i]) + b[i] + (c[i] ? 100 : 0) + ulong(d[i]);
  bits[i] = char(popcount(uint(b[i])) - 1);
  brain[i] = bfloat(float(e[i]) * 2.0f);
}
"""
DEVICE_BARRIER = """
kernel void rotate(device float* out [[buffer(0)]], uint t [[thread_index_in_threadgroup]],
    uint size [[threads_per_threadgroup]]) {
  out[t] = t;
  threadgroup_barrier(mem_flags::mem_device);
  const float next = out[(t + 1) % size];
  threadgroup_barrier(mem_flags::mem_device);
  out[t] = next;
}
"""


def random(*shape: int) -> mx.array:
    return mx.array(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


def in_every_order(kernel, grid, inputs, shapes, expected, tolerance=1e-5, **options):
    for schedule in SCHEDULES:
        outputs = launch(kernel, grid, inputs, shapes, schedule=schedule, **options)
        for output, want in zip(outputs, expected, strict=True):
            assert tuple(output.shape) == tuple(want.shape)
            difference = mx.abs(output.astype(mx.float32) - want.astype(mx.float32)).max().item()
            assert difference <= tolerance


def test_the_lectures_addition():
    kernel = compile_shader(ADD, "add_arrays")
    x, y = random(2, 1024)
    [result] = launch(kernel, x.shape, [x, y], [x.shape], [x.dtype])
    assert mx.array_equal(result, x + y).item()
    [transposed] = launch(kernel, 6, [random(3, 2).T, mx.zeros((2, 3))], [(2, 3)])
    assert mx.array_equal(transposed, random(3, 2).T).item()


def test_a_grid_that_is_no_multiple_of_the_threadgroup():
    x = random(1_000)
    expected = mx.pad(x, (0, 24)).reshape(8, 128).sum(1)
    in_every_order(
        compile_shader(BLOCK_SUM), 1_024, [x, 1_000], [(8,)], [expected], threadgroup=128
    )


def test_two_dimensions_and_tiles():
    a, b = random(20, 17), random(17, 33)
    options = {"threadgroup": (8, 8)}
    in_every_order(
        compile_shader(MATMUL), (40, 24), [a, b, 20, 33, 17], [(20, 33)], [a @ b], **options
    )


def test_helpers_before_the_kernel_and_other_kernels_beside_it():
    x = random(300).astype(mx.float16)
    wide = x.astype(mx.float32)
    expected = wide * (1 + mx.tanh(0.7978845608 * (wide + 0.044715 * wide**3))) + 1
    kernel = compile_shader(HELPERS, "activate")
    in_every_order(kernel, 300, [x], [(300,)], [expected], tolerance=1e-2)
    with pytest.raises(ShaderSyntaxError, match="say which by name"):
        compile_shader(HELPERS)


def test_vectors_and_simdgroups():
    x = random(4, 128)
    expected = x * mx.rsqrt(mx.square(x).mean(-1, keepdims=True))
    in_every_order(
        compile_shader(VECTORS), 128, [x], [(4, 128)], [expected], tolerance=1e-5, threadgroup=32
    )


def test_pointers_into_device_and_threadgroup_memory():
    expected = mx.array([8.0, 9.0, 10.0, 10.0])
    in_every_order(compile_shader(POINTERS), 4, [mx.array([1.0])], [(4,)], [expected])


def test_every_kind_of_type_in_three_dimensions():
    shape = (2, 3, 4)
    a = mx.arange(24, dtype=mx.int32).reshape(shape)
    b = (a * 7).astype(mx.uint8)
    c = a % 2 == 0
    e = a.astype(mx.bfloat16)
    sum_of_all = a + b.astype(mx.int32) + 100 * c + a
    bits = [bin(int(v)).count("1") - 1 for v in np.array(b).reshape(-1)]
    expected = [sum_of_all, mx.array(bits).reshape(shape), 2 * a]
    inputs = [a, b, c, a.astype(mx.int64), e]
    in_every_order(compile_shader(TYPES), (4, 3, 2), inputs, [shape] * 3, expected)


def test_a_barrier_of_device_memory_orders_a_threadgroup():
    expected = mx.concatenate([mx.arange(1, 32), mx.zeros(1)])
    in_every_order(compile_shader(DEVICE_BARRIER), 32, [], [(32,)], [expected])


def test_outputs_begin_with_init_value():
    kernel = compile_shader(ADD.replace("out[id] =", "if (id == 2) out[id] ="))
    [result] = launch(kernel, 4, [mx.ones(4), mx.ones(4)], [(4,)], init_value=7)
    assert result.tolist() == [7, 7, 2, 7]


def test_launches_from_many_threads():
    kernel, results = compile_shader(ADD), {}

    def run(i: int) -> None:
        x = mx.full((64,), float(i))
        results[i] = launch(kernel, 64, [x, x], [(64,)])[0].tolist()

    threads = [threading.Thread(target=run, args=(i,)) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == {i: [2.0 * i] * 64 for i in range(8)}


def test_the_decorator_takes_shapes_from_the_reference_and_compares_once():
    calls = []

    @shader(ADD, debug=True)
    def add_arrays(x, y):
        calls.append(x.shape)
        return x + y

    assert add_arrays(mx.ones(5), mx.ones(5)).tolist() == [2.0] * 5
    assert add_arrays(mx.ones(3), mx.ones(3)).tolist() == [2.0] * 3
    assert calls == [(5,), (3,)]


def test_the_decorator_says_where_a_kernel_differs(monkeypatch):
    wrong = ADD.replace("in1[id] + in2[id]", "id == 3 ? 9 : in1[id] + in2[id]")

    @shader(wrong, grid=lambda x, y: x.size)
    def add_arrays(x, y):
        return x + y

    assert add_arrays(mx.ones(5), mx.ones(5)).tolist() == [2, 2, 2, 9, 2]  # not in debug mode
    monkeypatch.setenv("MLX_BACKENDS_DEBUG", "1")
    with pytest.raises(ShaderMismatchError, match=r"in 1 of 5 .* index 3: 9.0 instead of 2.0"):
        add_arrays(mx.ones(5), mx.ones(5))
