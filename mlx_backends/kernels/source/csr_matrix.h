// out = A X for eight columns of X at a time, A in compressed sparse rows: a simdgroup takes one row, a
// lane eight entries, and each entry reads its eight elements of X by one wide load.
const int num_rows = row_starts_shape[0] - 1;
const int width = x_shape[1];
const int first_column = threadgroup_position_in_grid.y * CHUNK;
const int lane = thread_index_in_simdgroup;
const int row = threadgroup_position_in_grid.x * SIMDGROUPS + simdgroup_index_in_threadgroup;

const int start = row < num_rows ? row_starts[row] : 0;
const int stop = row < num_rows ? row_starts[row + 1] : 0;
Values sums = zeros();
for (int base = (start / CHUNK + lane) * CHUNK; base < stop; base += 32 * CHUNK) {
  const Values value = unpack(read_words(values + base, Words<ELEMENT_BITS / 4>()));
  const Indices column = unpack_indices(load_words(columns + base, Words<INDEX_BITS / 4>()));
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
