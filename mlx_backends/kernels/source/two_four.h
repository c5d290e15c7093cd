// Rows of a matrix that keeps two values in each four, times vectors.
struct RowSums { float at[ROWS][VECTORS]; };

// One of four elements, `four` being 0 for the first half of a chunk and 1 for the second. By selection, not
// by index: an indexed array would leave the registers.
FUNCTION float chosen(Words<ELEMENT_BITS / 4> chunk, int four, uint place) {
  const bool is_odd = (place & 1u) != 0u;
  const bool is_high = (place & 2u) != 0u;
#if ELEMENT_BITS == 32
  const uint low = is_odd ? chunk.at[4 * four + 1] : chunk.at[4 * four];
  const uint high = is_odd ? chunk.at[4 * four + 3] : chunk.at[4 * four + 2];
  return float_from_bits(is_high ? high : low);
#else
  const uint pair = is_high ? chunk.at[2 * four + 1] : chunk.at[2 * four];
#if ELEMENT_IS_BFLOAT
  return float_from_bits(is_odd ? pair & 0xffff0000u : pair << 16);
#else
  return float_from_half_bits(is_odd ? pair >> 16 : pair & 0xffffu);
#endif
#endif
}

// What one lane adds: of each row every 32nd chunk of eight kept values, AHEAD of them at once, and the
// sixteen elements of each vector that they choose from.
template <bool IS_WIDE, typename V, typename P, typename X>
FUNCTION RowSums row_sums(V values, P positions, X x, RowSums sums, int first_row, int num_rows, int num_chunks,
                          int first_vector, int num_vectors, int lane) {
  for (int first = lane; first < num_chunks; first += AHEAD * 32) {
    // All reads of the matrix are under way before the first is used.
    Words<ELEMENT_BITS / 4> packed[AHEAD][ROWS];
    uint kept[AHEAD][ROWS];
    UNROLL for (int u = 0; u < AHEAD; u++) {
      const int c = min(first + u * 32, num_chunks - 1);
      UNROLL for (int r = 0; r < ROWS; r++) {
        const Index at = Index(min(first_row + r, num_rows - 1)) * num_chunks + c;
        packed[u][r] = read_words<IS_WIDE>(values + at * CHUNK);
        kept[u][r] = uint(positions[at]);
      }
    }
    UNROLL for (int u = 0; u < AHEAD; u++) {
      const int c = first + u * 32;
      if (c < num_chunks) {
        Words<ELEMENT_BITS / 4> halves[VECTORS][2];
        UNROLL for (int n = 0; n < VECTORS; n++) {
          const Index at = (Index(min(first_vector + n, num_vectors - 1)) * num_chunks + c) * (2 * CHUNK);
          if (is_wide(x + at, 1)) {
            halves[n][0] = read_words<true>(x + at);
            halves[n][1] = read_words<true>(x + (at + CHUNK));
          } else {
            halves[n][0] = read_words<false>(x + at);
            halves[n][1] = read_words<false>(x + (at + CHUNK));
          }
        }
        UNROLL for (int r = 0; r < ROWS; r++) {
          const Values value = unpack(packed[u][r]);
          UNROLL for (int i = 0; i < CHUNK; i++) {
            UNROLL for (int n = 0; n < VECTORS; n++) {
              sums.at[r][n] += value.at[i] * chosen(halves[n][i / 4], i / 2 % 2, kept[u][r] >> (2 * i));
            }
          }
        }
      }
    }
  }
  return sums;
}
