// Copies rows of one sequence out of the pools, in the order of positions: bounds is the first
// position, the end of the context, and the rows of the outputs; those past the end become zeros.
// A thread copies units of a row: words of a pool of floats, chunks of a quantized one.
#if GROUP
constexpr int UNITS = HEAD_CHUNKS;
#else
constexpr int UNITS = HEAD_DIM * ELEMENT_BITS / 32;
#endif
const int head = threadgroup_position_in_grid.y;
const Index num_slots = k_pool_strides[0] / k_pool_strides[1];
UNROLL for (int i = 0; i < UNITS_A_THREAD; i++) {
  const int item = (int(threadgroup_position_in_grid.x) * UNITS_A_THREAD + i) * THREADS + int(thread_index_in_threadgroup);
  const int row = item / UNITS;
  const int unit = item % UNITS;
  if (row >= bounds[2]) continue;
  const int position = bounds[0] + row;
  const bool is_inside = position < bounds[1];
  const int block = is_inside ? block_ids[position / BLOCK_SIZE * block_ids_strides[0]] : 0;
  const Index source = Index(head) * num_slots + Index(block) * BLOCK_SIZE + position % BLOCK_SIZE;
  const Index target = (Index(head) * bounds[2] + row) * UNITS + unit;
#if GROUP
  const Values key = is_inside ? unpack(load_chunk<K_BITS>(K_POOL, source, unit)) : zeros();
  const Values value = is_inside ? unpack(load_chunk<V_BITS>(V_POOL, source, unit)) : zeros();
  const float key_scale = is_inside ? row_scale<K_BITS>(K_POOL, source) : 0.0f;
  const float value_scale = is_inside ? row_scale<V_BITS>(V_POOL, source) : 0.0f;
  UNROLL for (int e = 0; e < CHUNK; e++) {
    keys[target * CHUNK + e] = Element(key.at[e] * key_scale);
    values[target * CHUNK + e] = Element(value.at[e] * value_scale);
  }
#else
  keys[target] = is_inside ? k_pool[source * UNITS + unit] : 0u;
  values[target] = is_inside ? v_pool[source * UNITS + unit] : 0u;
#endif
}
