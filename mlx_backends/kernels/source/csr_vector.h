// out = A x, A in compressed sparse rows: a simdgroup takes one row at a time, a lane eight entries.
const int num_rows = row_starts_shape[0] - 1;
const int num_columns = x_shape[X_NDIM - 1];
const int lane = thread_index_in_simdgroup;
const int first_row = (threadgroup_position_in_grid.x * SIMDGROUPS + simdgroup_index_in_threadgroup) * ROWS;
const int last_row = min(first_row + ROWS, num_rows);
// Where a row begins is read a row ahead: its entries wait for it.
int stop = row_starts[min(first_row, num_rows)];
int next_stop = row_starts[min(first_row + 1, num_rows)];

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
#define X shared_x
#else
#define X x
#endif

const bool is_wide_matrix = starts_aligned(values) && starts_aligned(columns);
for (int row = first_row; row < last_row; row++) {
  const int start = stop;
  stop = next_stop;
  next_stop = row_starts[min(row + 2, num_rows)];
  float sum = 0.0f;
  for (int base = (start / CHUNK + lane) * CHUNK; base < stop; base += AHEAD * STEP) {
    const Chunks chunks = is_wide_matrix ? read_chunks<true>(values, columns, base, stop) : read_chunks<false>(values, columns, base, stop);
    sum += chunks_times(chunks, X, base, start, stop);
  }
  UNROLL for (int offset = 1; offset < 32; offset *= 2) sum += simd_shuffle_xor(sum, offset);
  if (lane == 0) out[row] = Element(sum);
}
