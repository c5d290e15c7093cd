// One threadgroup reads one split of one sequence's context for one KV head. A query row is one new
// token of one query head; up to ROWS rows of the head's group share every K and V row that is read.
// In a simdgroup LANES neighbouring lanes hold one token's row and 32 / LANES tokens are read side by
// side, each group of lanes with a running softmax of its own; the states are merged at the end.
constexpr int CHUNKS = (HEAD_CHUNKS + LANES - 1) / LANES;  // a lane's chunks: c * LANES + lane_chunk
constexpr int ACROSS = 32 / LANES;                         // tokens that a simdgroup reads side by side
constexpr int THREADS = SIMDGROUPS * 32;
THREADGROUP_ARRAY(float, shared_sums, SIMDGROUPS * ROWS * HEAD_DIM);
THREADGROUP_ARRAY(float, shared_maxima, SIMDGROUPS * ROWS);
THREADGROUP_ARRAY(float, shared_totals, SIMDGROUPS * ROWS);

const int simdgroup = simdgroup_index_in_threadgroup;
const int lane_chunk = int(thread_index_in_simdgroup) % LANES;
const int lane_token = int(thread_index_in_simdgroup) / LANES;

// Where this threadgroup is in the batch.
const int queries = q_shape[2];
const Index num_slots = k_pool_strides[0] / k_pool_strides[1];
const int num_kv_heads = int(settings[4]);
const int group_heads = q_shape[1] / num_kv_heads;
const int num_rows = group_heads * queries;
const int num_tiles = (num_rows + ROWS - 1) / ROWS;
const int split = threadgroup_position_in_grid.x;
const int num_splits = threadgroups_per_grid.x;
const int kv_head = int(threadgroup_position_in_grid.y) / num_tiles;
const int first_row = int(threadgroup_position_in_grid.y) % num_tiles * ROWS;
const int sequence = threadgroup_position_in_grid.z;

// Which positions it reads: [start, stop). A token appended by this launch is not read from the pool.
const int context = context_lens[sequence * context_lens_strides[0]];
const int window = int(settings[2]);
const int begin = first_visible(context, queries, window);
const int share = tokens_per_split(context - begin, num_splits, STEP);
const int start = begin + split * share;
const int stop = min(start + share, context - APPENDS);

#if APPENDS
if (split == 0 && first_row == 0 && kv_head == 0 && sequence == 0 && thread_index_in_threadgroup == 0) next_order[0] = 0;
#endif
if (num_splits > 1 && start >= context) return;  // no token is left for this split: the reduction skips it

float query_scale = settings[0];
#if !SOFT_CAP
query_scale *= LOG2_E;
#endif
Values query[CHUNKS][ROWS];
Values sums[CHUNKS][ROWS];
float maxima[ROWS];
float totals[ROWS];
UNROLL for (int r = 0; r < ROWS; r++) {
  const int row = min(first_row + r, num_rows - 1);
  const int head = kv_head * group_heads + row / queries;
  auto q_row = q + sequence * q_strides[0] + head * q_strides[1] + row % queries * q_strides[2];
  UNROLL for (int c = 0; c < CHUNKS; c++) {
    const int chunk = c * LANES + lane_chunk;
    query[c][r] = chunk < HEAD_CHUNKS ? read_row(q_row + chunk * CHUNK * q_strides[3], q_strides[3]) : zeros();
    UNROLL for (int i = 0; i < CHUNK; i++) query[c][r].at[i] *= query_scale;
    sums[c][r] = zeros();
  }
  maxima[r] = LOWEST;
  totals[r] = 0.0f;
}

#if APPENDS
if (start + share >= context) {
  // The new token begins the softmax of the first group of lanes; one threadgroup writes it.
  const bool writes = first_row == 0 && simdgroup == 0 && lane_token == 0;
  const int position = context - 1;
  const int block = block_tables[sequence * block_tables_strides[0] + position / BLOCK_SIZE * block_tables_strides[1]];
  const Index target = Index(kv_head) * num_slots + Index(block) * BLOCK_SIZE + position % BLOCK_SIZE;
  auto k_row = k + sequence * k_strides[0] + kv_head * k_strides[1];
  auto v_row = v + sequence * v_strides[0] + kv_head * v_strides[1];
  Values new_value[CHUNKS];
  float scores[ROWS];
  UNROLL for (int r = 0; r < ROWS; r++) scores[r] = 0.0f;
  UNROLL for (int c = 0; c < CHUNKS; c++) {
    const int chunk = c * LANES + lane_chunk;
    const bool is_inside = chunk < HEAD_CHUNKS;
    const Values k_new = is_inside ? read_row(k_row + chunk * CHUNK * k_strides[3], k_strides[3]) : zeros();
    const Values v_new = is_inside ? read_row(v_row + chunk * CHUNK * v_strides[3], v_strides[3]) : zeros();
    const Stored key = store_chunk<K_BITS>(K_POOL, target, chunk, k_new, writes && is_inside);
    const Stored value = store_chunk<V_BITS>(V_POOL, target, chunk, v_new, writes && is_inside);
    UNROLL for (int i = 0; i < CHUNK; i++) new_value[c].at[i] = value.values.at[i] * value.scale;
    UNROLL for (int r = 0; r < ROWS; r++) scores[r] += dot(query[c][r], key.values) * key.scale;
  }
  UNROLL for (int r = 0; r < ROWS; r++) {
    UNROLL for (int offset = 1; offset < LANES; offset *= 2) scores[r] += simd_shuffle_xor(scores[r], offset);
#if SOFT_CAP
    scores[r] = settings[1] * tanh(scores[r] / settings[1]) * LOG2_E;
#endif
    if (simdgroup == 0 && lane_token == 0) {
      maxima[r] = scores[r];
      totals[r] = 1.0f;
      UNROLL for (int c = 0; c < CHUNKS; c++) sums[c][r] = new_value[c];
    }
  }
}
#endif

// Steps of the loop are pipelined: keys of the next step are asked for as soon as this step's are
// used, then its values, and block ids one step before that. What lies past the end repeats the last token.
auto table = block_tables + sequence * block_tables_strides[0];
const Index head_start = Index(kv_head) * num_slots;
const int last = stop - 1;
int positions[TOKENS];
int slots[TOKENS];
Packed<K_BITS> keys[TOKENS][CHUNKS];
Packed<V_BITS> values[TOKENS][CHUNKS];
float key_scales[TOKENS];
float value_scales[TOKENS];
if (start < stop) {
  UNROLL for (int t = 0; t < TOKENS; t++) {
    positions[t] = start + simdgroup * (ACROSS * TOKENS) + t * ACROSS + lane_token;
    const int first = min(positions[t], last);
    const int next = min(positions[t] + STEP, last);
    const int slot = table[first / BLOCK_SIZE * block_tables_strides[1]] * BLOCK_SIZE + first % BLOCK_SIZE;
    slots[t] = table[next / BLOCK_SIZE * block_tables_strides[1]] * BLOCK_SIZE + next % BLOCK_SIZE;
    key_scales[t] = row_scale<K_BITS>(K_POOL, head_start + slot);
    value_scales[t] = row_scale<V_BITS>(V_POOL, head_start + slot);
    UNROLL for (int c = 0; c < CHUNKS; c++) {
      const int chunk = min(c * LANES + lane_chunk, HEAD_CHUNKS - 1);  // a lane past the row repeats its end
      keys[t][c] = load_chunk<K_BITS>(K_POOL, head_start + slot, chunk);
      values[t][c] = load_chunk<V_BITS>(V_POOL, head_start + slot, chunk);
    }
  }
}
for (int base = start + simdgroup * (ACROSS * TOKENS); base < stop; base += STEP) {
  // Scores: each lane's part of the dot product, then the sum over the row's lanes.
  float scores[TOKENS][ROWS];
  UNROLL for (int t = 0; t < TOKENS; t++) {
    UNROLL for (int r = 0; r < ROWS; r++) scores[t][r] = 0.0f;
    UNROLL for (int c = 0; c < CHUNKS; c++) {
      const Values key = unpack(keys[t][c]);
      UNROLL for (int r = 0; r < ROWS; r++) scores[t][r] += dot(query[c][r], key);
      const int chunk = min(c * LANES + lane_chunk, HEAD_CHUNKS - 1);
      keys[t][c] = load_chunk<K_BITS>(K_POOL, head_start + slots[t], chunk);
    }
    UNROLL for (int r = 0; r < ROWS; r++) {
      UNROLL for (int offset = 1; offset < LANES; offset *= 2) scores[t][r] += simd_shuffle_xor(scores[t][r], offset);
      scores[t][r] *= key_scales[t];
#if SOFT_CAP
      scores[t][r] = settings[1] * tanh(scores[t][r] / settings[1]) * LOG2_E;
#endif
      bool is_visible = positions[t] < stop;
#if CAUSAL
      const int own = context - queries + min(first_row + r, num_rows - 1) % queries;  // the row's own position
      is_visible = is_visible && positions[t] <= own && (window <= 0 || positions[t] > own - window);
#endif
      if (!is_visible) scores[t][r] = HIDDEN;
    }
    key_scales[t] = row_scale<K_BITS>(K_POOL, head_start + slots[t]);
  }

  // One online softmax step for all tokens of the step (Milakov and Gimelshein 2018, arXiv:1805.02867).
  float highest[ROWS];
  bool has_grown = false;
  UNROLL for (int r = 0; r < ROWS; r++) {
    highest[r] = maxima[r];
    UNROLL for (int t = 0; t < TOKENS; t++) highest[r] = max(highest[r], scores[t][r]);
    has_grown = has_grown || highest[r] > maxima[r];
  }
  if (has_grown) {  // seldom after the first steps
    UNROLL for (int r = 0; r < ROWS; r++) {
      const float decay = fast_exp2(maxima[r] - highest[r]);
      maxima[r] = highest[r];
      totals[r] *= decay;
      UNROLL for (int c = 0; c < CHUNKS; c++) {
        UNROLL for (int i = 0; i < CHUNK; i++) sums[c][r].at[i] *= decay;
      }
    }
  }
  UNROLL for (int t = 0; t < TOKENS; t++) {
    UNROLL for (int r = 0; r < ROWS; r++) {
      scores[t][r] = fast_exp2(scores[t][r] - maxima[r]);
      totals[r] += scores[t][r];
      scores[t][r] *= value_scales[t];
    }
  }
  UNROLL for (int t = 0; t < TOKENS; t++) {
    UNROLL for (int c = 0; c < CHUNKS; c++) {
      const Values value = unpack(values[t][c]);
      UNROLL for (int r = 0; r < ROWS; r++) {
        UNROLL for (int i = 0; i < CHUNK; i++) sums[c][r].at[i] += scores[t][r] * value.at[i];
      }
      const int chunk = min(c * LANES + lane_chunk, HEAD_CHUNKS - 1);
      values[t][c] = load_chunk<V_BITS>(V_POOL, head_start + slots[t], chunk);
    }
    value_scales[t] = row_scale<V_BITS>(V_POOL, head_start + slots[t]);
    positions[t] += STEP;
    const int next = min(positions[t] + STEP, last);
    slots[t] = table[next / BLOCK_SIZE * block_tables_strides[1]] * BLOCK_SIZE + next % BLOCK_SIZE;
  }
}

// Merge the groups of lanes of each simdgroup, and leave one state a simdgroup in threadgroup memory.
UNROLL for (int r = 0; r < ROWS; r++) {
  float highest = maxima[r];
  UNROLL for (int offset = LANES; offset < 32; offset *= 2) highest = max(highest, simd_shuffle_xor(highest, offset));
  const float weight = fast_exp2(maxima[r] - highest);
  float total = totals[r] * weight;
  UNROLL for (int offset = LANES; offset < 32; offset *= 2) total += simd_shuffle_xor(total, offset);
  UNROLL for (int c = 0; c < CHUNKS; c++) {
    const int chunk = c * LANES + lane_chunk;
    UNROLL for (int i = 0; i < CHUNK; i++) {
      float sum = sums[c][r].at[i] * weight;
      UNROLL for (int offset = LANES; offset < 32; offset *= 2) sum += simd_shuffle_xor(sum, offset);
      if (lane_token == 0 && chunk < HEAD_CHUNKS) {
        shared_sums[(simdgroup * ROWS + r) * HEAD_DIM + chunk * CHUNK + i] = sum;
      }
    }
  }
  if (thread_index_in_simdgroup == 0) {
    shared_maxima[simdgroup * ROWS + r] = highest;
    shared_totals[simdgroup * ROWS + r] = total;
  }
}
THREADGROUP_BARRIER();

// Merge the simdgroups and write the result, or this split's part of it.
for (int item = thread_index_in_threadgroup; item < ROWS * HEAD_DIM; item += THREADS) {
  const int r = item / HEAD_DIM;
  const int dim = item % HEAD_DIM;
  if (first_row + r >= num_rows) continue;
  float highest = LOWEST;
  UNROLL for (int s = 0; s < SIMDGROUPS; s++) highest = max(highest, shared_maxima[s * ROWS + r]);
  float total = 0.0f;
  float sum = 0.0f;
  UNROLL for (int s = 0; s < SIMDGROUPS; s++) {
    const float weight = fast_exp2(shared_maxima[s * ROWS + r] - highest);
    total += shared_totals[s * ROWS + r] * weight;
    sum += shared_sums[(s * ROWS + r) * HEAD_DIM + dim] * weight;
  }
  const int head = kv_head * group_heads + (first_row + r) / queries;
  const Index row = (Index(sequence) * q_shape[1] + head) * queries + (first_row + r) % queries;
#if SPLITS
  partial_sums[(row * num_splits + split) * HEAD_DIM + dim] = sum;
  if (dim == 0) {
    partial_states[(row * num_splits + split) * 2] = highest;
    partial_states[(row * num_splits + split) * 2 + 1] = total;
  }
#else
#if SINKS
  const float sink = float(sinks[head]) * LOG2_E;
  const float with_sink = max(highest, sink);
  const float weight = fast_exp2(highest - with_sink);
  sum *= weight;
  total = total * weight + fast_exp2(sink - with_sink);
  highest = with_sink;
#endif
  // The heads of a token lie together, as the next layer reads them.
  const Index token = Index(sequence) * queries + (first_row + r) % queries;
  out[(token * q_shape[1] + head) * HEAD_DIM + dim] = Element(total > 0.0f ? sum / total : 0.0f);
#if LOG_SUM_EXP
  if (dim == 0) log_sum_exp[row] = (highest + log2(total)) * LN_2;
#endif
#endif
}
