"""KV entries in blocks: which blocks, whose, and the arrays that hold them."""
