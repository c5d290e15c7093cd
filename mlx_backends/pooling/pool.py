"""Token vectors to one vector for each text: pure functions on arrays.

Letters: B texts in a batch, L padded length in tokens, D hidden size. Padding is on the
right.
"""

from collections.abc import Callable

import mlx.core as mx


def mean(hidden: mx.array, mask: mx.array) -> mx.array:
    """Average the vectors of a text's tokens.

    Shapes: hidden (B, L, D); mask (B, L), True at tokens. Returns (B, D); zeros for no tokens.
    """
    weights = mask[..., None].astype(hidden.dtype)
    return (hidden * weights).sum(axis=1) / mx.maximum(weights.sum(axis=1), 1)


def cls(hidden: mx.array, mask: mx.array) -> mx.array:
    """Take the vector of a text's first token.

    Shapes: as in ``mean``.
    """
    return hidden[:, 0]


def last_token(hidden: mx.array, mask: mx.array) -> mx.array:
    """Take the vector of a text's last token.

    Shapes: as in ``mean``; a text without tokens gives its first padding's vector.
    """
    last = mx.maximum(mask.astype(mx.int32).sum(axis=1) - 1, 0)
    return mx.take_along_axis(hidden, last[:, None, None], axis=1)[:, 0]


def normalize(vectors: mx.array) -> mx.array:
    """Scale vectors to length 1; zeros stay zeros.

    Shapes: vectors (..., D). Returns the same shape.
    """
    norms = mx.linalg.norm(vectors, axis=-1, keepdims=True)
    return vectors / mx.maximum(norms, 1e-12)


POOLINGS: dict[str, Callable[[mx.array, mx.array], mx.array]] = {
    "mean": mean,
    "cls": cls,
    "last_token": last_token,
}
