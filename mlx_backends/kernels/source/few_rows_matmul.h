// out = X W^T for a few rows of X and weights of four bits: a threadgroup takes OUTPUTS rows of W and splits the
// inner width among all its lanes.
constexpr int SUMS = ROWS * OUTPUTS;
THREADGROUP_ARRAY(float, shared_sums, SIMDGROUPS * SUMS);

const int num_outputs = weight_shape[0];
const int num_words = weight_shape[1];
const int num_groups = scales_shape[1];
const int num_rows = x_shape[0];
const int first_output = threadgroup_position_in_grid.x * OUTPUTS;
const int first_row = threadgroup_position_in_grid.y * ROWS;
const int simdgroup = simdgroup_index_in_threadgroup;
const int lane = thread_index_in_simdgroup;

RowSums sums;
UNROLL for (int i = 0; i < SUMS; i++) sums.at[i] = 0.0f;
#define SUM(is_wide) lane_sums<is_wide>(x, weight, scales, biases, sums, first_row, num_rows, first_output, \
                                        num_outputs, num_words, num_groups, simdgroup * 32 + lane)
sums = starts_aligned(x) ? SUM(true) : SUM(false);

// Add up the lanes: with each halving of the distance a lane hands half of its sums to its partner and adds the
// partner's of the other half, until lane n is left with the whole sums n * SUMS / 32 and so on.
UNROLL for (int step = 0; step < 5; step++) {
  const int offset = 16 >> step;
  const int half = SUMS >> (step + 1);
  const bool is_upper = (lane & offset) != 0;
  UNROLL for (int i = 0; i < SUMS / 2; i++) {
    if (i < half) {
      const float given = is_upper ? sums.at[i] : sums.at[i + half];
      const float kept = is_upper ? sums.at[i + half] : sums.at[i];
      sums.at[i] = kept + simd_shuffle_xor(given, offset);
    }
  }
}
UNROLL for (int i = 0; i < SUMS / 32; i++) shared_sums[simdgroup * SUMS + lane * (SUMS / 32) + i] = sums.at[i];
THREADGROUP_BARRIER();

for (int item = thread_index_in_threadgroup; item < SUMS; item += SIMDGROUPS * 32) {
  const int row = first_row + item / OUTPUTS;
  const int output = first_output + item % OUTPUTS;
  if (row >= num_rows || output >= num_outputs) continue;
  float sum = 0.0f;
  UNROLL for (int s = 0; s < SIMDGROUPS; s++) sum += shared_sums[s * SUMS + item];
  out[Index(row) * num_outputs + output] = Element(sum);
}
