// Writes rows of K and V into the pools in place. LANES neighbouring lanes hold one row, a chunk each.
const int rows = k_shape[0] * k_shape[1] * k_shape[2];
const int thread_index = int(threadgroup_position_in_grid.x) * THREADS + int(thread_index_in_threadgroup);
const int chunk = thread_index % LANES;
const int row = min(thread_index / LANES, rows - 1);  // idle lanes still take part in shuffles

const int head = row % k_shape[1];
const int token = row / k_shape[1] % k_shape[2];
const int sequence = row / (k_shape[1] * k_shape[2]);
const int slot = slots[sequence * slots_strides[0] + token * slots_strides[1]];
const bool is_kept = thread_index / LANES < rows && chunk < HEAD_CHUNKS && slot >= 0;
const int read_chunk = min(chunk, HEAD_CHUNKS - 1);

auto k_row = k + sequence * k_strides[0] + head * k_strides[1] + token * k_strides[2];
auto v_row = v + sequence * v_strides[0] + head * v_strides[1] + token * v_strides[2];
const Values key = read_row(k_row + read_chunk * CHUNK * k_strides[3], k_strides[3]);
const Values value = read_row(v_row + read_chunk * CHUNK * v_strides[3], v_strides[3]);
const Index target = head * (k_pool_strides[0] / k_pool_strides[1]) + slot;
store_chunk<K_BITS>(K_POOL, target, chunk, key, is_kept);
store_chunk<V_BITS>(V_POOL, target, chunk, value, is_kept);
if (thread_index == 0) next_order[0] = 0;
