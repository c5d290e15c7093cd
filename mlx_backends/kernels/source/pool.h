// Chunks of a pool's rows. BITS says how they are stored; reference.py is the specification:
// 0  elements;
// 8  codes of scale * (code - 128), with a float16 scale a row, which is left outside of sums over the row;
// 4  codes of scale * code + bias, with a float16 scale and bias for each GROUP elements.
// Codes fill 32-bit words from the lowest bits.

template <int BITS>
struct Packed {
  Words<BITS * CHUNK / 32> words;
  uint affine;  // of 4 bits: scale in the lower half, bias in the upper
};

template <>
struct Packed<0> { Words<ELEMENT_WORDS> words; };

template <int BITS, typename P>
FUNCTION Packed<BITS> load_chunk(P pool, Index row, int chunk) {
  Packed<BITS> packed;
  packed.words = load_elements(pool + (row * HEAD_DIM + chunk * CHUNK));
  return packed;
}

template <int BITS, typename P>
FUNCTION float row_scale(P pool, Index row) { return 1.0f; }

FUNCTION Values unpack(Packed<0> packed) { return unpack(packed.words); }

#if GROUP
#define GROUP_CHUNKS (GROUP / CHUNK)

template <int BITS, typename P, typename Q>
FUNCTION Packed<BITS> load_chunk(P codes, Q scales, Index row, int chunk) {
  constexpr int WORDS = BITS * CHUNK / 32;
  Packed<BITS> packed;
  packed.words = load_words(codes + (row * HEAD_CHUNKS + chunk) * WORDS, Words<WORDS>());
  packed.affine = BITS == 4 ? LOAD_UINT(scales + (row * (HEAD_DIM / GROUP) + chunk / GROUP_CHUNKS) * 2) : 0u;
  return packed;
}

template <int BITS, typename P, typename Q>
FUNCTION float row_scale(P codes, Q scales, Index row) { return BITS == 8 ? float(scales[row]) : 1.0f; }

FUNCTION Values unpack(Packed<8> packed) {
  Values values;
  UNROLL for (int i = 0; i < CHUNK; i++) values.at[i] = centered_byte(packed.words.at[i / 4], i % 4);
  return values;
}

FUNCTION Values unpack(Packed<4> packed) {
  const float scale = float_from_half_bits(packed.affine & 0xffffu);
  const float bias = float_from_half_bits(packed.affine >> 16);
  Values values;
  UNROLL for (int i = 0; i < CHUNK; i++) {
    values.at[i] = float(packed.words.at[i / 8] >> (i % 8 * 4) & 15u) * scale + bias;
  }
  return values;
}
#endif

// The arrays of the two pools, as arguments of the functions above.
#if K_BITS
#define K_POOL k_pool, k_scales
#else
#define K_POOL k_pool
#endif
#if V_BITS
#define V_POOL v_pool, v_scales
#else
#define V_POOL v_pool
#endif
