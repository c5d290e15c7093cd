"""What one step computes: the scheduler's plan, which the loop gives to the runner."""

from dataclasses import dataclass

from mlx_backends.cache.prefix_cache import BlockCopy
from mlx_backends.engine.sequence import Sequence


@dataclass(frozen=True, slots=True)
class PrefillChunk:
    """The tokens ``start`` to ``stop`` of ``sequence.token_ids``.

    Attributes:
        sequence: Whose tokens.
        start, stop: Positions, ``stop`` not included.
        is_last: Whether the logits of its last token give the sequence's next token.
    """

    sequence: Sequence
    start: int
    stop: int
    is_last: bool


@dataclass(frozen=True, slots=True)
class Step:
    """What to compute next: the copies first, prefill and decode in either order.

    Its sequences are counted as launched when the scheduler returns it: ``num_computed_tokens``
    includes this step's tokens, and ``num_in_flight`` the tokens that it will draw.

    Attributes:
        copies: Blocks to copy before anything else, for sequences of ``prefill``.
        prefill: Chunks of different sequences, within the token budget.
        decode: Sequences that take one token, at position ``num_computed_tokens - 1``.
        preempted: Sequences that lost their blocks, tainted ones included, and wait again.
    """

    copies: tuple[BlockCopy, ...] = ()
    prefill: tuple[PrefillChunk, ...] = ()
    decode: tuple[Sequence, ...] = ()
    preempted: tuple[Sequence, ...] = ()

    @property
    def is_empty(self) -> bool:
        return not (self.prefill or self.decode)

    def count_launched(self) -> None:
        """Count the tokens of this step in its sequences."""
        for chunk in self.prefill:
            chunk.sequence.num_computed_tokens = chunk.stop
            chunk.sequence.num_in_flight += chunk.is_last
        for sequence in self.decode:
            sequence.num_computed_tokens += 1
            sequence.num_in_flight += 1
