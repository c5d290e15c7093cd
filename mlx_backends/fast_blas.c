/* The names under which MLX calls a BLAS, in front of scipy-openblas32; see fast_blas.py.
 *
 * Products with few rows, which is what decode steps are, do not go to sgemm: it first copies the
 * whole weight into a packed form, to use it once. */

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
 * the weight's next rows are fetched. A number does not depend on how many rows there are. */
#define FEW_ROWS(NAME, TARGET, LANES, TILE)                                                      \
  typedef float NAME##_vector __attribute__((vector_size(4 * LANES), aligned(4)));               \
                                                                                                 \
  static inline __attribute__((always_inline, target(TARGET))) void NAME##_tile(                 \
      const int num_x, const int num_w, int fetches, int k, float alpha, const float* x,         \
      long ldx, const float* w, long ldw, float beta, float* c, long ldc) {                      \
    NAME##_vector sums[TILE][TILE] = {0};                                                        \
    int at = 0;                                                                                  \
    for (; at + LANES <= k; at += LANES) {                                                       \
      NAME##_vector ws[TILE];                                                                    \
      _Pragma("GCC unroll 4") for (int j = 0; j < num_w; j++) {                                  \
        ws[j] = *(const NAME##_vector*)(w + j * ldw + at);                                       \
        if (fetches) __builtin_prefetch(w + (j + TILE) * ldw + at, 0, 2);                        \
      }                                                                                          \
      _Pragma("GCC unroll 4") for (int i = 0; i < num_x; i++) {                                  \
        NAME##_vector xs = *(const NAME##_vector*)(x + i * ldx + at);                            \
        _Pragma("GCC unroll 4") for (int j = 0; j < num_w; j++) sums[i][j] += xs * ws[j];        \
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
  static __attribute__((target(TARGET))) void NAME(int m, int n, int k, float alpha,             \
                                                   const float* x, long ldx, const float* w,     \
                                                   long ldw, float beta, float* c, long ldc) {   \
    int j = 0;                                                                                   \
    for (; j + TILE <= n; j += TILE) {                                                           \
      int has_next = j + 2 * TILE <= n;                                                          \
      for (int i = 0; i < m; i += TILE) {                                                        \
        int fetches = has_next && i + TILE >= m;                                                 \
        const float *xs = x + i * ldx, *ws = w + j * ldw;                                        \
        float* out = c + i * ldc + j;                                                            \
        switch (m - i) {                                                                         \
          case 1: NAME##_tile(1, TILE, fetches, k, alpha, xs, ldx, ws, ldw, beta, out, ldc); break; \
          case 2: NAME##_tile(2, TILE, fetches, k, alpha, xs, ldx, ws, ldw, beta, out, ldc); break; \
          case 3: NAME##_tile(3, TILE, fetches, k, alpha, xs, ldx, ws, ldw, beta, out, ldc); break; \
          default: NAME##_tile(TILE, TILE, fetches, k, alpha, xs, ldx, ws, ldw, beta, out, ldc); \
        }                                                                                        \
      }                                                                                          \
    }                                                                                            \
    for (; j < n; j++)                                                                           \
      for (int i = 0; i < m; i++)                                                                \
        NAME##_tile(1, 1, 0, k, alpha, x + i * ldx, ldx, w + j * ldw, ldw, beta,                 \
                    c + i * ldc + j, ldc);                                                       \
  }

#if defined(__x86_64__)
FEW_ROWS(few_rows_avx512, "avx512f", 16, 4)
FEW_ROWS(few_rows_avx2, "avx2,fma", 8, 3)

int has_few_rows(void) {
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

static void multiply_few_rows(int m, int n, int k, float alpha, const float* x, int ldx,
                              const float* w, int ldw, float beta, float* c, int ldc) {
  if (__builtin_cpu_supports("avx512f"))
    few_rows_avx512(m, n, k, alpha, x, ldx, w, ldw, beta, c, ldc);
  else
    few_rows_avx2(m, n, k, alpha, x, ldx, w, ldw, beta, c, ldc);
}
#else
int has_few_rows(void) { return 0; }

static void multiply_few_rows(int m, int n, int k, float alpha, const float* x, int ldx,
                              const float* w, int ldw, float beta, float* c, int ldc) {}
#endif

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
