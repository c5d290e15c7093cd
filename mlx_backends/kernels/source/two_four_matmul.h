// out = X A^T for two kept values in each four of a row: a simdgroup takes ROWS rows, a lane eight kept
// values of each and the sixteen elements of X that they choose from.
const int num_rows = values_shape[0];
const int num_chunks = positions_shape[1];
const int num_vectors = X_NDIM == 2 ? x_shape[0] : 1;
const int first_vector = threadgroup_position_in_grid.y * VECTORS;
const int first_row = (threadgroup_position_in_grid.x * SIMDGROUPS + simdgroup_index_in_threadgroup) * ROWS;
const int lane = thread_index_in_simdgroup;

float sums[ROWS][VECTORS];
UNROLL for (int r = 0; r < ROWS; r++) {
  UNROLL for (int n = 0; n < VECTORS; n++) sums[r][n] = 0.0f;
}
for (int c = lane; c < num_chunks; c += 32) {
  Words<ELEMENT_BITS / 4> packed[ROWS];
  uint kept[ROWS];
  UNROLL for (int r = 0; r < ROWS; r++) {
    const Index at = Index(min(first_row + r, num_rows - 1)) * num_chunks + c;
    packed[r] = read_words(values + at * CHUNK, Words<ELEMENT_BITS / 4>());
    kept[r] = positions[at];
  }
  Values halves[VECTORS][2];
  UNROLL for (int n = 0; n < VECTORS; n++) {
    const Index at = (Index(min(first_vector + n, num_vectors - 1)) * num_chunks + c) * (2 * CHUNK);
    halves[n][0] = read_row(x + at, 1);
    halves[n][1] = read_row(x + (at + CHUNK), 1);
  }
  UNROLL for (int r = 0; r < ROWS; r++) {
    const Values value = unpack(packed[r]);
    UNROLL for (int i = 0; i < CHUNK; i++) {
      const bool is_odd = (kept[r] >> (2 * i) & 1u) != 0u;
      const bool is_high = (kept[r] >> (2 * i) & 2u) != 0u;
      UNROLL for (int n = 0; n < VECTORS; n++) {
        // By selection, not by index: an indexed array would leave the registers.
        const Values four = halves[n][i / 4];
        const int at = i / 2 % 2 * 4;
        const float low = is_odd ? four.at[at + 1] : four.at[at];
        const float high = is_odd ? four.at[at + 3] : four.at[at + 2];
        sums[r][n] += value.at[i] * (is_high ? high : low);
      }
    }
  }
}
UNROLL for (int r = 0; r < ROWS; r++) {
  UNROLL for (int n = 0; n < VECTORS; n++) {
    UNROLL for (int offset = 1; offset < 32; offset *= 2) sums[r][n] += simd_shuffle_xor(sums[r][n], offset);
    if (lane == 0 && first_row + r < num_rows && first_vector + n < num_vectors) {
      out[Index(first_vector + n) * num_rows + first_row + r] = Element(sums[r][n]);
    }
  }
}
