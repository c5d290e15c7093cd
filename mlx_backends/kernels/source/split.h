// Which part of a sequence's context one threadgroup reads.

#define LOG2_E 1.44269504088896f
#define LN_2 0.693147180559945f
// Running maxima begin here and hidden scores lie lower, so that no difference is NaN and exp2 of it is 0.
#define LOWEST -1e30f
#define HIDDEN -2e30f

// First position that the first of `queries` new tokens sees; 0 is no window.
FUNCTION int first_visible(int context, int queries, int window) {
  return window > 0 ? max(0, context - queries + 1 - window) : 0;
}

// Tokens a split: an even share, in whole steps of a threadgroup. The last splits may be empty.
FUNCTION int tokens_per_split(int visible, int num_splits, int step) {
  const int share = (visible + num_splits - 1) / num_splits;
  return max((share + step - 1) / step, 1) * step;
}
