// RMS norm and rotary embedding of one token's query and key heads. A simdgroup holds a row.
const int lane = int(thread_index_in_simdgroup);
const int row = int(threadgroup_position_in_grid.x) * SIMDGROUPS + int(simdgroup_index_in_threadgroup);
const int q_heads = q_shape[1] / HEAD_DIM;
const int k_heads = k_shape[1] / HEAD_DIM;
const int heads = q_heads + k_heads;
const int last = q_shape[0] * heads - 1;
const int head = min(row, last) % heads;  // idle simdgroups still take part in shuffles
const int sequence = min(row, last) / heads;
const bool is_query = head < q_heads;

auto q_row = q + sequence * q_strides[0] + head * HEAD_DIM * q_strides[1];
auto k_row = k + sequence * k_strides[0] + (head - q_heads) * HEAD_DIM * k_strides[1];
const float position = float(offsets[sequence * offsets_strides[0]]);

// A lane holds pairs of numbers half a head apart, which turn together.
float first[PAIRS];
float second[PAIRS];
float sum = 0.0f;
UNROLL for (int i = 0; i < PAIRS; i++) {
  const int at = min(i * 32 + lane, HEAD_DIM / 2 - 1);
  const bool is_mine = i * 32 + lane < HEAD_DIM / 2;
  const Index low = Index(at);
  const Index high = Index(at + HEAD_DIM / 2);
  first[i] = is_query ? float(q_row[low * q_strides[1]]) : float(k_row[low * k_strides[1]]);
  second[i] = is_query ? float(q_row[high * q_strides[1]]) : float(k_row[high * k_strides[1]]);
  if (is_mine) sum += first[i] * first[i] + second[i] * second[i];
}
UNROLL for (int mask = 16; mask > 0; mask >>= 1) sum += simd_shuffle_xor(sum, mask);
const float scale = 1.0f / sqrt(sum / float(HEAD_DIM) + settings[0]);

UNROLL for (int i = 0; i < PAIRS; i++) {
  const int at = i * 32 + lane;
  if (row <= last && at < HEAD_DIM / 2) {
    const float low_weight = is_query ? float(q_weight[at]) : float(k_weight[at]);
    const float high_weight = is_query ? float(q_weight[at + HEAD_DIM / 2]) : float(k_weight[at + HEAD_DIM / 2]);
    // Rounded as a norm of its own would round, so that fusing changes nothing but the order.
    const float x = float(Element(first[i] * scale * low_weight));
    const float y = float(Element(second[i] * scale * high_weight));
    const float angle = position * frequencies[at];
    const float cosine = cos(angle);
    const float sine = sin(angle);
    if (is_query) {
      const Index target = (Index(sequence) * q_heads + head) * HEAD_DIM;
      q_out[target + at] = Element(x * cosine - y * sine);
      q_out[target + at + HEAD_DIM / 2] = Element(x * sine + y * cosine);
    } else {
      const Index target = (Index(sequence) * k_heads + head - q_heads) * HEAD_DIM;
      k_out[target + at] = Element(x * cosine - y * sine);
      k_out[target + at + HEAD_DIM / 2] = Element(x * sine + y * cosine);
    }
  }
}
