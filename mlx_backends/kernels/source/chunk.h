// A chunk is some consecutive elements of one row, the unit in which a lane reads and computes: eight, or
// what a kernel's constants say.
#ifndef CHUNK
#define CHUNK 8
#endif
#define HEAD_CHUNKS (HEAD_DIM / CHUNK)
#define ELEMENT_WORDS (ELEMENT_BITS * CHUNK / 32)

template <int N>
struct Words { uint at[N]; };

struct Values { float at[CHUNK]; };

template <typename P>
FUNCTION Words<1> load_words(P pointer, Words<1> words) {
  words.at[0] = LOAD_UINT(pointer);
  return words;
}

template <typename P>
FUNCTION Words<2> load_words(P pointer, Words<2> words) {
  const uint2 pair = LOAD_UINT2(pointer);
  words.at[0] = pair.x;
  words.at[1] = pair.y;
  return words;
}

template <typename P>
FUNCTION Words<4> load_words(P pointer, Words<4> words) {
  const uint4 quad = LOAD_UINT4(pointer);
  words.at[0] = quad.x;
  words.at[1] = quad.y;
  words.at[2] = quad.z;
  words.at[3] = quad.w;
  return words;
}

template <typename P>
FUNCTION Words<8> load_words(P pointer, Words<8> words) {
  const uint4 first = LOAD_UINT4(pointer);
  const uint4 second = LOAD_UINT4(pointer + 4);
  words.at[0] = first.x;
  words.at[1] = first.y;
  words.at[2] = first.z;
  words.at[3] = first.w;
  words.at[4] = second.x;
  words.at[5] = second.y;
  words.at[6] = second.z;
  words.at[7] = second.w;
  return words;
}

// The words of a chunk of elements.
template <typename P>
FUNCTION Words<ELEMENT_WORDS> load_elements(P pointer) {
  Words<ELEMENT_WORDS> words;
  UNROLL for (int i = 0; i < ELEMENT_WORDS / 4; i++) {
    const uint4 quad = LOAD_UINT4(pointer + i * (128 / ELEMENT_BITS));
    words.at[4 * i] = quad.x;
    words.at[4 * i + 1] = quad.y;
    words.at[4 * i + 2] = quad.z;
    words.at[4 * i + 3] = quad.w;
  }
  return words;
}

FUNCTION Values zeros() {
  Values values;
  UNROLL for (int i = 0; i < CHUNK; i++) values.at[i] = 0.0f;
  return values;
}

// Elements as float.
FUNCTION Values unpack(Words<ELEMENT_WORDS> words) {
  Values values;
#if ELEMENT_BITS == 32
  UNROLL for (int i = 0; i < CHUNK; i++) values.at[i] = float_from_bits(words.at[i]);
#elif ELEMENT_IS_BFLOAT
  UNROLL for (int i = 0; i < CHUNK / 2; i++) {
    values.at[2 * i] = float_from_bits(words.at[i] << 16);
    values.at[2 * i + 1] = float_from_bits(words.at[i] & 0xffff0000u);
  }
#else
  UNROLL for (int i = 0; i < CHUNK / 2; i++) {
    values.at[2 * i] = float_from_half_bits(words.at[i] & 0xffffu);
    values.at[2 * i + 1] = float_from_half_bits(words.at[i] >> 16);
  }
#endif
  return values;
}

// A chunk of a new token's row, whose stride is the caller's.
template <typename P>
FUNCTION Values read_row(P pointer, Index stride) {
  if (is_wide(pointer, stride)) return unpack(load_elements(pointer));
  Values values;
  UNROLL for (int i = 0; i < CHUNK; i++) values.at[i] = float(pointer[i * stride]);
  return values;
}

FUNCTION float dot(Values a, Values b) {
  float sum = 0.0f;
  UNROLL for (int i = 0; i < CHUNK; i++) sum += a.at[i] * b.at[i];
  return sum;
}
