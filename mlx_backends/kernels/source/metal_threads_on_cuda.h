// Metal's barriers, simdgroups and positions on CUDA, and the names of its vectors.
namespace metal {
enum class mem_flags { mem_none = 0, mem_device = 1, mem_threadgroup = 2, mem_texture = 4 };
SHADER_FUNCTION mem_flags operator|(mem_flags a, mem_flags b) { return mem_flags(int(a) | int(b)); }
SHADER_FUNCTION void threadgroup_barrier(mem_flags) { __syncthreads(); }
SHADER_FUNCTION void simdgroup_barrier(mem_flags) { __syncwarp(); }

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
}  // namespace metal
using namespace metal;

// Where a thread is. `threads` holds the sizes of the grid.
SHADER_FUNCTION Vector3<uint> shader_threads_per_grid(const uint* threads) { return Vector3<uint>(threads[0], threads[1], threads[2]); }
SHADER_FUNCTION Vector3<uint> shader_thread_position_in_threadgroup(const uint*) { return Vector3<uint>(threadIdx.x, threadIdx.y, threadIdx.z); }
SHADER_FUNCTION Vector3<uint> shader_threadgroup_position_in_grid(const uint*) { return Vector3<uint>(blockIdx.x, blockIdx.y, blockIdx.z); }
SHADER_FUNCTION Vector3<uint> shader_threadgroups_per_grid(const uint*) { return Vector3<uint>(gridDim.x, gridDim.y, gridDim.z); }
SHADER_FUNCTION Vector3<uint> shader_thread_position_in_grid(const uint*) {
  return Vector3<uint>(blockIdx.x * blockDim.x + threadIdx.x, blockIdx.y * blockDim.y + threadIdx.y, blockIdx.z * blockDim.z + threadIdx.z);
}
// The current threadgroup may be cut by the edge of the grid.
SHADER_FUNCTION Vector3<uint> shader_threads_per_threadgroup(const uint* threads) {
  return Vector3<uint>(min(blockDim.x, threads[0] - blockIdx.x * blockDim.x), min(blockDim.y, threads[1] - blockIdx.y * blockDim.y),
                      min(blockDim.z, threads[2] - blockIdx.z * blockDim.z));
}
SHADER_FUNCTION bool shader_is_outside(const uint* threads) {
  const Vector3<uint> at = shader_thread_position_in_grid(threads);
  return at.x >= threads[0] || at.y >= threads[1] || at.z >= threads[2];
}
SHADER_FUNCTION uint shader_thread_index_in_threadgroup(const uint*) {
  return threadIdx.x + blockDim.x * (threadIdx.y + blockDim.y * threadIdx.z);
}
SHADER_FUNCTION uint shader_thread_index_in_simdgroup(const uint* t) { return shader_thread_index_in_threadgroup(t) % 32; }
SHADER_FUNCTION uint shader_simdgroup_index_in_threadgroup(const uint* t) { return shader_thread_index_in_threadgroup(t) / 32; }
SHADER_FUNCTION uint shader_threads_per_simdgroup(const uint*) { return 32; }
SHADER_FUNCTION uint shader_simdgroups_per_threadgroup(const uint*) { return (blockDim.x * blockDim.y * blockDim.z + 31) / 32; }

// The vectors' names, which CUDA has for vectors of its own: from here on they are Metal's.
#define float2 Vector2<float>
#define float3 Vector3<float>
#define float4 Vector4<float>
#define half2 Vector2<half>
#define half3 Vector3<half>
#define half4 Vector4<half>
#define char2 Vector2<char>
#define char3 Vector3<char>
#define char4 Vector4<char>
#define short2 Vector2<short>
#define short3 Vector3<short>
#define short4 Vector4<short>
#define int2 Vector2<int>
#define int3 Vector3<int>
#define int4 Vector4<int>
#define uchar2 Vector2<uchar>
#define uchar3 Vector3<uchar>
#define uchar4 Vector4<uchar>
#define ushort2 Vector2<ushort>
#define ushort3 Vector3<ushort>
#define ushort4 Vector4<ushort>
#define uint2 Vector2<uint>
#define uint3 Vector3<uint>
#define uint4 Vector4<uint>
#define bool2 Vector2<bool>
#define bool3 Vector3<bool>
#define bool4 Vector4<bool>
