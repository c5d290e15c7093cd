// out = A x, A in compressed sparse rows: a simdgroup takes one row at a time, a lane eight entries. Loads
// are wide, so a row's first and last chunk may hold entries of its neighbours, which are skipped.
const int num_rows = row_starts_shape[0] - 1;
const int num_columns = x_shape[X_NDIM - 1];
const int lane = thread_index_in_simdgroup;

#if SHARED_COLUMNS
// A random read of threadgroup memory costs a few cycles, of device memory one for each line it meets.
THREADGROUP_ARRAY(Element, shared_x, SHARED_COLUMNS);
for (int k = thread_index_in_threadgroup * CHUNK; k < num_columns; k += SIMDGROUPS * 32 * CHUNK) {
  if (k + CHUNK <= num_columns) {
    const Values elements = read_row(x + k, 1);
    UNROLL for (int i = 0; i < CHUNK; i++) shared_x[k + i] = Element(elements.at[i]);
  } else {
    for (int i = k; i < num_columns; i++) shared_x[i] = x[i];
  }
}
THREADGROUP_BARRIER();
#define X(column) float(Element(shared_x[column]))
#else
#define X(column) float(x[column])
#endif

#define STEP (32 * CHUNK)
const int first_row = (threadgroup_position_in_grid.x * SIMDGROUPS + simdgroup_index_in_threadgroup) * ROWS;
const int last_row = min(first_row + ROWS, num_rows);
for (int row = first_row; row < last_row; row++) {
  const int start = row_starts[row];
  const int stop = row_starts[row + 1];
  float sum = 0.0f;
  for (int base = (start / CHUNK + lane) * CHUNK; base < stop; base += AHEAD * STEP) {
    // All reads of a step are under way before the first is used.
    Words<ELEMENT_BITS / 4> packed[AHEAD];
    Words<INDEX_BITS / 4> places[AHEAD];
    UNROLL for (int u = 0; u < AHEAD; u++) {
      const int at = base + u * STEP < stop ? base + u * STEP : base;
      packed[u] = read_words(values + at, Words<ELEMENT_BITS / 4>());
      places[u] = load_words(columns + at, Words<INDEX_BITS / 4>());
    }
    UNROLL for (int u = 0; u < AHEAD; u++) {
      const Values value = unpack(packed[u]);
      const Indices column = unpack_indices(places[u]);
      UNROLL for (int i = 0; i < CHUNK; i++) {
        const int at = base + u * STEP + i;
        if (at >= start && at < stop) sum += value.at[i] * X(column.at[i]);
      }
    }
  }
  UNROLL for (int offset = 1; offset < 32; offset *= 2) sum += simd_shuffle_xor(sum, offset);
  if (lane == 0) out[row] = Element(sum);
}
