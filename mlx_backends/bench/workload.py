"""What is asked of every system: prompts of random tokens, and how many tokens to add to each."""

import random
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests that arrive together.

    Attributes:
        name: As the tables call it.
        lengths: Tokens of each prompt.
        num_tokens: Tokens to generate for each.
        seen_prefix: So many first tokens of each prompt were computed before the clock starts.
        is_alone: Whether a system runs all its rounds while no other holds a model: for what fills
            the memory.
    """

    name: str
    lengths: tuple[int, ...]
    num_tokens: int
    seen_prefix: int = 0
    is_alone: bool = False

    def prompts(self, round_index: int, vocab_size: int) -> list[list[int]]:
        """New random tokens for each round, so that no system has met them."""
        draw = random.Random(f"{self.name} {round_index}")
        return [[draw.randrange(vocab_size) for _ in range(length)] for length in self.lengths]


def decode(context: int, num_tokens: int) -> Workload:
    """One stream: prefill speed, time to the first token and decode speed at a context."""
    return Workload(f"stream at {context:,}", (context,), num_tokens)


def seen(context: int) -> Workload:
    """One prompt of which all but the last 16 tokens have been computed before."""
    return Workload(f"{context:,}, all but 16 seen", (context,), 2, seen_prefix=context - 16)


def asked_again(context: int) -> Workload:
    """One prompt that has been computed before as a whole: only its last token is computed."""
    return Workload(f"{context:,}, all seen", (context,), 2, seen_prefix=context)


def ragged(
    count: int, shortest: int, longest: int, num_tokens: int, *, is_alone: bool = False
) -> Workload:
    """Prompts of very different lengths, arriving at once: each longer by the same factor."""
    growth = longest / shortest
    lengths = [round(shortest * growth ** (i / (count - 1))) for i in range(count)]
    random.Random(f"ragged {count}").shuffle(lengths)
    name = f"{count} prompts of {shortest:,} to {longest:,}"
    return Workload(name, tuple(lengths), num_tokens, is_alone=is_alone)


def batch(count: int, length: int, num_tokens: int) -> Workload:
    """Equal prompts side by side: tokens per second against the size of the batch."""
    return Workload(f"batch of {count}", (length,) * count, num_tokens)
