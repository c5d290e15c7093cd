// CUDA's meaning of the Metal shading language, as far as users' kernels may need it.
typedef unsigned int uint;
typedef unsigned short ushort;
typedef unsigned char uchar;
typedef unsigned long long ulong;
typedef __half half;
typedef __nv_bfloat16 bfloat;
typedef __half float16_t;
typedef __nv_bfloat16 bfloat16_t;
#define M_PI_F 3.14159265358979323846f
#define M_E_F 2.71828182845904523536f
#define SHADER_FUNCTION __device__ __forceinline__

// Arithmetic of the vectors that buffers hold most.
#define SHADER_OPERATOR2(op)                                                                                    \
  SHADER_FUNCTION float2 operator op(float2 a, float2 b) { return make_float2(a.x op b.x, a.y op b.y); }        \
  SHADER_FUNCTION float2 operator op(float2 a, float b) { return make_float2(a.x op b, a.y op b); }             \
  SHADER_FUNCTION float2 operator op(float a, float2 b) { return make_float2(a op b.x, a op b.y); }
#define SHADER_OPERATOR4(op)                                                                                    \
  SHADER_FUNCTION float4 operator op(float4 a, float4 b) {                                                      \
    return make_float4(a.x op b.x, a.y op b.y, a.z op b.z, a.w op b.w);                                         \
  }                                                                                                             \
  SHADER_FUNCTION float4 operator op(float4 a, float b) { return make_float4(a.x op b, a.y op b, a.z op b, a.w op b); } \
  SHADER_FUNCTION float4 operator op(float a, float4 b) { return make_float4(a op b.x, a op b.y, a op b.z, a op b.w); }
SHADER_OPERATOR2(+) SHADER_OPERATOR2(-) SHADER_OPERATOR2(*) SHADER_OPERATOR2(/)
SHADER_OPERATOR4(+) SHADER_OPERATOR4(-) SHADER_OPERATOR4(*) SHADER_OPERATOR4(/)

namespace metal {
SHADER_FUNCTION float dot(float2 a, float2 b) { return a.x * b.x + a.y * b.y; }
SHADER_FUNCTION float dot(float4 a, float4 b) { return a.x * b.x + a.y * b.y + a.z * b.z + a.w * b.w; }
SHADER_FUNCTION float length(float2 a) { return sqrtf(dot(a, a)); }
SHADER_FUNCTION float length(float4 a) { return sqrtf(dot(a, a)); }
enum class mem_flags { mem_none = 0, mem_device = 1, mem_threadgroup = 2, mem_texture = 4 };
SHADER_FUNCTION mem_flags operator|(mem_flags a, mem_flags b) { return mem_flags(int(a) | int(b)); }
SHADER_FUNCTION void threadgroup_barrier(mem_flags) { __syncthreads(); }
SHADER_FUNCTION void simdgroup_barrier(mem_flags) { __syncwarp(); }

template <class T> SHADER_FUNCTION T clamp(T x, T low, T high) { return x < low ? low : x > high ? high : x; }
template <class T> SHADER_FUNCTION T mix(T a, T b, T t) { return a + (b - a) * t; }
template <class T> SHADER_FUNCTION T select(T a, T b, bool condition) { return condition ? b : a; }
SHADER_FUNCTION float sign(float x) { return x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : 0.0f; }
SHADER_FUNCTION float fract(float x) { return x - floorf(x); }
SHADER_FUNCTION float saturate(float x) { return __saturatef(x); }
SHADER_FUNCTION float step(float edge, float x) { return x < edge ? 0.0f : 1.0f; }
SHADER_FUNCTION float powr(float x, float y) { return powf(x, y); }
SHADER_FUNCTION uint popcount(uint x) { return uint(__popc(x)); }
SHADER_FUNCTION int popcount(int x) { return __popc(uint(x)); }
SHADER_FUNCTION uint clz(uint x) { return uint(__clz(int(x))); }
SHADER_FUNCTION uint ctz(uint x) { return x ? uint(__ffs(int(x)) - 1) : 32; }
template <class To, class From> SHADER_FUNCTION To as_type(From from) {
  static_assert(sizeof(To) == sizeof(From), "as_type needs types of one size");
  To to;
  memcpy(&to, &from, sizeof(To));
  return to;
}

template <class T> SHADER_FUNCTION T simd_shuffle(T x, uint lane) { return __shfl_sync(0xffffffffu, x, lane); }
template <class T> SHADER_FUNCTION T simd_broadcast(T x, uint lane) { return __shfl_sync(0xffffffffu, x, lane); }
template <class T> SHADER_FUNCTION T simd_broadcast_first(T x) { return __shfl_sync(0xffffffffu, x, 0); }
template <class T> SHADER_FUNCTION T simd_shuffle_xor(T x, uint mask) { return __shfl_xor_sync(0xffffffffu, x, mask); }
template <class T> SHADER_FUNCTION T simd_shuffle_down(T x, uint delta) { return __shfl_down_sync(0xffffffffu, x, delta); }
template <class T> SHADER_FUNCTION T simd_shuffle_up(T x, uint delta) { return __shfl_up_sync(0xffffffffu, x, delta); }
#define SHADER_REDUCTION(name, combined)                                   \
  template <class T> SHADER_FUNCTION T name(T x) {                         \
    for (int mask = 16; mask > 0; mask >>= 1) {                            \
      const T y = __shfl_xor_sync(0xffffffffu, x, mask);                   \
      x = combined;                                                        \
    }                                                                      \
    return x;                                                              \
  }
SHADER_REDUCTION(simd_sum, x + y)
SHADER_REDUCTION(simd_product, x * y)
SHADER_REDUCTION(simd_max, x > y ? x : y)
SHADER_REDUCTION(simd_min, x < y ? x : y)
SHADER_FUNCTION bool simd_all(bool x) { return __all_sync(0xffffffffu, x); }
SHADER_FUNCTION bool simd_any(bool x) { return __any_sync(0xffffffffu, x); }
template <class T> SHADER_FUNCTION T simd_prefix_inclusive_sum(T x) {
  for (uint delta = 1; delta < 32; delta <<= 1) {
    const T y = __shfl_up_sync(0xffffffffu, x, delta);
    if (threadIdx.x % 32 >= delta) x = x + y;
  }
  return x;
}
template <class T> SHADER_FUNCTION T simd_prefix_exclusive_sum(T x) { return simd_prefix_inclusive_sum(x) - x; }

using ::abs; using ::acos; using ::asin; using ::atan; using ::atan2; using ::ceil; using ::cos; using ::cosh;
using ::exp; using ::exp2; using ::exp10; using ::fabs; using ::floor; using ::fma; using ::fmax; using ::fmin;
using ::fmod; using ::isfinite; using ::isinf; using ::isnan; using ::log; using ::log10; using ::log2; using ::max;
using ::min; using ::pow; using ::rint; using ::round; using ::rsqrt; using ::sin; using ::sinh; using ::sqrt;
using ::tan; using ::tanh; using ::trunc;
namespace precise { using namespace metal; }
namespace fast { using namespace metal; }
}  // namespace metal
using namespace metal;

// Where a thread is. `threads` holds the sizes of the grid.
SHADER_FUNCTION uint3 shader_threads_per_grid(const uint* threads) { return make_uint3(threads[0], threads[1], threads[2]); }
SHADER_FUNCTION uint3 shader_thread_position_in_threadgroup(const uint*) { return threadIdx; }
SHADER_FUNCTION uint3 shader_threadgroup_position_in_grid(const uint*) { return blockIdx; }
SHADER_FUNCTION uint3 shader_threadgroups_per_grid(const uint*) { return make_uint3(gridDim.x, gridDim.y, gridDim.z); }
SHADER_FUNCTION uint3 shader_thread_position_in_grid(const uint*) {
  return make_uint3(blockIdx.x * blockDim.x + threadIdx.x, blockIdx.y * blockDim.y + threadIdx.y, blockIdx.z * blockDim.z + threadIdx.z);
}
// The current threadgroup may be cut by the edge of the grid.
SHADER_FUNCTION uint3 shader_threads_per_threadgroup(const uint* threads) {
  return make_uint3(min(blockDim.x, threads[0] - blockIdx.x * blockDim.x), min(blockDim.y, threads[1] - blockIdx.y * blockDim.y),
                    min(blockDim.z, threads[2] - blockIdx.z * blockDim.z));
}
SHADER_FUNCTION bool shader_is_outside(const uint* threads) {
  const uint3 at = shader_thread_position_in_grid(threads);
  return at.x >= threads[0] || at.y >= threads[1] || at.z >= threads[2];
}
SHADER_FUNCTION uint shader_thread_index_in_threadgroup(const uint*) {
  return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
}
SHADER_FUNCTION uint shader_thread_index_in_simdgroup(const uint* t) { return shader_thread_index_in_threadgroup(t) % 32; }
SHADER_FUNCTION uint shader_simdgroup_index_in_threadgroup(const uint* t) { return shader_thread_index_in_threadgroup(t) / 32; }
SHADER_FUNCTION uint shader_threads_per_simdgroup(const uint*) { return 32; }
SHADER_FUNCTION uint shader_simdgroups_per_threadgroup(const uint*) { return (blockDim.x * blockDim.y * blockDim.z + 31) / 32; }
