// The emulator's meaning of the names that the bodies share.
#pragma once
#include <cmath>
#include "bfloat16.h"
#include "memory.h"

typedef unsigned int uint;
typedef unsigned short ushort;
struct uint2 { uint x, y; };
struct uint4 { uint x, y, z, w; };
typedef _Float16 Half;
typedef int64_t Index;

#if ELEMENT_BITS == 32
typedef float Element;
#elif ELEMENT_IS_BFLOAT
typedef BFloat16 Element;
#else
typedef Half Element;
#endif

#define FUNCTION static inline
#define UNROLL
#define THREADGROUP_ARRAY(type, name, count) static emulator::ThreadgroupArray<type, count> name(#name)
#define THREADGROUP_BARRIER() emulator::threadgroup_barrier(emulator::Site{__FILE__, __LINE__})

#define thread_index_in_simdgroup uint(emulator::lane())
#define simdgroup_index_in_threadgroup uint(emulator::simdgroup())
#define thread_index_in_threadgroup uint(emulator::machine->current)
#define threadgroup_position_in_grid emulator::machine->group
#define threadgroups_per_grid emulator::machine->grid

#define LOAD_UINT(pointer) emulator::load_wide<uint>(pointer)
#define LOAD_UINT2(pointer) emulator::load_wide<uint2>(pointer)
#define LOAD_UINT4(pointer) emulator::load_wide<uint4>(pointer)

using emulator::writable;
using std::log2;
using std::rint;
using std::tanh;
FUNCTION float max(float a, float b) { return a > b ? a : b; }
FUNCTION float min(float a, float b) { return a < b ? a : b; }
FUNCTION int max(int a, int b) { return a > b ? a : b; }
FUNCTION int min(int a, int b) { return a < b ? a : b; }

FUNCTION float float_from_bits(uint bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}
FUNCTION float float_from_half_bits(uint bits) {
  const uint16_t narrow = uint16_t(bits);
  Half x;
  std::memcpy(&x, &narrow, 2);
  return float(x);
}
FUNCTION float centered_byte(uint word, int i) { return float(word >> 8 * i & 255u) - 128.0f; }
FUNCTION uint bits_of(float x) {
  uint bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}
FUNCTION uint bits_of(Half x) {
  uint16_t bits;
  std::memcpy(&bits, &x, 2);
  return bits;
}
FUNCTION uint bits_of(BFloat16 x) { return x.bits; }
FUNCTION float fast_exp2(float x) { return std::exp2(x); }

FUNCTION float simd_shuffle_xor(float value, int mask, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  const emulator::Site site{file, line};
  const int other = emulator::lane() ^ mask;
  const emulator::Slot* slots = emulator::exchange(value, site);
  if (other >= emulator::simdgroup_lanes(emulator::simdgroup())) {
    emulator::fail("shuffle from lane " + std::to_string(other) + ", which does not exist, at " + emulator::at(site));
  }
  return emulator::value_of<float>(slots, other);
}

template <typename P>
FUNCTION bool starts_aligned(P pointer) { return pointer.index % 8 == 0 && uintptr_t(pointer.array->data) % 16 == 0; }

template <typename P>
FUNCTION bool is_wide(P pointer, Index stride) { return stride == 1 && pointer.index % 8 == 0; }
