// out = A X for eight columns of X at a time, A in compressed sparse rows: a simdgroup takes one row, a
// lane eight entries, and each entry reads its eight elements of X by one wide load.
const int num_rows = row_starts_shape[0] - 1;
const int width = x_shape[1];
const int first_column = threadgroup_position_in_grid.y * CHUNK;
const int lane = thread_index_in_simdgroup;
const int row = threadgroup_position_in_grid.x * SIMDGROUPS + simdgroup_index_in_threadgroup;

const int start = row < num_rows ? row_starts[row] : 0;
const int stop = row < num_rows ? row_starts[row + 1] : 0;
const bool is_wide_matrix = starts_aligned(values) && starts_aligned(columns);
Values sums = zeros();
for (int base = (start / CHUNK + lane) * CHUNK; base < stop; base += STEP) {
  const Chunks chunks = is_wide_matrix ? read_chunks<true>(values, columns, base, stop) : read_chunks<false>(values, columns, base, stop);
  const Values value = unpack(chunks.values[0]);
  const Indices column = unpack_indices(chunks.columns[0]);
  UNROLL for (int i = 0; i < CHUNK; i++) {
    if (base + i >= start && base + i < stop) {
      const Index at = Index(column.at[i]) * width + first_column;
      const Values element = read_row(x + at, 1);
      UNROLL for (int j = 0; j < CHUNK; j++) sums.at[j] += value.at[i] * element.at[j];
    }
  }
}
UNROLL for (int j = 0; j < CHUNK; j++) {
  UNROLL for (int offset = 1; offset < 32; offset *= 2) sums.at[j] += simd_shuffle_xor(sums.at[j], offset);
  if (lane == j && row < num_rows) out[Index(row) * width + first_column + j] = Element(sums.at[j]);
}
