// Unpacks affine codes of BITS bits into elements, value = scale * code + bias, in pairs.
constexpr int CODES_A_WORD = 32 / BITS;
constexpr uint MASK = (1u << BITS) - 1u;
const Index num_pairs = Index(codes_shape[0]) * codes_shape[1] * CODES_A_WORD / 2;
UNROLL for (int i = 0; i < PAIRS_A_THREAD; i++) {
  const Index block = Index(threadgroup_position_in_grid.x) * PAIRS_A_THREAD + i;
  const Index element = 2 * (block * THREADS + Index(thread_index_in_threadgroup));
  if (element >= 2 * num_pairs) continue;
  const uint word = codes[element / CODES_A_WORD] >> (uint(element % CODES_A_WORD) * BITS);
  const float scale = float(scales[element / GROUP_SIZE]);
  const float bias = float(biases[element / GROUP_SIZE]);
  out[element] = Element(float(word & MASK) * scale + bias);
  out[element + 1] = Element(float(word >> BITS & MASK) * scale + bias);
}
