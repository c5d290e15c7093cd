"""What is made of an encoder's vectors before they are handed out: pure functions on numpy arrays.

Letters: N texts, W windows, D length of a vector.
"""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from mlx_backends.errors import RequestError

Precision = Literal["float32", "int8", "binary"]
PRECISIONS: tuple[Precision, ...] = ("float32", "int8", "binary")
_TINY = 1e-12


def mean_of_windows(
    vectors: NDArray[np.float32], weights: Sequence[Sequence[int]]
) -> NDArray[np.float32]:
    """Average the vectors of each text's windows, by the tokens that each window adds.

    Shapes: vectors (W, D), the windows of the first text first; weights N lists, W numbers in all.
        Returns (N, D).
    """
    counts = [len(of_text) for of_text in weights]
    if len(vectors) == len(counts):
        return vectors
    flat = np.array([max(w, 1) for of_text in weights for w in of_text], np.float32)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    sums = np.add.reduceat(vectors * flat[:, None], starts, axis=0)
    return (sums / np.add.reduceat(flat, starts)[:, None]).astype(np.float32)


def normalize(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Scale vectors to length 1; zeros stay zeros. Shapes: (N, D) to the same."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), _TINY)


def check_precision(precision: Precision, dimensions: int) -> None:
    """Refuse what ``as_precision`` cannot make.

    Raises:
        RequestError: The precision is unknown, or 8 does not divide the length for ``binary``.
    """
    if precision not in PRECISIONS:
        raise RequestError(
            f"precision must be one of {', '.join(PRECISIONS)}; got {precision!r:.80}."
        )
    if precision == "binary" and dimensions % 8:
        raise RequestError(f"Binary vectors need a length that 8 divides; it is {dimensions}.")


def as_precision(vectors: NDArray[np.float32], precision: Precision) -> NDArray[Any]:
    """Vectors in the type that a store takes.

    ``int8`` scales each vector so that its largest entry is 127: directions stay, so compare by
    cosine. ``binary`` keeps the signs, eight to a byte, the first in the highest bit: compare by
    Hamming distance.

    Shapes: vectors (N, D). Returns (N, D) in float32 or int8, or (N, D / 8) in uint8.
    """
    if precision == "float32":
        return vectors
    if precision == "binary":
        return np.packbits(vectors > 0, axis=1)
    largest = np.maximum(np.abs(vectors).max(axis=1, keepdims=True, initial=0.0), _TINY)
    return np.rint(vectors / largest * 127).astype(np.int8)
