// Reading of a sparse matrix's values, which a caller may have cut out of a larger array.
template <typename P>
FUNCTION Words<ELEMENT_BITS / 4> read_words(P pointer, Words<ELEMENT_BITS / 4> words) {
  if (is_aligned(pointer)) return load_words(pointer, words);
#if ELEMENT_BITS == 32
  UNROLL for (int i = 0; i < CHUNK; i++) words.at[i] = bits_of(pointer[i]);
#else
  UNROLL for (int i = 0; i < CHUNK / 2; i++) words.at[i] = bits_of(pointer[2 * i]) | bits_of(pointer[2 * i + 1]) << 16;
#endif
  return words;
}

#if INDEX_BITS
// Eight column indices, stored in 16 or 32 bits.
struct Indices { int at[CHUNK]; };

FUNCTION Indices unpack_indices(Words<INDEX_BITS / 4> words) {
  Indices indices;
#if INDEX_BITS == 32
  UNROLL for (int i = 0; i < CHUNK; i++) indices.at[i] = int(words.at[i]);
#else
  UNROLL for (int i = 0; i < CHUNK / 2; i++) {
    indices.at[2 * i] = int(words.at[i] & 0xffffu);
    indices.at[2 * i + 1] = int(words.at[i] >> 16);
  }
#endif
  return indices;
}
#endif
