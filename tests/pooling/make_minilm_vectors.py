"""Write minilm_vectors.npz: what MiniLM-L6-v2's own runtime makes of 1,000 texts.

Needs sentence-transformers; run as ``python -m tests.pooling.make_minilm_vectors FOLDER``, with the
folder of the model's files. 16 bits a number change a cosine by less than 1e-7.
"""

import sys

import numpy as np
from sentence_transformers import SentenceTransformer

from tests.pooling.minilm import EXPECTED, MAX_LENGTH, texts


def main() -> None:
    model = SentenceTransformer(sys.argv[1], device="cpu")
    model.max_seq_length = MAX_LENGTH
    vectors = model.encode(texts(), batch_size=16)
    np.savez_compressed(EXPECTED, vectors=vectors.astype(np.float16))


if __name__ == "__main__":
    main()
