// CUDA's meaning of the names that the bodies share. Threadgroups are one-dimensional.
#define FUNCTION __device__ __forceinline__
#define UNROLL _Pragma("unroll")
#define THREADGROUP_ARRAY(type, name, count) __shared__ type name[count]
#define THREADGROUP_BARRIER() __syncthreads()

#define thread_index_in_simdgroup (threadIdx.x % 32)
#define simdgroup_index_in_threadgroup (threadIdx.x / 32)
#define thread_index_in_threadgroup (threadIdx.x)
#define threadgroup_position_in_grid blockIdx
#define threadgroups_per_grid gridDim

typedef unsigned int uint;

// One wide load through the read-only path: no kernel reads an address that the same launch writes.
#define LOAD_UINT(pointer) __ldg((const uint*)(pointer))
#define LOAD_UINT2(pointer) __ldg((const uint2*)(pointer))
#define LOAD_UINT4(pointer) __ldg((const uint4*)(pointer))

#if ELEMENT_BITS == 32
typedef float Element;
#elif ELEMENT_IS_BFLOAT
typedef __nv_bfloat16 Element;
#else
typedef __half Element;
#endif
typedef __half Half;
typedef long long Index;  // offsets into a pool, which may hold more than 2^31 elements

// MLX passes every input as const; kernels that write in place say so with this.
template <typename T>
FUNCTION T* writable(const T* pointer) { return const_cast<T*>(pointer); }

FUNCTION float float_from_bits(uint bits) { return __uint_as_float(bits); }
FUNCTION float float_from_half_bits(uint bits) { return __half2float(__ushort_as_half((unsigned short)bits)); }
// Byte i of a word, less 128. Put into the mantissa of 2^23, which a GPU does faster than it converts.
FUNCTION float centered_byte(uint word, int i) {
  return __uint_as_float(__byte_perm(word, 0x4b000000u, 0x7650u | i)) - (8388608.0f + 128.0f);
}
FUNCTION float fast_exp2(float x) {
  float y;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
  return y;
}
FUNCTION float simd_shuffle_xor(float value, int mask) { return __shfl_xor_sync(0xffffffffu, value, mask); }

FUNCTION uint bits_of(float x) { return __float_as_uint(x); }
FUNCTION uint bits_of(__half x) { return __half_as_ushort(x); }
FUNCTION uint bits_of(__nv_bfloat16 x) { return __bfloat16_as_ushort(x); }

// Whether a wide load may start here. MLX's arrays do, unless they were cut out of another.
template <typename P>
FUNCTION bool starts_aligned(P pointer) { return (unsigned long long)pointer % 16 == 0; }

// Whether the eight elements at `pointer` may be read by one wide load.
template <typename P>
FUNCTION bool is_wide(P pointer, Index stride) { return stride == 1 && (unsigned long long)pointer % 16 == 0; }
