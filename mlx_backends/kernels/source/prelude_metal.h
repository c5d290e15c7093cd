// Metal's meaning of the names that the bodies share.
#include <metal_stdlib>
using namespace metal;

#define FUNCTION inline
#define UNROLL _Pragma("clang loop unroll(full)")
#define THREADGROUP_ARRAY(type, name, count) threadgroup type name[count]
#define THREADGROUP_BARRIER() threadgroup_barrier(mem_flags::mem_threadgroup)

// One wide load from the address `pointer`.
#define LOAD_UINT(pointer) (*(const device uint*)(pointer))
#define LOAD_UINT2(pointer) (*(const device uint2*)(pointer))
#define LOAD_UINT4(pointer) (*(const device uint4*)(pointer))

#if ELEMENT_BITS == 32
typedef float Element;
#elif ELEMENT_IS_BFLOAT
typedef bfloat16_t Element;
#else
typedef half Element;
#endif
typedef half Half;
typedef long Index;  // offsets into a pool, which may hold more than 2^31 elements

// MLX passes every input as const; kernels that write in place say so with this.
template <typename T>
FUNCTION device T* writable(const device T* pointer) { return (device T*)pointer; }

FUNCTION float float_from_bits(uint bits) { return as_type<float>(bits); }
FUNCTION float float_from_half_bits(uint bits) { return float(as_type<half>(ushort(bits))); }
// Byte i of a word, less 128.
FUNCTION float centered_byte(uint word, int i) { return float(word >> 8 * i & 255u) - 128.0f; }
FUNCTION float fast_exp2(float x) { return metal::fast::exp2(x); }

FUNCTION uint bits_of(float x) { return as_type<uint>(x); }
FUNCTION uint bits_of(half x) { return as_type<ushort>(x); }
FUNCTION uint bits_of(bfloat16_t x) { return as_type<ushort>(x); }

// Whether a wide load may start here. MLX's arrays do, unless they were cut out of another; Metal has
// no portable way to ask.
template <typename P>
FUNCTION bool starts_aligned(P pointer) { return true; }

// Whether the eight elements at `pointer` may be read by one wide load. Metal has no portable way to
// ask for an address, so it reads them one by one; only rows of the new tokens are read like this.
template <typename P>
FUNCTION bool is_wide(P pointer, Index stride) { return false; }
