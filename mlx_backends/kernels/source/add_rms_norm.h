// The residual sum of a row and its RMS norm. A threadgroup holds a row.
const int width = x_shape[1];
const int row = int(threadgroup_position_in_grid.x);
const int index = int(thread_index_in_threadgroup);
THREADGROUP_ARRAY(float, shared_sums, SIMDGROUPS);

auto x_row = x + row * x_strides[0];
auto residual_row = residual + row * residual_strides[0];
float squares = 0.0f;
for (int i = index; i < width; i += SIMDGROUPS * 32) {
  // Rounded as a sum of its own would be, so that fusing changes nothing but the order.
  const Element total = Element(float(x_row[i * x_strides[1]]) + float(residual_row[i * residual_strides[1]]));
  sum[Index(row) * width + i] = total;
  squares += float(total) * float(total);
}
UNROLL for (int mask = 16; mask > 0; mask >>= 1) squares += simd_shuffle_xor(squares, mask);
if (thread_index_in_simdgroup == 0) shared_sums[simdgroup_index_in_threadgroup] = squares;
THREADGROUP_BARRIER();
float all = 0.0f;
UNROLL for (int i = 0; i < SIMDGROUPS; i++) all += shared_sums[i];
const float scale = 1.0f / sqrt(all / float(width) + settings[0]);
for (int i = index; i < width; i += SIMDGROUPS * 32) {
  const Element total = Element(float(x_row[i * x_strides[1]]) + float(residual_row[i * residual_strides[1]]));
  normed[Index(row) * width + i] = Element(float(total) * scale * float(weight[i]));
}
