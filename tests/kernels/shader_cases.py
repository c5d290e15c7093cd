"""Kernel functions as their authors write them, each with a launch and what it must give.

``python tests/kernels/shader_cases.py`` runs them on the device that MLX has, without pytest.
"""

from dataclasses import dataclass, field

import mlx.core as mx
import numpy as np

from mlx_backends.kernels import compile_shader, launch

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
GEOMETRY = """
kernel void shade(device const float4* normals [[buffer(0)]], device const float2* at [[buffer(1)]],
    device float4* out [[buffer(2)]], device float* more [[buffer(3)]],
    uint i [[thread_position_in_grid]]) {
  const float4 n = normals[i];
  const float3 a = normalize(float3(n.x, n.y, n.z)), b = float3(at[i], 1.0f);
  const float3 c = cross(a, b);
  float4 color = clamp(float4(c, length(b)), -1.0f, 1.0f);
  color += 0.5f * mix(float4(0.0f), float4(1, 2, 3, 4), saturate(n.w));
  color = fma(color, float4(2.0f), -abs(n));
  out[i] = select(color, exp(max(color, float4(-2.0f))), n.w > 0.0f);
  const float2 d = floor(at[i] / 0.25f) - float2(1, -1);
  more[i] = distance(at[i], d) + dot(a, b) + step(0.0f, n.x) + smoothstep(-1.0f, 1.0f, n.y)
    + fract(n.z) + sign(n.w) + float(as_type<uint>(n.x) >> 31);
}
"""
HALVES = """
kernel void halves(device const half* x [[buffer(0)]], device half* out [[buffer(1)]],
    uint i [[thread_position_in_grid]]) {
  const half y = clamp(x[i], half(-0.5f), half(0.5f));
  half4 v = half4(y, exp(y), rsqrt(half(1.0f) + y * y), max(y, half(0.0f)));
  out[i] = dot(v, half4(half(1.0f))) + metal::precise::sqrt(abs(y)) + half(clz(uint(i)) - ctz(8u));
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


@dataclass(frozen=True)
class Case:
    """A kernel, the arguments of its launch, its expected outputs, and how far they may be off."""

    source: str
    grid: object
    inputs: list
    expected: list
    name: str | None = None
    tolerance: float = 1e-5
    options: dict = field(default_factory=dict)

    def check(self, **more: object) -> None:
        kernel = compile_shader(self.source, self.name)
        shapes = [tuple(want.shape) for want in self.expected]
        outputs = launch(kernel, self.grid, self.inputs, shapes, **self.options, **more)
        for output, want in zip(outputs, self.expected, strict=True):
            assert tuple(output.shape) == tuple(want.shape)
            difference = mx.abs(output.astype(mx.float32) - want.astype(mx.float32)).max().item()
            assert difference <= self.tolerance, difference


def random(*shape: int) -> mx.array:
    return mx.array(np.random.default_rng(0).standard_normal(shape).astype(np.float32))


def cases() -> dict[str, Case]:
    x, a, b = random(1_000), random(20, 17), random(17, 33)
    half = random(300).astype(mx.float16)
    wide = half.astype(mx.float32)
    gelu = wide * (1 + mx.tanh(0.7978845608 * (wide + 0.044715 * wide**3))) + 1
    rows = random(4, 128)
    normalized = rows * mx.rsqrt(mx.square(rows).mean(-1, keepdims=True))
    return {
        "addition": Case(ADD, x.shape, [x, x + 1], [x + (x + 1)]),
        "a sum in threadgroup memory": Case(
            BLOCK_SUM, 1_024, [x, 1_000], [_block_sums(x)], options={"threadgroup": 128},
            tolerance=1e-4,
        ),
        "two dimensions and tiles": Case(
            MATMUL, (40, 24), [a, b, 20, 33, 17], [a @ b], options={"threadgroup": (8, 8)},
            tolerance=1e-2,  # a GPU's own product may round to fewer bits
        ),
        "helpers, and other kernels beside": Case(
            HELPERS, 300, [half], [gelu], "activate", tolerance=1e-2
        ),
        "vectors and simdgroups": Case(
            VECTORS, 128, [rows], [normalized], options={"threadgroup": 32}
        ),
        "pointers": Case(POINTERS, 4, [mx.array([1.0])], [mx.array([8.0, 9.0, 10.0, 10.0])]),
        "every type, in three dimensions": _types(),
        "vectors, and functions of vectors": _geometry(),
        "functions of halves": _halves(),
        "a barrier of device memory": Case(
            DEVICE_BARRIER, 32, [], [mx.concatenate([mx.arange(1, 32), mx.zeros(1)])]
        ),
    }  # fmt: skip


def _block_sums(x: mx.array) -> mx.array:
    return mx.pad(x, (0, 24)).reshape(8, 128).sum(1)


def _geometry() -> Case:
    normals, at = random(100, 4), random(100, 3)[:, :2]
    n, p = (np.array(array, np.float64) for array in (normals, at))
    a = n[:, :3] / np.linalg.norm(n[:, :3], axis=1, keepdims=True)
    b = np.concatenate([p, np.ones((100, 1))], axis=1)
    length = np.linalg.norm(b, axis=1, keepdims=True)
    color = np.clip(np.concatenate([np.cross(a, b), length], axis=1), -1, 1)
    color += 0.5 * np.clip(n[:, 3:], 0, 1) * np.array([1, 2, 3, 4])
    color = 2 * color - np.abs(n)
    color = np.where(n[:, 3:] > 0, np.exp(np.maximum(color, -2)), color)
    steps = np.clip((n[:, 1] + 1) / 2, 0, 1)
    more = np.linalg.norm(p - (np.floor(p / 0.25) - [1, -1]), axis=1) + (a * b).sum(1)
    more += (n[:, 0] >= 0) + steps**2 * (3 - 2 * steps)
    more += n[:, 2] % 1 + np.sign(n[:, 3]) + (n[:, 0] < 0)
    expected = [mx.array(array.astype(np.float32)) for array in (color, more)]
    return Case(GEOMETRY, 100, [normals, mx.contiguous(at)], expected, tolerance=1e-4)


def _halves() -> Case:
    x = random(40).astype(mx.float16)
    y = np.clip(np.array(x, np.float64), -0.5, 0.5)
    want = y + np.exp(y) + 1 / np.sqrt(1 + y * y) + np.maximum(y, 0) + np.sqrt(np.abs(y))
    want += [32 - int(i).bit_length() - 3 for i in range(40)]
    return Case(
        HALVES,
        40,
        [x],
        [mx.array(want.astype(np.float32))],
        tolerance=5e-2,
        options={"output_dtypes": [mx.float16]},
    )


def _types() -> Case:
    shape = (2, 3, 4)
    a = mx.arange(24, dtype=mx.int32).reshape(shape)
    b = (a * 7).astype(mx.uint8)
    c = a % 2 == 0
    sums = a + b.astype(mx.int32) + 100 * c + a
    bits = mx.array([bin(int(v)).count("1") - 1 for v in np.array(b).reshape(-1)]).reshape(shape)
    inputs = [a, b, c, a.astype(mx.int64), a.astype(mx.bfloat16)]
    return Case(TYPES, (4, 3, 2), inputs, [sums, bits, 2 * a])


if __name__ == "__main__":
    for name, case in cases().items():
        try:
            case.check()
            result = "ok"
        except Exception as error:
            result = f"{type(error).__name__}: {error}"
        print(f"{name}: {result}", flush=True)
