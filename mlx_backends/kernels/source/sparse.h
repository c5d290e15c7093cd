// Reading of a sparse matrix, whose arrays a caller may have cut out of larger ones. Whether they begin where
// wide loads may is asked once, before the loops: asked at each load it would keep the loads from overlapping.
template <bool IS_WIDE, typename P>
FUNCTION Words<ELEMENT_BITS / 4> read_words(P pointer) {
  Words<ELEMENT_BITS / 4> words;
  if (IS_WIDE) {
    words = load_words(pointer, Words<ELEMENT_BITS / 4>());
  } else {
#if ELEMENT_BITS == 32
    UNROLL for (int i = 0; i < CHUNK; i++) words.at[i] = bits_of(pointer[i]);
#else
    UNROLL for (int i = 0; i < CHUNK / 2; i++) words.at[i] = bits_of(pointer[2 * i]) | bits_of(pointer[2 * i + 1]) << 16;
#endif
  }
  return words;
}

#if INDEX_BITS
// Eight column indices, stored in 16 or 32 bits.
struct Indices { int at[CHUNK]; };

template <bool IS_WIDE, typename P>
FUNCTION Words<INDEX_BITS / 4> read_indices(P pointer) {
  Words<INDEX_BITS / 4> words;
  if (IS_WIDE) {
    words = load_words(pointer, Words<INDEX_BITS / 4>());
  } else {
#if INDEX_BITS == 32
    UNROLL for (int i = 0; i < CHUNK; i++) words.at[i] = uint(pointer[i]);
#else
    UNROLL for (int i = 0; i < CHUNK / 2; i++) words.at[i] = uint(pointer[2 * i]) | uint(pointer[2 * i + 1]) << 16;
#endif
  }
  return words;
}

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
