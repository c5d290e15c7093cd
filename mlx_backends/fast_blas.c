/* The names under which MLX calls a BLAS, in front of scipy-openblas32; see fast_blas.py.
 *
 * Products with few rows, which is what decode steps are, do not go to sgemm: it first copies the
 * whole weight into a packed form, to use it once. */

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { ROW_MAJOR = 101, NO_TRANS = 111, TRANS = 112 };
enum { MAX_FEW_ROWS = 16 }; /* measured: from 32 on, sgemm is as fast */
int uses_few_rows = 1;

void scipy_cblas_sgemv(int, int, int, int, float, const float*, int, const float*, int, float,
                       float*, int);

/* y = op(A) x for an A of (rows, columns), as MLX lays it out. */
static void multiply_vector(int is_transposed, int rows, int columns, float alpha, const float* a,
                            int lda, const float* x, int incx, float beta, float* y, int incy) {
  scipy_cblas_sgemv(ROW_MAJOR, is_transposed ? TRANS : NO_TRANS, is_transposed ? columns : rows,
                    is_transposed ? rows : columns, alpha, a, lda, x, incx, beta, y, incy);
}

/* c = alpha x w^T + beta c for a few rows x (m, k) and a weight w (n, k), which is read once and in
 * place. Tiles of TILE rows of both stay in vector registers; while the last tile of x is computed,
 * the weight's next rows are fetched. A number does not depend on how many rows there are.
 *
 * LOAD makes a vector of what lies at an address: floats, or bytes of which each group of columns
 * has a scale and an offset. Floats are one group. */
typedef struct {
  const float *scales, *offsets; /* (n, k / size) */
  int size;
} Groups;

#define FEW_ROWS(NAME, TARGET, LANES, TILE, AHEAD, ELEMENT, LOAD)                                 \
  typedef float NAME##_vector __attribute__((vector_size(4 * LANES), aligned(4)));               \
                                                                                                 \
  static inline __attribute__((always_inline, target(TARGET))) void NAME##_tile(                 \
      const int num_x, const int num_w, int fetches, int k, float alpha, const float* x,         \
      long ldx, const ELEMENT* w, long ldw, Groups groups, float beta, float* c, long ldc) {     \
    const int is_packed = sizeof(ELEMENT) == 1, per_line = 64 / sizeof(ELEMENT);                 \
    const long num_groups = is_packed ? k / groups.size : 1;                                     \
    NAME##_vector sums[TILE][TILE] = {0};                                                        \
    int at = 0;                                                                                  \
    for (int group = 0; group < num_groups; group++) {                                           \
      NAME##_vector scales[TILE], offsets[TILE];                                                 \
      _Pragma("GCC unroll 4") for (int j = 0; is_packed && j < num_w; j++) {                     \
        scales[j] = (NAME##_vector){0} + groups.scales[j * num_groups + group];                  \
        offsets[j] = (NAME##_vector){0} + groups.offsets[j * num_groups + group];                \
      }                                                                                          \
      for (int stop = is_packed ? at + groups.size : k; at + LANES <= stop; at += LANES) {       \
        NAME##_vector ws[TILE];                                                                  \
        _Pragma("GCC unroll 4") for (int j = 0; j < num_w; j++) {                                \
          ws[j] = LOAD(NAME##_vector, w + j * ldw + at, scales[j], offsets[j]);                  \
          if (fetches && at % per_line < LANES)                                                  \
            __builtin_prefetch(w + (j + AHEAD * TILE) * ldw + at, 0, 2);                         \
        }                                                                                        \
        _Pragma("GCC unroll 4") for (int i = 0; i < num_x; i++) {                                \
          NAME##_vector xs = *(const NAME##_vector*)(x + i * ldx + at);                          \
          _Pragma("GCC unroll 4") for (int j = 0; j < num_w; j++) sums[i][j] += xs * ws[j];      \
        }                                                                                        \
      }                                                                                          \
    }                                                                                            \
    _Pragma("GCC unroll 4") for (int i = 0; i < num_x; i++) {                                    \
      _Pragma("GCC unroll 4") for (int j = 0; j < num_w; j++) {                                  \
        float sum = 0, *out = c + i * ldc + j;                                                   \
        for (int lane = 0; lane < LANES; lane++) sum += sums[i][j][lane];                        \
        for (int p = at; p < k; p++) sum += x[i * ldx + p] * w[j * ldw + p];                     \
        *out = alpha * sum + (beta == 0 ? 0 : beta * *out);                                      \
      }                                                                                          \
    }                                                                                            \
  }                                                                                              \
                                                                                                 \
  static __attribute__((target(TARGET))) void NAME(                                              \
      int m, int n, int k, float alpha, const float* x, long ldx, const ELEMENT* w, long ldw,    \
      Groups groups, float beta, float* c, long ldc) {                                           \
    const long num_groups = groups.size ? k / groups.size : 0;                                   \
    int j = 0;                                                                                   \
    for (; j + TILE <= n; j += TILE) {                                                           \
      int has_next = j + (1 + AHEAD) * TILE <= n;                                                \
      Groups of_rows = {groups.scales + j * num_groups, groups.offsets + j * num_groups,         \
                        groups.size};                                                            \
      for (int i = 0; i < m; i += TILE) {                                                        \
        int fetches = has_next && i + TILE >= m;                                                 \
        const float* xs = x + i * ldx;                                                           \
        const ELEMENT* ws = w + j * ldw;                                                         \
        float* out = c + i * ldc + j;                                                            \
        switch (m - i) {                                                                         \
          case 1: NAME##_tile(1, TILE, fetches, k, alpha, xs, ldx, ws, ldw, of_rows, beta, out, ldc); break; \
          case 2: NAME##_tile(2, TILE, fetches, k, alpha, xs, ldx, ws, ldw, of_rows, beta, out, ldc); break; \
          case 3: NAME##_tile(3, TILE, fetches, k, alpha, xs, ldx, ws, ldw, of_rows, beta, out, ldc); break; \
          default: NAME##_tile(TILE, TILE, fetches, k, alpha, xs, ldx, ws, ldw, of_rows, beta, out, ldc); \
        }                                                                                        \
      }                                                                                          \
    }                                                                                            \
    for (; j < n; j++)                                                                           \
      for (int i = 0; i < m; i++)                                                                \
        NAME##_tile(1, 1, 0, k, alpha, x + i * ldx, ldx, w + j * ldw, ldw,                       \
                    (Groups){groups.scales + j * num_groups, groups.offsets + j * num_groups,    \
                             groups.size},                                                       \
                    beta, c + i * ldc + j, ldc);                                                 \
  }

#if defined(__x86_64__)
#include <immintrin.h>

#define FLOATS(VECTOR, at, scale, offset) *(const VECTOR*)(at)
#define BYTES_512(VECTOR, at, scale, offset) \
  (VECTOR) _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const void*)(at)))) * scale + offset
#define BYTES_256(VECTOR, at, scale, offset) \
  (VECTOR) _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const void*)(at)))) * scale + offset
FEW_ROWS(few_rows_avx512, "avx512f", 16, 4, 1, float, FLOATS)
FEW_ROWS(few_rows_avx2, "avx2,fma", 8, 3, 1, float, FLOATS)
FEW_ROWS(few_rows_of_bytes_avx512, "avx512f", 16, 4, 2, uint8_t, BYTES_512)
FEW_ROWS(few_rows_of_bytes_avx2, "avx2,fma", 8, 3, 2, uint8_t, BYTES_256)

int has_few_rows(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static void multiply_few_rows(int m, int n, int k, float alpha, const float* x, int ldx,
                              const float* w, int ldw, float beta, float* c, int ldc) {
  Groups none = {0};
  if (__builtin_cpu_supports("avx512f"))
    few_rows_avx512(m, n, k, alpha, x, ldx, w, ldw, none, beta, c, ldc);
  else
    few_rows_avx2(m, n, k, alpha, x, ldx, w, ldw, none, beta, c, ldc);
}

static void multiply_few_rows_of_bytes(int m, int n, int k, float alpha, const float* x, int ldx,
                                       const uint8_t* w, Groups groups, float beta, float* c,
                                       int ldc) {
  if (__builtin_cpu_supports("avx512f"))
    few_rows_of_bytes_avx512(m, n, k, alpha, x, ldx, w, k, groups, beta, c, ldc);
  else
    few_rows_of_bytes_avx2(m, n, k, alpha, x, ldx, w, k, groups, beta, c, ldc);
}
#else
int has_few_rows(void) { return 0; }

static void multiply_few_rows(int m, int n, int k, float alpha, const float* x, int ldx,
                              const float* w, int ldw, float beta, float* c, int ldc) {}

static void multiply_few_rows_of_bytes(int m, int n, int k, float alpha, const float* x, int ldx,
                                       const uint8_t* w, Groups groups, float beta, float* c,
                                       int ldc) {}
#endif

/* Weights (n, k) that are also at hand as bytes, sorted by the address of their floats. Whoever
 * enters one keeps floats and bytes alive and unchanged until it is taken out. */
typedef struct {
  const float* floats;
  int n, k;
  const uint8_t* codes;
  Groups groups;
} ByteWeight;

static ByteWeight* byte_weights;
static int num_byte_weights, max_byte_weights;
static pthread_rwlock_t byte_weights_lock = PTHREAD_RWLOCK_INITIALIZER;

/* Index of the first weight that is not before an address. */
static int place_of(const float* floats) {
  int low = 0, high = num_byte_weights;
  while (low < high) {
    int middle = (low + high) / 2;
    if (byte_weights[middle].floats < floats) low = middle + 1;
    else high = middle;
  }
  return low;
}

/* Returns whether it was entered. */
int enter_byte_weight(const float* floats, int n, int k, const uint8_t* codes, const float* scales,
                      const float* offsets, int group_size) {
  if (!has_few_rows() || group_size % 16 || k % group_size) return 0;
  pthread_rwlock_wrlock(&byte_weights_lock);
  int at = place_of(floats), is_new = at == num_byte_weights || byte_weights[at].floats != floats;
  if (is_new && num_byte_weights == max_byte_weights) {
    int wanted = max_byte_weights ? 2 * max_byte_weights : 256;
    ByteWeight* larger = realloc(byte_weights, wanted * sizeof(ByteWeight));
    is_new = larger != NULL;
    if (is_new) byte_weights = larger, max_byte_weights = wanted;
  }
  if (is_new) {
    memmove(byte_weights + at + 1, byte_weights + at, (num_byte_weights++ - at) * sizeof(ByteWeight));
    byte_weights[at] = (ByteWeight){floats, n, k, codes, {scales, offsets, group_size}};
  }
  pthread_rwlock_unlock(&byte_weights_lock);
  return is_new;
}

void remove_byte_weight(const float* floats) {
  pthread_rwlock_wrlock(&byte_weights_lock);
  int at = place_of(floats);
  if (at < num_byte_weights && byte_weights[at].floats == floats) {
    num_byte_weights--;
    memmove(byte_weights + at, byte_weights + at + 1, (num_byte_weights - at) * sizeof(ByteWeight));
  }
  pthread_rwlock_unlock(&byte_weights_lock);
}

/* Multiplies by the bytes of a weight if they are there, and tells whether they were. They cannot be
 * taken out meanwhile. */
static int multiply_by_bytes(int m, int n, int k, float alpha, const float* x, int ldx,
                             const float* w, float beta, float* c, int ldc) {
  pthread_rwlock_rdlock(&byte_weights_lock);
  int at = place_of(w);
  int is_here = at < num_byte_weights && byte_weights[at].floats == w && byte_weights[at].n == n &&
                byte_weights[at].k == k;
  if (is_here)
    multiply_few_rows_of_bytes(m, n, k, alpha, x, ldx, byte_weights[at].codes,
                               byte_weights[at].groups, beta, c, ldc);
  pthread_rwlock_unlock(&byte_weights_lock);
  return is_here;
}

#define GEMM(EXPORTED, NAME, SCALAR, T)                                                        \
  void scipy_cblas_##NAME(int, int, int, int, int, int, SCALAR, const T*, int, const T*, int,  \
                          SCALAR, T*, int);                                                    \
  EXPORTED(int order, int ta, int tb, int m, int n, int k, SCALAR alpha, const T* a, int lda,  \
           const T* b, int ldb, SCALAR beta, T* c, int ldc) {                                  \
    scipy_cblas_##NAME(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);           \
  }
GEMM(static void multiply, sgemm, float, float)
GEMM(void cblas_dgemm, dgemm, double, double)
GEMM(void cblas_cgemm, cgemm, const void*, void)

void cblas_sgemm(int order, int ta, int tb, int m, int n, int k, float alpha, const float* a,
                 int lda, const float* b, int ldb, float beta, float* c, int ldc) {
  int is_ta = ta != NO_TRANS, is_tb = tb != NO_TRANS;
  if (uses_few_rows && order == ROW_MAJOR) {
    int is_row_by_row = !is_ta || (m == 1 && lda == 1);
    if (m <= MAX_FEW_ROWS && is_row_by_row && is_tb && ldb == k && num_byte_weights &&
        multiply_by_bytes(m, n, k, alpha, a, lda, b, beta, c, ldc))
      return;
    if (m == 1) {
      multiply_vector(!is_tb, n, k, alpha, b, ldb, a, is_ta ? lda : 1, beta, c, 1);
      return;
    }
    if (n == 1) {
      multiply_vector(is_ta, m, k, alpha, a, lda, b, is_tb ? 1 : ldb, beta, c, ldc);
      return;
    }
    if (m <= MAX_FEW_ROWS && !is_ta && is_tb && has_few_rows()) {
      multiply_few_rows(m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
      return;
    }
  }
  multiply(order, ta, tb, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
}
