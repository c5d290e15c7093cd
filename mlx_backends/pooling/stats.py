"""What a model computed so far, and how much of it was padding."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PoolingStats:
    """What a runner did so far.

    Attributes:
        rows: Texts, windows of texts or pairs.
        batches: Forward passes.
        tokens: Tokens of the rows.
        padded_tokens: Tokens of the batches, padding included.
    """

    rows: int = 0
    batches: int = 0
    tokens: int = 0
    padded_tokens: int = 0

    @property
    def padding_waste(self) -> float:
        """Share of the computed tokens that were padding; 0 before the first batch."""
        return 1 - self.tokens / self.padded_tokens if self.padded_tokens else 0.0
