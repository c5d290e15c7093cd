// out = X A^T for square blocks stored by columns: a threadgroup takes a row of blocks, its simdgroups the
// blocks in turn. Lanes lie over a block as over its memory, each with eight consecutive rows of a column.
THREADGROUP_ARRAY(float, shared_sums, SIMDGROUPS * BLOCK * VECTORS);

const int num_vectors = X_NDIM == 2 ? x_shape[0] : 1;
const int num_columns = x_shape[X_NDIM - 1];
const int num_rows = (row_starts_shape[0] - 1) * BLOCK;
const int first_vector = threadgroup_position_in_grid.y * VECTORS;
const int block_row = threadgroup_position_in_grid.x;
const int simdgroup = simdgroup_index_in_threadgroup;
const int chunk = thread_index_in_simdgroup % CHUNKS;
const int lane_column = thread_index_in_simdgroup / CHUNKS;

const bool is_wide_matrix = starts_aligned(values);
Values sums[VECTORS];
UNROLL for (int n = 0; n < VECTORS; n++) sums[n] = zeros();
const int stop = row_starts[block_row + 1];
for (int b = row_starts[block_row] + simdgroup; b < stop; b += SIMDGROUPS) {
  UNROLL for (int first_step = 0; first_step < STEPS; first_step += STEPS_AT_ONCE) {
    const Index at = Index(b) * BLOCK * BLOCK + (first_step * 32 + thread_index_in_simdgroup) * CHUNK;
    const BlockPart part = is_wide_matrix ? read_part<true>(values + at) : read_part<false>(values + at);
    const int first_column = block_columns[b] * BLOCK + first_step * COLUMNS_AT_ONCE + lane_column;
    UNROLL for (int s = 0; s < STEPS_AT_ONCE; s++) {
      const Values value = unpack(part.at[s]);
      UNROLL for (int n = 0; n < VECTORS; n++) {
        const int vector = min(first_vector + n, num_vectors - 1);
        const float element = float(x[Index(vector) * num_columns + first_column + s * COLUMNS_AT_ONCE]);
        UNROLL for (int i = 0; i < CHUNK; i++) sums[n].at[i] += value.at[i] * element;
      }
    }
  }
}

UNROLL for (int n = 0; n < VECTORS; n++) {
  UNROLL for (int i = 0; i < CHUNK; i++) {
    float sum = sums[n].at[i];
    UNROLL for (int offset = CHUNKS; offset < 32; offset *= 2) sum += simd_shuffle_xor(sum, offset);
    if (lane_column == 0) shared_sums[(simdgroup * VECTORS + n) * BLOCK + chunk * CHUNK + i] = sum;
  }
}
THREADGROUP_BARRIER();

for (int item = thread_index_in_threadgroup; item < BLOCK * VECTORS; item += SIMDGROUPS * 32) {
  const int vector = first_vector + item / BLOCK;
  if (vector >= num_vectors) continue;
  float sum = 0.0f;
  UNROLL for (int s = 0; s < SIMDGROUPS; s++) sum += shared_sums[s * BLOCK * VECTORS + item];
  out[Index(vector) * num_rows + block_row * BLOCK + item % BLOCK] = Element(sum);
}
