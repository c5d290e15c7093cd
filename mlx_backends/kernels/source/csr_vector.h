// out = A x, A in compressed sparse rows: a simdgroup takes one row at a time, a lane eight entries.
// Loads are wide, so a row's first and last chunk may hold entries of its neighbours, which are skipped.
const int num_rows = row_starts_shape[0] - 1;
const int lane = thread_index_in_simdgroup;

#if SHARED_COLUMNS
// A random read of threadgroup memory costs a few cycles, of device memory one for each line it meets.
THREADGROUP_ARRAY(Element, shared_x, SHARED_COLUMNS);
for (int k = thread_index_in_threadgroup; k < x_shape[X_NDIM - 1]; k += SIMDGROUPS * 32) shared_x[k] = x[k];
THREADGROUP_BARRIER();
#define X(column) float(Element(shared_x[column]))
#else
#define X(column) float(x[column])
#endif

const int first_row = (threadgroup_position_in_grid.x * SIMDGROUPS + simdgroup_index_in_threadgroup) * ROWS;
const int last_row = min(first_row + ROWS, num_rows);
for (int row = first_row; row < last_row; row++) {
  const int start = row_starts[row];
  const int stop = row_starts[row + 1];
  float sum = 0.0f;
  for (int base = (start / CHUNK + lane) * CHUNK; base < stop; base += 32 * CHUNK) {
    const Values value = unpack(load_words(values + base, Words<ELEMENT_BITS / 4>()));
    const Indices column = unpack_indices(load_words(columns + base, Words<INDEX_BITS / 4>()));
    UNROLL for (int i = 0; i < CHUNK; i++) {
      if (base + i >= start && base + i < stop) sum += value.at[i] * X(column.at[i]);
    }
  }
  UNROLL for (int offset = 1; offset < 32; offset *= 2) sum += simd_shuffle_xor(sum, offset);
  if (lane == 0) out[row] = Element(sum);
}
