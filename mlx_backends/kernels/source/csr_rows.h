// Rows of a matrix in compressed sparse rows, times a vector. Loads are wide, so a row's first and last chunk may
// hold entries of its neighbours, which are skipped.
#define STEP (32 * CHUNK)

struct Chunks {
  Words<ELEMENT_BITS / 4> values[AHEAD];
  Words<INDEX_BITS / 4> columns[AHEAD];
};

// A lane's next chunks of a row. All reads are under way before the first is used.
template <bool IS_WIDE, typename V, typename C>
FUNCTION Chunks read_chunks(V values, C columns, int base, int stop) {
  Chunks chunks;
  UNROLL for (int u = 0; u < AHEAD; u++) {
    const int at = base + u * STEP < stop ? base + u * STEP : base;
    chunks.values[u] = read_words<IS_WIDE>(values + at);
    chunks.columns[u] = read_indices<IS_WIDE>(columns + at);
  }
  return chunks;
}

template <typename X>
FUNCTION float chunks_times(Chunks chunks, X x, int base, int start, int stop) {
  float sum = 0.0f;
  UNROLL for (int u = 0; u < AHEAD; u++) {
    const Values value = unpack(chunks.values[u]);
    const Indices column = unpack_indices(chunks.columns[u]);
    UNROLL for (int i = 0; i < CHUNK; i++) {
      const int at = base + u * STEP + i;
      if (at >= start && at < stop) sum += value.at[i] * float(Element(x[column.at[i]]));
    }
  }
  return sum;
}
