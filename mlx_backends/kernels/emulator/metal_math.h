// The Metal shading language on this host: what metal_language.h needs, and the names of the types.
#pragma once
#include <cmath>
#include <type_traits>
#include "metal_simd.h"

#define SHADER_FUNCTION inline
#define SHADER_UNROLL
namespace shader_std = std;
namespace shader_math {
using namespace std;
inline float rsqrt(float x) { return 1.0f / std::sqrt(x); }
inline float exp10(float x) { return std::pow(10.0f, x); }
inline int popcount(uint64_t x) { return __builtin_popcountll(x); }
inline int clz(uint64_t x) { return __builtin_clzll(x); }
inline int ctz(uint64_t x) { return __builtin_ctzll(x); }
}  // namespace shader_math
namespace shader { using emulator::plain; }

typedef unsigned int uint;
typedef unsigned short ushort;
typedef unsigned char uchar;
typedef unsigned long ulong;
typedef _Float16 half;
typedef BFloat16 bfloat;
typedef half float16_t;
typedef BFloat16 bfloat16_t;

#include "metal_language.h"

#define METAL_VECTORS(name, type) \
  typedef Vector2<type> name##2;  \
  typedef Vector3<type> name##3;  \
  typedef Vector4<type> name##4;
METAL_VECTORS(float, float)
METAL_VECTORS(half, half)
METAL_VECTORS(char, signed char)
METAL_VECTORS(short, short)
METAL_VECTORS(int, int)
METAL_VECTORS(uchar, uchar)
METAL_VECTORS(ushort, ushort)
METAL_VECTORS(uint, uint)
METAL_VECTORS(bool, bool)
