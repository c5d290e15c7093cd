// Scalars, vectors and functions of the Metal shading language, as far as they are emulated.
#pragma once
#include <cmath>
#include "metal_memory.h"

typedef unsigned int uint;
typedef unsigned short ushort;
typedef unsigned char uchar;
typedef unsigned long ulong;
typedef _Float16 half;
typedef BFloat16 bfloat;
typedef half float16_t;
typedef BFloat16 bfloat16_t;

template <class T>
struct alignas(2 * sizeof(T)) Vector2 {
  static constexpr int WIDTH = 2;
  using Element = T;
  T x, y;
  Vector2() : x(), y() {}
  explicit Vector2(T v) : x(v), y(v) {}
  Vector2(T x, T y) : x(x), y(y) {}
  template <class U> explicit Vector2(Vector2<U> v) : x(T(v.x)), y(T(v.y)) {}
  T& operator[](int i) { return (&x)[i]; }
  T operator[](int i) const { return (&x)[i]; }
};
template <class T>
struct Vector3 {
  static constexpr int WIDTH = 3;
  using Element = T;
  T x, y, z;
  Vector3() : x(), y(), z() {}
  explicit Vector3(T v) : x(v), y(v), z(v) {}
  Vector3(T x, T y, T z) : x(x), y(y), z(z) {}
  template <class U> explicit Vector3(Vector3<U> v) : x(T(v.x)), y(T(v.y)), z(T(v.z)) {}
  T& operator[](int i) { return (&x)[i]; }
  T operator[](int i) const { return (&x)[i]; }
};
template <class T>
struct alignas(4 * sizeof(T)) Vector4 {
  static constexpr int WIDTH = 4;
  using Element = T;
  T x, y, z, w;
  Vector4() : x(), y(), z(), w() {}
  explicit Vector4(T v) : x(v), y(v), z(v), w(v) {}
  Vector4(T x, T y, T z, T w) : x(x), y(y), z(z), w(w) {}
  Vector4(Vector2<T> a, Vector2<T> b) : x(a.x), y(a.y), z(b.x), w(b.y) {}
  template <class U> explicit Vector4(Vector4<U> v) : x(T(v.x)), y(T(v.y)), z(T(v.z)), w(T(v.w)) {}
  T& operator[](int i) { return (&x)[i]; }
  T operator[](int i) const { return (&x)[i]; }
};

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

template <class V> using ElementOf = typename V::Element;
template <class V, class F>
V each(const V& a, F function) {
  V out;
  for (int i = 0; i < V::WIDTH; i++) out[i] = function(a[i]);
  return out;
}
#define METAL_OPERATOR(op)                                                                                                       \
  template <class V, class = ElementOf<V>> V operator op(const V& a, const V& b) {                                              \
    V out;                                                                                                                       \
    for (int i = 0; i < V::WIDTH; i++) out[i] = ElementOf<V>(a[i] op b[i]);                                                      \
    return out;                                                                                                                  \
  }                                                                                                                              \
  template <class V> V operator op(const V& a, ElementOf<V> b) { return a op V(b); }                                             \
  template <class V> V operator op(ElementOf<V> a, const V& b) { return V(a) op b; }                                             \
  template <class V, class W, class = ElementOf<V>> V& operator op##=(V& a, const W& b) { return a = a op b; }
METAL_OPERATOR(+)
METAL_OPERATOR(-)
METAL_OPERATOR(*)
METAL_OPERATOR(/)
template <class V, class = ElementOf<V>> V operator-(const V& a) { return each(a, [](ElementOf<V> x) { return ElementOf<V>(-x); }); }

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

// Functions of floats; half and bfloat are computed as float and rounded.
#define METAL_FUNCTION(name, expression)                                                       \
  template <class A> auto name(const A& argument) {                                            \
    using T = emulator::Plain<A>;                                                              \
    if constexpr (std::is_class_v<T> && !std::is_same_v<T, BFloat16>) {                        \
      return each(T(emulator::plain(argument)), [](auto element) { return name(element); });   \
    } else if constexpr (std::is_integral_v<T>) {                                              \
      const float x = float(emulator::plain(argument));                                        \
      return float(expression);                                                                \
    } else {                                                                                   \
      const float x = float(emulator::plain(argument));                                        \
      return T(float(expression));                                                             \
    }                                                                                          \
  }
METAL_FUNCTION(sqrt, std::sqrt(x))
METAL_FUNCTION(rsqrt, 1.0f / std::sqrt(x))
METAL_FUNCTION(exp, std::exp(x))
METAL_FUNCTION(exp2, std::exp2(x))
METAL_FUNCTION(exp10, std::pow(10.0f, x))
METAL_FUNCTION(log, std::log(x))
METAL_FUNCTION(log2, std::log2(x))
METAL_FUNCTION(log10, std::log10(x))
METAL_FUNCTION(sin, std::sin(x))
METAL_FUNCTION(cos, std::cos(x))
METAL_FUNCTION(tan, std::tan(x))
METAL_FUNCTION(asin, std::asin(x))
METAL_FUNCTION(acos, std::acos(x))
METAL_FUNCTION(atan, std::atan(x))
METAL_FUNCTION(sinh, std::sinh(x))
METAL_FUNCTION(cosh, std::cosh(x))
METAL_FUNCTION(tanh, std::tanh(x))
METAL_FUNCTION(floor, std::floor(x))
METAL_FUNCTION(ceil, std::ceil(x))
METAL_FUNCTION(round, std::round(x))
METAL_FUNCTION(rint, std::rint(x))
METAL_FUNCTION(trunc, std::trunc(x))
METAL_FUNCTION(fabs, std::fabs(x))
METAL_FUNCTION(fract, x - std::floor(x))
METAL_FUNCTION(saturate, x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x)
METAL_FUNCTION(sign, x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : 0.0f)

template <class A> bool isnan(const A& a) { return std::isnan(float(emulator::plain(a))); }
template <class A> bool isinf(const A& a) { return std::isinf(float(emulator::plain(a))); }
template <class A> bool isfinite(const A& a) { return std::isfinite(float(emulator::plain(a))); }

// Two arguments of one type, or a place in memory that holds one.
template <class A, class B>
using Common = std::conditional_t<std::is_same_v<emulator::Plain<A>, emulator::Plain<B>>, emulator::Plain<A>, void>;
#define METAL_FUNCTION_OF_TWO(name, expression)                                                              \
  template <class A, class B> auto name(const A& first, const B& second) {                                   \
    using T = Common<A, B>;                                                                                  \
    static_assert(!std::is_void_v<T>, #name " takes two values of one type, as in Metal: cast one of them"); \
    const auto a = emulator::plain(first);                                                                   \
    const auto b = emulator::plain(second);                                                                  \
    if constexpr (std::is_class_v<T> && !std::is_same_v<T, BFloat16>) {                                      \
      T out;                                                                                                 \
      for (int i = 0; i < T::WIDTH; i++) out[i] = name(a[i], b[i]);                                          \
      return out;                                                                                            \
    } else {                                                                                                 \
      return T(expression);                                                                                  \
    }                                                                                                        \
  }
METAL_FUNCTION_OF_TWO(max, a > b ? a : b)
METAL_FUNCTION_OF_TWO(min, a < b ? a : b)
METAL_FUNCTION_OF_TWO(fmax, std::fmax(float(a), float(b)))
METAL_FUNCTION_OF_TWO(fmin, std::fmin(float(a), float(b)))
METAL_FUNCTION_OF_TWO(pow, std::pow(float(a), float(b)))
METAL_FUNCTION_OF_TWO(powr, std::pow(float(a), float(b)))
METAL_FUNCTION_OF_TWO(fmod, std::fmod(float(a), float(b)))
METAL_FUNCTION_OF_TWO(atan2, std::atan2(float(a), float(b)))
METAL_FUNCTION_OF_TWO(step, b < a ? 0.0f : 1.0f)

template <class A> auto abs(const A& argument) {
  const auto x = emulator::plain(argument);
  if constexpr (std::is_class_v<decltype(x)> && !std::is_same_v<emulator::Plain<A>, BFloat16>) return each(x, [](auto e) { return abs(e); });
  else return emulator::Plain<A>(x < decltype(x)(0) ? -x : x);
}
template <class A, class B, class C> auto clamp(const A& x, const B& low, const C& high) { return min(max(x, low), high); }
template <class A, class B, class C> auto fma(const A& a, const B& b, const C& c) {
  return emulator::Plain<A>(std::fma(float(emulator::plain(a)), float(emulator::plain(b)), float(emulator::plain(c))));
}
template <class A, class B, class C> auto mix(const A& a, const B& b, const C& t) {
  return emulator::plain(a) + (emulator::plain(b) - emulator::plain(a)) * emulator::plain(t);
}
template <class A, class B> auto select(const A& a, const B& b, bool condition) {
  return condition ? emulator::plain(b) : emulator::plain(a);
}
template <class V> ElementOf<V> dot(const V& a, const V& b) {
  ElementOf<V> sum = a[0] * b[0];
  for (int i = 1; i < V::WIDTH; i++) sum += a[i] * b[i];
  return sum;
}
template <class V> ElementOf<V> length(const V& a) { return sqrt(dot(a, a)); }
template <class V> V normalize(const V& a) { return a * rsqrt(dot(a, a)); }

template <class To, class From> To as_type(const From& from) {
  const auto value = emulator::plain(from);
  static_assert(sizeof(To) == sizeof(value), "as_type needs types of one size");
  To out;
  std::memcpy(&out, &value, sizeof(To));
  return out;
}
template <class A> auto popcount(const A& a) { return emulator::Plain<A>(__builtin_popcountll(uint64_t(std::make_unsigned_t<emulator::Plain<A>>(emulator::plain(a))))); }
template <class A> auto clz(const A& a) {
  const uint64_t x = std::make_unsigned_t<emulator::Plain<A>>(emulator::plain(a));
  return emulator::Plain<A>(x ? __builtin_clzll(x) - (64 - 8 * int(sizeof(emulator::Plain<A>))) : 8 * sizeof(emulator::Plain<A>));
}
template <class A> auto ctz(const A& a) {
  const uint64_t x = std::make_unsigned_t<emulator::Plain<A>>(emulator::plain(a));
  return emulator::Plain<A>(x ? __builtin_ctzll(x) : 8 * sizeof(emulator::Plain<A>));
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

namespace precise { using namespace metal; }
namespace fast { using namespace metal; }

}  // namespace metal

#define M_PI_F 3.14159265358979323846f
#define M_E_F 2.71828182845904523536f
