// out = X A^T for two kept values in each four of a row: a simdgroup takes ROWS rows.
const int num_rows = values_shape[0];
const int num_chunks = positions_shape[1];
const int num_vectors = X_NDIM == 2 ? x_shape[0] : 1;
const int first_vector = threadgroup_position_in_grid.y * VECTORS;
const int first_row = (threadgroup_position_in_grid.x * SIMDGROUPS + simdgroup_index_in_threadgroup) * ROWS;
const int lane = thread_index_in_simdgroup;

RowSums sums;
UNROLL for (int r = 0; r < ROWS; r++) {
  UNROLL for (int n = 0; n < VECTORS; n++) sums.at[r][n] = 0.0f;
}
#define SUM_ROWS(is_wide) row_sums<is_wide>(values, positions, x, sums, first_row, num_rows, num_chunks, first_vector, num_vectors, lane)
sums = starts_aligned(values) ? SUM_ROWS(true) : SUM_ROWS(false);

UNROLL for (int r = 0; r < ROWS; r++) {
  UNROLL for (int n = 0; n < VECTORS; n++) {
    float sum = sums.at[r][n];
    UNROLL for (int offset = 1; offset < 32; offset *= 2) sum += simd_shuffle_xor(sum, offset);
    if (lane == 0 && first_row + r < num_rows && first_vector + n < num_vectors) {
      out[Index(first_vector + n) * num_rows + first_row + r] = Element(sum);
    }
  }
}
