"""Token vectors to one vector for each text, as ``pool``, for texts laid end to end.

Letters: N tokens of all texts, T texts, D hidden size. A text without tokens has one for padding.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Places = NDArray[Any]


def mean(hidden: Floats, starts: Places, lengths: Places) -> Floats:
    """Average the vectors of a text's tokens.

    Shapes: hidden (N, D); starts (T + 1,), where each text begins, and N; lengths (T,), tokens of
        each, padding not counted. Returns (T, D); zeros for no tokens.
    """
    sums = np.add.reduceat(hidden, starts[:-1])
    return sums * (np.minimum(lengths, 1) / np.maximum(lengths, 1))[:, None].astype(np.float32)


def cls(hidden: Floats, starts: Places, lengths: Places) -> Floats:
    """Take the vector of a text's first token.

    Shapes: as in ``mean``.
    """
    return hidden[starts[:-1]]


def last_token(hidden: Floats, starts: Places, lengths: Places) -> Floats:
    """Take the vector of a text's last token.

    Shapes: as in ``mean``; a text without tokens gives its padding's vector.
    """
    return hidden[starts[1:] - 1]


POOLINGS: dict[str, Callable[[Floats, Places, Places], Floats]] = {
    "mean": mean,
    "cls": cls,
    "last_token": last_token,
}
