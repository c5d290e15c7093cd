"""What the engine asks of a constraint on a completion, such as a grammar."""

from typing import Protocol

import numpy as np


class Constraint(Protocol):
    """Decides which tokens may come next; asked once a step, on the engine's thread.

    ``mlx_backends.grammar.GrammarConstraint`` is one. Its state belongs to one request.
    """

    @property
    def is_finished(self) -> bool:
        """Whether the completion is whole; then the engine ends it."""
        ...

    def allowed_bitmask(self) -> np.ndarray:
        """One bit for each token, set if it may come next; at least one is.

        Shapes: (ceil(V / 32),) uint32, lowest bit first. Tokens past the end are not allowed.
        """
        ...

    def accept(self, token_id: int) -> int:
        """Take the token drawn and return the one that the completion goes on with.

        Another than the one drawn, if after that one the completion could not end within
        ``max_tokens`` any more.
        """
        ...
