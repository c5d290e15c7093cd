// A lane's part of a square block stored by columns: eight consecutive rows of every COLUMNS_AT_ONCE-th column.
#define CHUNKS (BLOCK / CHUNK)
#define COLUMNS_AT_ONCE (32 / CHUNKS)
#define STEPS (BLOCK / COLUMNS_AT_ONCE)
#define STEPS_AT_ONCE (STEPS < 4 ? STEPS : 4)

struct BlockPart { Words<ELEMENT_BITS / 4> at[STEPS_AT_ONCE]; };

template <bool IS_WIDE, typename V>
FUNCTION BlockPart read_part(V values) {
  BlockPart part;
  UNROLL for (int s = 0; s < STEPS_AT_ONCE; s++) part.at[s] = read_words<IS_WIDE>(values + s * 32 * CHUNK);
  return part;
}
