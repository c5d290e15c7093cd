// The Metal shading language on CUDA: what metal_language.h needs. After that comes metal_threads_on_cuda.h.
#include <cuda/std/type_traits>
#include <cuda/std/utility>
typedef unsigned int uint;
typedef unsigned short ushort;
typedef unsigned char uchar;
typedef unsigned long long ulong;
typedef __half half;
typedef __nv_bfloat16 bfloat;
typedef __half float16_t;
typedef __nv_bfloat16 bfloat16_t;
#define SHADER_FUNCTION __device__ __forceinline__
#define SHADER_UNROLL _Pragma("unroll")

namespace shader_std = cuda::std;
namespace shader_math {
using ::acos; using ::asin; using ::atan; using ::atan2; using ::ceil; using ::cos; using ::cosh; using ::exp;
using ::exp2; using ::fabs; using ::floor; using ::fma; using ::fmax; using ::fmin; using ::fmod; using ::isfinite;
using ::isinf; using ::isnan; using ::log; using ::log10; using ::log2; using ::pow; using ::rint; using ::round;
using ::sin; using ::sinh; using ::sqrt; using ::tan; using ::tanh; using ::trunc;
SHADER_FUNCTION float rsqrt(float x) { return rsqrtf(x); }
SHADER_FUNCTION float exp10(float x) { return exp10f(x); }
SHADER_FUNCTION int popcount(ulong x) { return __popcll(x); }
SHADER_FUNCTION int clz(ulong x) { return __clzll((long long)x); }
SHADER_FUNCTION int ctz(ulong x) { return __ffsll((long long)x) - 1; }
}  // namespace shader_math
namespace shader {
template <class T> SHADER_FUNCTION T plain(const T& value) { return value; }
SHADER_FUNCTION float plain(const double& value) { return float(value); }  // Metal's literals are floats
}  // namespace shader
