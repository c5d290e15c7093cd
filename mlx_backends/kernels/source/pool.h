// Chunks of a pool's rows, stored as elements (BITS is 0) or as affine codes of 8 or 4 bits:
// value = scale * code + bias in groups of GROUP elements along a row, with scale and bias as float16
// beside the codes, which fill 32-bit words from the lowest bits. reference.py is the specification.

template <int BITS>
struct Packed {
  Words<BITS / 4> words;
  uint affine;  // scale in the lower half, bias in the upper
};

template <>
struct Packed<0> { Words<ELEMENT_BITS / 4> words; };

template <int BITS, typename P>
FUNCTION Packed<BITS> load_chunk(P pool, Index row, int chunk) {
  Packed<BITS> packed;
  packed.words = load_words(pool + (row * HEAD_DIM + chunk * CHUNK), Words<ELEMENT_BITS / 4>());
  return packed;
}

FUNCTION Values unpack(Packed<0> packed) { return unpack(packed.words); }

// Write one chunk if `writes`, and return it as later readers will see it.
template <int BITS, typename P>
FUNCTION Values store_chunk(P pool, Index row, int chunk, Values values, bool writes) {
  if (writes) {
    UNROLL for (int i = 0; i < CHUNK; i++) {
      writable(pool)[row * HEAD_DIM + chunk * CHUNK + i] = Element(values.at[i]);
    }
  }
  return values;
}

#if GROUP
#define GROUP_CHUNKS (GROUP / CHUNK)

template <int BITS, typename P, typename Q>
FUNCTION Packed<BITS> load_chunk(P codes, Q affine, Index row, int chunk) {
  Packed<BITS> packed;
  packed.words = load_words(codes + (row * HEAD_CHUNKS + chunk) * (BITS / 4), Words<BITS / 4>());
  packed.affine = LOAD_UINT(affine + (row * (HEAD_DIM / GROUP) + chunk / GROUP_CHUNKS) * 2);
  return packed;
}

template <int BITS>
FUNCTION Values dequantize(Words<BITS / 4> words, float scale, float bias) {
  constexpr int PER_WORD = 32 / BITS;
  constexpr uint MASK = (1u << BITS) - 1u;
  Values values;
  UNROLL for (int i = 0; i < CHUNK; i++) {
    const uint code = words.at[i / PER_WORD] >> (i % PER_WORD * BITS) & MASK;
    values.at[i] = float(code) * scale + bias;
  }
  return values;
}

template <int BITS>
FUNCTION Values unpack(Packed<BITS> packed) {
  const float scale = float_from_half_bits(packed.affine & 0xffffu);
  return dequantize<BITS>(packed.words, scale, float_from_half_bits(packed.affine >> 16));
}

FUNCTION float round_to_half(float x) { return float(Half(min(max(x, -65504.0f), 65504.0f))); }

// As above, with codes. The lanes that hold the chunks of a group are neighbours and all call.
template <int BITS, typename P, typename Q>
FUNCTION Values store_chunk(P codes, Q affine, Index row, int chunk, Values values, bool writes) {
  constexpr int PER_WORD = 32 / BITS;
  constexpr float LEVELS = float((1 << BITS) - 1);
  float low = values.at[0];
  float high = values.at[0];
  UNROLL for (int i = 1; i < CHUNK; i++) {
    low = min(low, values.at[i]);
    high = max(high, values.at[i]);
  }
  UNROLL for (int offset = 1; offset < GROUP_CHUNKS; offset *= 2) {
    low = min(low, simd_shuffle_xor(low, offset));
    high = max(high, simd_shuffle_xor(high, offset));
  }
  const float scale = round_to_half((high - low) / LEVELS);
  const float bias = round_to_half(low);
  const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
  Words<BITS / 4> words;
  UNROLL for (int i = 0; i < BITS / 4; i++) words.at[i] = 0u;
  UNROLL for (int i = 0; i < CHUNK; i++) {
    const float code = min(max(rint((values.at[i] - bias) * inverse), 0.0f), LEVELS);
    words.at[i / PER_WORD] |= uint(code) << (i % PER_WORD * BITS);
  }
  if (writes) {
    UNROLL for (int i = 0; i < BITS / 4; i++) {
      writable(codes)[(row * HEAD_CHUNKS + chunk) * (BITS / 4) + i] = words.at[i];
    }
    if (chunk % GROUP_CHUNKS == 0) {
      const Index group = row * (HEAD_DIM / GROUP) + chunk / GROUP_CHUNKS;
      writable(affine)[2 * group] = Half(scale);
      writable(affine)[2 * group + 1] = Half(bias);
    }
  }
  return dequantize<BITS>(words, scale, bias);
}
#endif

// The arrays of the two pools, as arguments of the functions above.
#if K_BITS
#define K_POOL k_pool, k_affine
#else
#define K_POOL k_pool
#endif
#if V_BITS
#define V_POOL v_pool, v_affine
#else
#define V_POOL v_pool
#endif
