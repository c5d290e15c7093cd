// Metal's barriers and simdgroup operations, as the emulator runs them.
#pragma once
#include "metal_memory.h"

namespace metal {

enum class mem_flags { mem_none = 0, mem_device = 1, mem_threadgroup = 2, mem_texture = 4 };
inline mem_flags operator|(mem_flags a, mem_flags b) { return mem_flags(int(a) | int(b)); }

inline void threadgroup_barrier(mem_flags flags, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  emulator::threadgroup_barrier(emulator::Site{file, line});
  if (int(flags) & int(mem_flags::mem_device)) emulator::pass_device_barrier();
}
inline void simdgroup_barrier(mem_flags, const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
  emulator::exchange(0, emulator::Site{file, line});
}

// Operations of the 32 threads of a simdgroup, which all of them have to reach.
#define METAL_SITE const char* file = __builtin_FILE(), int line = __builtin_LINE()
template <class A, class F> auto simd_reduced(const A& argument, F combine, emulator::Site site) {
  using T = emulator::Plain<A>;
  const emulator::Slot* slots = emulator::exchange(T(emulator::plain(argument)), site);
  T out = emulator::value_of<T>(slots, 0);
  for (int i = 1; i < emulator::simdgroup_lanes(emulator::simdgroup()); i++) out = T(combine(out, emulator::value_of<T>(slots, i)));
  return out;
}
template <class A> auto simd_sum(const A& a, METAL_SITE) { return simd_reduced(a, [](auto x, auto y) { return x + y; }, {file, line}); }
template <class A> auto simd_product(const A& a, METAL_SITE) { return simd_reduced(a, [](auto x, auto y) { return x * y; }, {file, line}); }
template <class A> auto simd_max(const A& a, METAL_SITE) { return simd_reduced(a, [](auto x, auto y) { return x > y ? x : y; }, {file, line}); }
template <class A> auto simd_min(const A& a, METAL_SITE) { return simd_reduced(a, [](auto x, auto y) { return x < y ? x : y; }, {file, line}); }
inline bool simd_all(bool a, METAL_SITE) { return simd_reduced(int(a), [](int x, int y) { return x & y; }, {file, line}); }
inline bool simd_any(bool a, METAL_SITE) { return simd_reduced(int(a), [](int x, int y) { return x | y; }, {file, line}); }

template <class A> auto simd_from(const A& argument, int other, emulator::Site site) {
  using T = emulator::Plain<A>;
  const emulator::Slot* slots = emulator::exchange(T(emulator::plain(argument)), site);
  if (other < 0 || other >= emulator::simdgroup_lanes(emulator::simdgroup())) {
    emulator::fail("shuffle from lane " + std::to_string(other) + ", which does not exist, at " + emulator::at(site));
  }
  return emulator::value_of<T>(slots, other);
}
template <class A> auto simd_shuffle(const A& a, int lane, METAL_SITE) { return simd_from(a, lane, {file, line}); }
template <class A> auto simd_broadcast(const A& a, int lane, METAL_SITE) { return simd_from(a, lane, {file, line}); }
template <class A> auto simd_broadcast_first(const A& a, METAL_SITE) { return simd_from(a, 0, {file, line}); }
template <class A> auto simd_shuffle_xor(const A& a, int mask, METAL_SITE) { return simd_from(a, emulator::lane() ^ mask, {file, line}); }
// Lanes beyond the end keep their own value: Metal leaves it undefined.
template <class A> auto simd_shuffle_down(const A& a, int delta, METAL_SITE) {
  const int other = emulator::lane() + delta;
  return simd_from(a, other < emulator::simdgroup_lanes(emulator::simdgroup()) ? other : emulator::lane(), {file, line});
}
template <class A> auto simd_shuffle_up(const A& a, int delta, METAL_SITE) {
  return simd_from(a, emulator::lane() >= delta ? emulator::lane() - delta : emulator::lane(), {file, line});
}
template <class A> auto simd_prefix_sum(const A& argument, int last, emulator::Site site) {
  using T = emulator::Plain<A>;
  const emulator::Slot* slots = emulator::exchange(T(emulator::plain(argument)), site);
  T sum = T(0);
  for (int i = 0; i < last; i++) sum = T(sum + emulator::value_of<T>(slots, i));
  return sum;
}
template <class A> auto simd_prefix_inclusive_sum(const A& a, METAL_SITE) { return simd_prefix_sum(a, emulator::lane() + 1, {file, line}); }
template <class A> auto simd_prefix_exclusive_sum(const A& a, METAL_SITE) { return simd_prefix_sum(a, emulator::lane(), {file, line}); }

}  // namespace metal
