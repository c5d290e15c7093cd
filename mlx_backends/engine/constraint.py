"""What the engine asks of a grammar that a sequence's tokens must follow."""

from typing import Protocol

import numpy as np


class Constraint(Protocol):
    """The state of one completion in its grammar. Used on the MLX thread only."""

    @property
    def is_finished(self) -> bool:
        """Whether the completion is whole and nothing may follow."""
        ...

    def allowed_bitmask(self) -> np.ndarray:
        """Tokens that may come next: (ceil(V / 32),) uint32, one bit a token, lowest first."""
        ...

    def accept(self, token_id: int) -> None:
        """Take in the token that was drawn."""
        ...
