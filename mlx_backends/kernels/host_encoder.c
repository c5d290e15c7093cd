/* What an encoder's layer is made of, on one core; see host_encoder.py for the shapes.
 *
 * Compiled for the machine that it runs on. A product keeps a tile of ROWS rows by PANEL columns of
 * its result in vector registers and finishes it there. Its right side is stored in panels: PANEL
 * columns side by side, one entry of the depth after the other, zeros behind the last column. */
#include <math.h>
#include <string.h>

#if defined(__AVX512F__)
enum { LANES = 16, ROWS = 12 };
#elif defined(__AVX__)
enum { LANES = 8, ROWS = 6 };
#elif defined(__ARM_NEON)
enum { LANES = 4, ROWS = 12 };
#else
enum { LANES = 4, ROWS = 6 };
#endif
enum { PANEL = 2 * LANES };
enum { QUERIES = 4 * ROWS }; /* whose scores stay in the first caches */

typedef float vector __attribute__((vector_size(4 * LANES), aligned(4)));
#define INLINE static inline __attribute__((always_inline))

int panel_columns(void) { return PANEL; }

INLINE long rounded_up(long columns) { return (columns + PANEL - 1) / PANEL * PANEL; }

/* As host_exp.py; of 0 and below. NaN stays NaN, so that no broken model gives vectors. */
INLINE float exponential(float x) {
  float power = x * 1.4426950408889634f;
  power = power < -126.0f ? -126.0f : power;
  float rounded = power + 12582912.0f, f = power - (rounded - 12582912.0f), s = f * f;
  float mantissa = (f * 0.69314700f + 1.0f) + (f * 0.05550734f + 0.24022242f) * s +
                   (f * 0.00132647f + 0.00967151f) * (s * s);
  unsigned bits, shift;
  memcpy(&bits, &mantissa, 4);
  memcpy(&shift, &rounded, 4);
  bits += shift << 23;
  memcpy(&mantissa, &bits, 4);
  return mantissa;
}

/* As activations.py. */
INLINE float gelu(float x) {
  float s = x * x;
  s = s < 28.09f ? s : 28.09f;
  float p = (3.9894219e-01f + 7.1841697e-02f * s) +
            s * s * ((6.8833967e-03f + 5.3660126e-04f * s) +
                     (6.9152046e-06f - 1.9784125e-08f * s) * (s * s));
  float q = (1.0f + 3.4673696e-01f * s) +
            s * s * ((5.0067568e-02f + 3.9757988e-03f * s) + 1.8128149e-04f * (s * s));
  float limited = x < -5.3f ? -5.3f : x > 5.3f ? 5.3f : x;
  return x * (0.5f + limited * (p / q));
}

/* Panels of a matrix (depth, columns), which is anywhere in memory. */
void pack(long depth, long columns, const float* matrix, long depth_stride, long column_stride,
          float* panels) {
  for (long j = 0; j < columns; j += PANEL)
    for (long p = 0; p < depth; p++)
      for (long c = j; c < j + PANEL; c++)
        *panels++ = c < columns ? matrix[p * depth_stride + c * column_stride] : 0;
}

/* y = finish(scale x panel + bias) for some rows, and for as many columns as there are. */
INLINE void tile(const int rows, long depth, const float* x, long ldx, const float* panel,
                 float scale, const float* bias, const int is_gelu, float* y, long ldy,
                 long columns) {
  vector sums[ROWS][2] = {0};
  for (long p = 0; p < depth; p++, panel += PANEL) {
    vector left = *(const vector*)panel, right = *(const vector*)(panel + LANES);
    _Pragma("GCC unroll 12") for (int i = 0; i < rows; i++) {
      float entry = x[i * ldx + p];
      sums[i][0] += entry * left;
      sums[i][1] += entry * right;
    }
  }
  _Pragma("GCC unroll 12") for (int i = 0; i < rows; i++) {
    float row[PANEL];
    memcpy(row, sums[i], sizeof row);
    _Pragma("omp simd") for (int c = 0; c < PANEL; c++) {
      float sum = row[c] * scale + (bias ? bias[c] : 0);
      row[c] = is_gelu ? gelu(sum) : sum;
    }
    if (columns >= PANEL)
      memcpy(y + i * ldy, row, sizeof row);
    else
      memcpy(y + i * ldy, row, sizeof(float) * columns);
  }
}

/* y = finish(scale x panels + bias). A panel stays in the caches while all rows meet it. */
INLINE void product(long rows, long columns, long depth, const float* x, long ldx,
                    const float* panels, float scale, const float* bias, const int is_gelu,
                    float* y, long ldy) {
#define TILE(ROWS) \
  tile(ROWS, depth, x + i * ldx, ldx, panels, scale, bias, is_gelu, y + i * ldy + j, ldy, columns - j)
  for (long j = 0; j < columns; j += PANEL, panels += PANEL * depth, bias += bias ? PANEL : 0) {
    long i = 0;
    for (; i + ROWS <= rows; i += ROWS) TILE(ROWS);
    for (; i + 4 <= rows; i += 4) TILE(4);
    for (; i < rows; i++) TILE(1);
  }
#undef TILE
}

/* The bias has as many entries as the panels have columns. */
void linear(long rows, long columns, long depth, const float* x, const float* panels,
            const float* bias, int is_gelu, float* y) {
  if (is_gelu)
    product(rows, columns, depth, x, depth, panels, 1, bias, 1, y, columns);
  else
    product(rows, columns, depth, x, depth, panels, 1, bias, 0, y, columns);
}

void add_norm(long rows, long size, const float* x, const float* residual, const float* weight,
              const float* bias, float epsilon, float* y) {
  for (; rows--; x += size, residual += size, y += size) {
    float sum = 0, squares = 0;
    _Pragma("omp simd reduction(+ : sum)") for (long j = 0; j < size; j++) {
      y[j] = x[j] + residual[j];
      sum += y[j];
    }
    float mean = sum / size;
    _Pragma("omp simd reduction(+ : squares)") for (long j = 0; j < size; j++) {
      squares += (y[j] - mean) * (y[j] - mean);
    }
    float scale = 1 / sqrtf(squares / size + epsilon);
    _Pragma("omp simd") for (long j = 0; j < size; j++) {
      y[j] = (y[j] - mean) * scale * weight[j] + bias[j];
    }
  }
}

static void softmax(long size, float* scores) {
  float most = scores[0], sum = 0;
  _Pragma("omp simd reduction(max : most)") for (long j = 0; j < size; j++) {
    most = scores[j] > most ? scores[j] : most;
  }
  _Pragma("omp simd reduction(+ : sum)") for (long j = 0; j < size; j++) {
    scores[j] = exponential(scores[j] - most);
    sum += scores[j];
  }
  float share = 1 / sum;
  _Pragma("omp simd") for (long j = 0; j < size; j++) scores[j] *= share;
}

long attend_scratch(long longest, long width) {
  return rounded_up(longest) * width + longest * rounded_up(width) + QUERIES * rounded_up(longest);
}

/* One head of one text. */
static void attend_head(long length, long width, const float* queries, const float* keys,
                        const float* values, long ld, float* scratch, float* y, long ldy) {
  long lds = rounded_up(length);
  float *key_panels = scratch, *value_panels = key_panels + lds * width;
  float* scores = value_panels + length * rounded_up(width);
  pack(width, length, keys, 1, ld, key_panels);
  pack(length, width, values, ld, 1, value_panels);
  for (long at = 0; at < length; at += QUERIES) {
    long rows = length - at < QUERIES ? length - at : QUERIES;
    product(rows, length, width, queries + at * ld, ld, key_panels, 1 / sqrtf(width), 0, 0, scores,
            lds);
    for (long i = 0; i < rows; i++) softmax(length, scores + i * lds);
    product(rows, width, length, scores, lds, value_panels, 1, 0, 0, y + at * ldy, ldy);
  }
}

void attend(long num_texts, const long* starts, long num_heads, long width, const float* qkv,
            float* scratch, float* y) {
  long size = num_heads * width;
  for (long text = 0; text < num_texts; text++) {
    long first = starts[text], length = starts[text + 1] - first;
    for (long head = 0; head < num_heads; head++) {
      const float* queries = qkv + first * 3 * size + head * width;
      attend_head(length, width, queries, queries + size, queries + 2 * size, 3 * size, scratch,
                  y + first * size + head * width, size);
    }
  }
}
