// Joins the splits of a context: one threadgroup a query row, one thread a dimension.
const int head = threadgroup_position_in_grid.y / partial_sums_shape[2];
const int sequence = threadgroup_position_in_grid.z;
const int queries = partial_sums_shape[2];
const int max_splits = partial_sums_shape[3];
const Index row = Index(sequence) * partial_sums_shape[1] * queries + threadgroup_position_in_grid.y;

const int context = context_lens[sequence * context_lens_strides[0]];
const int visible = context - first_visible(context, queries, int(settings[2]));
const int share = tokens_per_split(visible, max_splits, int(settings[3]));
const int num_splits = max((visible + share - 1) / share, 1);

float highest = LOWEST;
#if SINKS
const float sink = float(sinks[head]) * LOG2_E;
highest = sink;
#endif
for (int s = 0; s < num_splits; s++) highest = max(highest, partial_states[(row * max_splits + s) * 2]);
float total = 0.0f;
#if SINKS
total = fast_exp2(sink - highest);
#endif
const int dim = thread_index_in_threadgroup;
float sum = 0.0f;
for (int s = 0; s < num_splits; s++) {
  const Index part = row * max_splits + s;
  const float weight = fast_exp2(partial_states[part * 2] - highest);
  total += partial_states[part * 2 + 1] * weight;
  if (dim < HEAD_DIM) sum += partial_sums[part * HEAD_DIM + dim] * weight;
}
// The heads of a token lie together, as the next layer reads them.
const Index token = Index(sequence) * queries + threadgroup_position_in_grid.y % queries;
if (dim < HEAD_DIM) {
  out[(token * partial_sums_shape[1] + head) * HEAD_DIM + dim] = Element(total > 0.0f ? sum / total : 0.0f);
}
#if LOG_SUM_EXP
if (dim == 0) log_sum_exp[row] = (highest + log2(total)) * LN_2;
#endif
