// Copies whole blocks of K and V inside their pools, in place: block sources[i] to block targets[i].
// Pools come as rows of 32-bit words, and where they hold codes with rows of scales beside them.
const int copy = threadgroup_position_in_grid.z;
const int head = threadgroup_position_in_grid.y;
const int item = int(threadgroup_position_in_grid.x) * THREADS + int(thread_index_in_threadgroup);
const Index head_start = Index(head) * (k_pool_strides[0] / k_pool_strides[1]);
const Index source = head_start + Index(sources[copy * sources_strides[0]]) * BLOCK_SIZE;
const Index target = head_start + Index(targets[copy * targets_strides[0]]) * BLOCK_SIZE;
if (item < BLOCK_SIZE * K_WORDS) writable(k_pool)[target * K_WORDS + item] = k_pool[source * K_WORDS + item];
if (item < BLOCK_SIZE * V_WORDS) writable(v_pool)[target * V_WORDS + item] = v_pool[source * V_WORDS + item];
#if K_SCALES
if (item < BLOCK_SIZE * K_SCALES) writable(k_scales)[target * K_SCALES + item] = k_scales[source * K_SCALES + item];
#endif
#if V_SCALES
if (item < BLOCK_SIZE * V_SCALES) writable(v_scales)[target * V_SCALES + item] = v_scales[source * V_SCALES + item];
#endif
if (copy == 0 && head == 0 && item == 0) next_order[0] = 0;
