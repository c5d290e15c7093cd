// Vectors and functions of the Metal shading language for hosts whose compilers are not Metal's. A host says before:
// SHADER_FUNCTION and SHADER_UNROLL, `shader_std` (type traits), `shader_math` (functions of floats), and
// `shader::plain`, what a value is that may stand in memory.

template <class T>
struct alignas(2 * sizeof(T)) Vector2 {
  static constexpr int WIDTH = 2;
  using Element = T;
  T x, y;
  SHADER_FUNCTION Vector2() : x(), y() {}
  SHADER_FUNCTION explicit Vector2(T v) : x(v), y(v) {}
  SHADER_FUNCTION Vector2(T x, T y) : x(x), y(y) {}
  template <class U> SHADER_FUNCTION explicit Vector2(Vector2<U> v) : x(T(v.x)), y(T(v.y)) {}
  SHADER_FUNCTION T& operator[](int i) { return (&x)[i]; }
  SHADER_FUNCTION T operator[](int i) const { return (&x)[i]; }
};
template <class T>
struct Vector3 {
  static constexpr int WIDTH = 3;
  using Element = T;
  T x, y, z;
  SHADER_FUNCTION Vector3() : x(), y(), z() {}
  SHADER_FUNCTION explicit Vector3(T v) : x(v), y(v), z(v) {}
  SHADER_FUNCTION Vector3(T x, T y, T z) : x(x), y(y), z(z) {}
  SHADER_FUNCTION Vector3(Vector2<T> a, T z) : x(a.x), y(a.y), z(z) {}
  template <class U> SHADER_FUNCTION explicit Vector3(Vector3<U> v) : x(T(v.x)), y(T(v.y)), z(T(v.z)) {}
  SHADER_FUNCTION T& operator[](int i) { return (&x)[i]; }
  SHADER_FUNCTION T operator[](int i) const { return (&x)[i]; }
};
template <class T>
struct alignas(4 * sizeof(T)) Vector4 {
  static constexpr int WIDTH = 4;
  using Element = T;
  T x, y, z, w;
  SHADER_FUNCTION Vector4() : x(), y(), z(), w() {}
  SHADER_FUNCTION explicit Vector4(T v) : x(v), y(v), z(v), w(v) {}
  SHADER_FUNCTION Vector4(T x, T y, T z, T w) : x(x), y(y), z(z), w(w) {}
  SHADER_FUNCTION Vector4(Vector2<T> a, Vector2<T> b) : x(a.x), y(a.y), z(b.x), w(b.y) {}
  SHADER_FUNCTION Vector4(Vector3<T> a, T w) : x(a.x), y(a.y), z(a.z), w(w) {}
  template <class U> SHADER_FUNCTION explicit Vector4(Vector4<U> v) : x(T(v.x)), y(T(v.y)), z(T(v.z)), w(T(v.w)) {}
  SHADER_FUNCTION T& operator[](int i) { return (&x)[i]; }
  SHADER_FUNCTION T operator[](int i) const { return (&x)[i]; }
};

namespace shader {
template <class T, class = void> struct IsVector { static constexpr bool value = false; };
template <class T> struct IsVector<T, shader_std::void_t<typename T::Element>> { static constexpr bool value = true; };
template <class A> using Plain = shader_std::decay_t<decltype(plain(shader_std::declval<const A&>()))>;
// Two arguments of one type, or a place in memory that holds one.
template <class A, class B> using Common = shader_std::conditional_t<shader_std::is_same_v<Plain<A>, Plain<B>>, Plain<A>, void>;

template <class V, class F>
SHADER_FUNCTION V each(const V& a, F function) {
  V out;
  SHADER_UNROLL for (int i = 0; i < V::WIDTH; i++) out[i] = function(a[i]);
  return out;
}
template <class V, class F>
SHADER_FUNCTION V each(const V& a, const V& b, F function) {
  V out;
  SHADER_UNROLL for (int i = 0; i < V::WIDTH; i++) out[i] = function(a[i], b[i]);
  return out;
}
// A value as a vector: itself, or its number in each place.
template <class V> SHADER_FUNCTION V spread(const V& v, const V&) { return v; }
template <class V> SHADER_FUNCTION V spread(typename V::Element x, const V&) { return V(x); }
}  // namespace shader

template <class V> using ElementOf = typename V::Element;
#define METAL_OPERATOR(op)                                                                                            \
  template <class V, class = ElementOf<V>> SHADER_FUNCTION V operator op(const V& a, const V& b) {                    \
    return shader::each(a, b, [](ElementOf<V> x, ElementOf<V> y) { return ElementOf<V>(x op y); });                   \
  }                                                                                                                   \
  template <class V> SHADER_FUNCTION V operator op(const V& a, ElementOf<V> b) { return a op V(b); }                  \
  template <class V> SHADER_FUNCTION V operator op(ElementOf<V> a, const V& b) { return V(a) op b; }                  \
  template <class V, class W, class = ElementOf<V>> SHADER_FUNCTION V& operator op##=(V& a, const W& b) { return a = a op b; }
METAL_OPERATOR(+)
METAL_OPERATOR(-)
METAL_OPERATOR(*)
METAL_OPERATOR(/)
template <class V, class = ElementOf<V>> SHADER_FUNCTION V operator-(const V& a) {
  return shader::each(a, [](ElementOf<V> x) { return ElementOf<V>(-x); });
}

namespace metal {

// Functions of floats; half and bfloat are computed as float and rounded.
#define METAL_FUNCTION(name, expression)                                               \
  template <class A> SHADER_FUNCTION auto name(const A& argument) {                    \
    using T = shader::Plain<A>;                                                        \
    if constexpr (shader::IsVector<T>::value) {                                        \
      return shader::each(T(shader::plain(argument)), [](auto e) { return name(e); }); \
    } else if constexpr (shader_std::is_integral_v<T>) {                               \
      const float x = float(shader::plain(argument));                                  \
      return float(expression);                                                        \
    } else {                                                                           \
      const float x = float(shader::plain(argument));                                  \
      return T(float(expression));                                                     \
    }                                                                                  \
  }
METAL_FUNCTION(sqrt, shader_math::sqrt(x))
METAL_FUNCTION(rsqrt, shader_math::rsqrt(x))
METAL_FUNCTION(exp, shader_math::exp(x))
METAL_FUNCTION(exp2, shader_math::exp2(x))
METAL_FUNCTION(exp10, shader_math::exp10(x))
METAL_FUNCTION(log, shader_math::log(x))
METAL_FUNCTION(log2, shader_math::log2(x))
METAL_FUNCTION(log10, shader_math::log10(x))
METAL_FUNCTION(sin, shader_math::sin(x))
METAL_FUNCTION(cos, shader_math::cos(x))
METAL_FUNCTION(tan, shader_math::tan(x))
METAL_FUNCTION(asin, shader_math::asin(x))
METAL_FUNCTION(acos, shader_math::acos(x))
METAL_FUNCTION(atan, shader_math::atan(x))
METAL_FUNCTION(sinh, shader_math::sinh(x))
METAL_FUNCTION(cosh, shader_math::cosh(x))
METAL_FUNCTION(tanh, shader_math::tanh(x))
METAL_FUNCTION(floor, shader_math::floor(x))
METAL_FUNCTION(ceil, shader_math::ceil(x))
METAL_FUNCTION(round, shader_math::round(x))
METAL_FUNCTION(rint, shader_math::rint(x))
METAL_FUNCTION(trunc, shader_math::trunc(x))
METAL_FUNCTION(fabs, shader_math::fabs(x))
METAL_FUNCTION(fract, x - shader_math::floor(x))
METAL_FUNCTION(saturate, x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x)
METAL_FUNCTION(sign, x > 0.0f ? 1.0f : x < 0.0f ? -1.0f : 0.0f)

template <class A> SHADER_FUNCTION bool isnan(const A& a) { return shader_math::isnan(float(shader::plain(a))); }
template <class A> SHADER_FUNCTION bool isinf(const A& a) { return shader_math::isinf(float(shader::plain(a))); }
template <class A> SHADER_FUNCTION bool isfinite(const A& a) { return shader_math::isfinite(float(shader::plain(a))); }

#define METAL_FUNCTION_OF_TWO(name, expression)                                                                     \
  template <class A, class B> SHADER_FUNCTION auto name(const A& first, const B& second) {                          \
    using T = shader::Common<A, B>;                                                                                 \
    static_assert(!shader_std::is_void_v<T>, #name " takes two values of one type, as in Metal: cast one of them"); \
    const T a = shader::plain(first);                                                                               \
    const T b = shader::plain(second);                                                                              \
    if constexpr (shader::IsVector<T>::value) {                                                                     \
      return shader::each(a, b, [](auto x, auto y) { return name(x, y); });                                         \
    } else {                                                                                                        \
      return T(expression);                                                                                         \
    }                                                                                                               \
  }
METAL_FUNCTION_OF_TWO(max, a > b ? a : b)
METAL_FUNCTION_OF_TWO(min, a < b ? a : b)
METAL_FUNCTION_OF_TWO(fmax, shader_math::fmax(float(a), float(b)))
METAL_FUNCTION_OF_TWO(fmin, shader_math::fmin(float(a), float(b)))
METAL_FUNCTION_OF_TWO(pow, shader_math::pow(float(a), float(b)))
METAL_FUNCTION_OF_TWO(powr, shader_math::pow(float(a), float(b)))
METAL_FUNCTION_OF_TWO(fmod, shader_math::fmod(float(a), float(b)))
METAL_FUNCTION_OF_TWO(atan2, shader_math::atan2(float(a), float(b)))
METAL_FUNCTION_OF_TWO(step, b < a ? 0.0f : 1.0f)

template <class A> SHADER_FUNCTION auto abs(const A& argument) {
  using T = shader::Plain<A>;
  const T x = shader::plain(argument);
  if constexpr (shader::IsVector<T>::value) return shader::each(x, [](auto e) { return abs(e); });
  else return T(x < T(0) ? -x : x);
}
// The other arguments of these may be numbers where the first is a vector.
template <class A, class B, class C> SHADER_FUNCTION auto clamp(const A& argument, const B& low, const C& high) {
  using T = shader::Plain<A>;
  const T x = shader::plain(argument);
  if constexpr (shader::IsVector<T>::value) return min(max(x, shader::spread(shader::plain(low), x)), shader::spread(shader::plain(high), x));
  else return min(max(x, low), high);
}
template <class A, class B, class C> SHADER_FUNCTION auto mix(const A& a, const B& b, const C& t) {
  using T = shader::Plain<A>;
  const T from = shader::plain(a), to = shader::plain(b);
  return T(from + (to - from) * shader::plain(t));
}
template <class A, class B, class C> SHADER_FUNCTION auto fma(const A& a, const B& b, const C& c) {
  using T = shader::Plain<A>;
  const T x = shader::plain(a), y = shader::plain(b), z = shader::plain(c);
  if constexpr (shader::IsVector<T>::value) {
    T out;
    SHADER_UNROLL for (int i = 0; i < T::WIDTH; i++) out[i] = fma(x[i], y[i], z[i]);
    return out;
  } else {
    return T(shader_math::fma(float(x), float(y), float(z)));
  }
}
template <class A, class B, class C> SHADER_FUNCTION auto smoothstep(const A& low, const B& high, const C& x) {
  const auto t = saturate((shader::plain(x) - shader::plain(low)) / (shader::plain(high) - shader::plain(low)));
  return t * t * (3.0f - 2.0f * t);
}
// `b` where the condition holds; a vector of bools chooses for each element.
template <class A, class B, class C> SHADER_FUNCTION auto select(const A& a, const B& b, const C& condition) {
  using T = shader::Plain<A>;
  const T no = shader::plain(a), yes = shader::plain(b);
  if constexpr (shader::IsVector<shader::Plain<C>>::value) {
    T out;
    SHADER_UNROLL for (int i = 0; i < T::WIDTH; i++) out[i] = condition[i] ? yes[i] : no[i];
    return out;
  } else {
    return shader::plain(condition) ? yes : no;
  }
}
template <class V> SHADER_FUNCTION ElementOf<V> dot(const V& a, const V& b) {
  ElementOf<V> sum = a[0] * b[0];
  SHADER_UNROLL for (int i = 1; i < V::WIDTH; i++) sum += a[i] * b[i];
  return sum;
}
template <class V> SHADER_FUNCTION ElementOf<V> length_squared(const V& a) { return dot(a, a); }
template <class V> SHADER_FUNCTION ElementOf<V> length(const V& a) { return sqrt(dot(a, a)); }
template <class V> SHADER_FUNCTION ElementOf<V> distance(const V& a, const V& b) { return length(V(a - b)); }
template <class V> SHADER_FUNCTION V normalize(const V& a) { return a * rsqrt(dot(a, a)); }
template <class T> SHADER_FUNCTION Vector3<T> cross(const Vector3<T>& a, const Vector3<T>& b) {
  return Vector3<T>(a.y * b.z - a.z * b.y, a.z * b.x - a.x * b.z, a.x * b.y - a.y * b.x);
}

template <class To, class From> SHADER_FUNCTION To as_type(const From& from) {
  const auto value = shader::plain(from);
  static_assert(sizeof(To) == sizeof(value), "as_type needs types of one size");
  To out;
  memcpy(&out, &value, sizeof(To));
  return out;
}
template <class A> SHADER_FUNCTION auto popcount(const A& a) {
  using T = shader::Plain<A>;
  return T(shader_math::popcount(ulong(shader_std::make_unsigned_t<T>(shader::plain(a)))));
}
template <class A> SHADER_FUNCTION auto clz(const A& a) {
  using T = shader::Plain<A>;
  const ulong x = shader_std::make_unsigned_t<T>(shader::plain(a));
  return T(x ? shader_math::clz(x) - (64 - 8 * int(sizeof(T))) : 8 * int(sizeof(T)));
}
template <class A> SHADER_FUNCTION auto ctz(const A& a) {
  using T = shader::Plain<A>;
  const ulong x = shader_std::make_unsigned_t<T>(shader::plain(a));
  return T(x ? shader_math::ctz(x) : 8 * int(sizeof(T)));
}

namespace precise { using namespace metal; }
namespace fast { using namespace metal; }

}  // namespace metal

#define M_PI_F 3.14159265358979323846f
#define M_E_F 2.71828182845904523536f
