// Rows of X times some rows of a matrix of four-bit weights.
struct RowSums { float at[ROWS * OUTPUTS]; };

// An integer under 2^23 as float. Put into the mantissa of 2^23, which a GPU does faster than it converts.
FUNCTION float small_integer(uint value) { return float_from_bits(0x4b000000u | value) - 8388608.0f; }

// What one lane adds: every 32nd word of eight weights of its simdgroup, and so on for all simdgroups.
template <bool IS_WIDE, typename X, typename W, typename S>
FUNCTION RowSums lane_sums(X x, W weight, S scales, S biases, RowSums sums, int first_row, int num_rows,
                           int first_output, int num_outputs, int num_words, int num_groups, int first_word) {
  for (int word = first_word; word < num_words; word += SIMDGROUPS * 32) {
    Values weights[OUTPUTS];
    UNROLL for (int o = 0; o < OUTPUTS; o++) {
      const Index output = min(first_output + o, num_outputs - 1);
      const uint packed = weight[output * num_words + word];
      const Index group = output * num_groups + word / WORDS_A_GROUP;
      const float scale = float(scales[group]);
      const float bias = float(biases[group]);
      UNROLL for (int i = 0; i < CHUNK; i++) weights[o].at[i] = small_integer(packed >> (4 * i) & 15u) * scale + bias;
    }
    UNROLL for (int r = 0; r < ROWS; r++) {
      const X row = x + (Index(min(first_row + r, num_rows - 1)) * num_words + word) * CHUNK;
      const Values values = IS_WIDE ? unpack(load_elements(row)) : read_row(row, 1);
      UNROLL for (int o = 0; o < OUTPUTS; o++) {
        UNROLL for (int i = 0; i < CHUNK; i++) sums.at[r * OUTPUTS + o] += values.at[i] * weights[o].at[i];
      }
    }
  }
  return sums;
}
