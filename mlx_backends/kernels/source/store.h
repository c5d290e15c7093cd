// Writing chunks of a pool's rows; pool.h says how they are stored.

// A chunk as later readers see it: values to be multiplied with the row's scale.
struct Stored {
  Values values;
  float scale;
};

// Write one chunk if `writes`.
template <int BITS, typename P>
FUNCTION Stored store_chunk(P pool, Index row, int chunk, Values values, bool writes) {
  if (writes) {
    UNROLL for (int i = 0; i < CHUNK; i++) {
      writable(pool)[row * HEAD_DIM + chunk * CHUNK + i] = Element(values.at[i]);
    }
  }
  return {values, 1.0f};
}

#if GROUP
FUNCTION float round_to_half(float x) { return float(Half(min(max(x, -65504.0f), 65504.0f))); }

// The largest of `value` over neighbouring lanes, a power of two of them.
FUNCTION float max_over(float value, int lanes) {
  for (int offset = 1; offset < lanes; offset *= 2) value = max(value, simd_shuffle_xor(value, offset));
  return value;
}

// As above, with codes. The LANES neighbouring lanes that hold a row all call.
template <int BITS, typename P, typename Q>
FUNCTION Stored store_chunk(P codes, Q scales, Index row, int chunk, Values values, bool writes) {
  constexpr int WORDS = BITS * CHUNK / 32;
  constexpr int PER_WORD = 32 / BITS;
  float low = values.at[0];
  float high = values.at[0];
  UNROLL for (int i = 1; i < CHUNK; i++) {
    low = min(low, values.at[i]);
    high = max(high, values.at[i]);
  }
  // Codes are steps from the zero: as many up as down, or up from the lowest value.
  constexpr float MOST = BITS == 8 ? 127.0f : 15.0f;
  constexpr float LEAST = BITS == 8 ? -127.0f : 0.0f;
  constexpr float ZERO = BITS == 8 ? 128.0f : 0.0f;
  float scale, bias;
  if (BITS == 8) {
    scale = round_to_half(max_over(max(high, -low), LANES) / MOST);
    bias = 0.0f;
  } else {
    high = max_over(high, GROUP_CHUNKS);
    low = -max_over(-low, GROUP_CHUNKS);
    scale = round_to_half((high - low) / MOST);
    bias = round_to_half(low);
  }
  const float inverse = scale > 0.0f ? 1.0f / scale : 0.0f;
  Packed<BITS> packed;
  UNROLL for (int i = 0; i < WORDS; i++) packed.words.at[i] = 0u;
  UNROLL for (int i = 0; i < CHUNK; i++) {
    const float steps = min(max(rint((values.at[i] - bias) * inverse), LEAST), MOST);
    packed.words.at[i / PER_WORD] |= uint(steps + ZERO) << (i % PER_WORD * BITS);
  }
  packed.affine = bits_of(Half(scale)) | bits_of(Half(bias)) << 16;
  if (writes) {
    UNROLL for (int i = 0; i < WORDS; i++) {
      writable(codes)[(row * HEAD_CHUNKS + chunk) * WORDS + i] = packed.words.at[i];
    }
    if (BITS == 8 && chunk == 0) writable(scales)[row] = Half(scale);
    if (BITS == 4 && chunk % GROUP_CHUNKS == 0) {
      const Index group = row * (HEAD_DIM / GROUP) + chunk / GROUP_CHUNKS;
      writable(scales)[2 * group] = Half(scale);
      writable(scales)[2 * group + 1] = Half(bias);
    }
  }
  return {unpack(packed), BITS == 8 ? scale : 1.0f};
}
#endif
