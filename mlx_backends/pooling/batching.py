"""Which rows share a forward pass, and their padded form. Knows no model and no MLX.

Rows of all calls that wait are batched together, so that many small calls cost what one large call
does. Calls take turns: each batch is opened by the longest row of the call whose turn it is, and
filled with rows of any call that are no longer.
"""

from collections import deque
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass, field
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mlx_backends.errors import ModelLoadError

Row = TypeVar("Row", bound=Sized)
TokenRow = Sequence[int] | NDArray[np.int32]
# What a call is told: positions of its rows and their results, or why there are none.
Delivery = tuple[list[int], NDArray[np.float32]] | Exception


@dataclass(frozen=True, slots=True)
class BatchLimits:
    """How large batches may be.

    Attributes:
        max_tokens: Tokens of a batch, padding included; a longer row goes alone.
        pass_tokens: What one more forward pass costs, in tokens: a batch ends where padding would
            cost more.
        has_buckets: Whether lengths and numbers of rows are rounded up to few different ones, so
            that compiled forward passes are used again.
        has_padding: Whether rows are padded to the longest; else they are laid end to end.
    """

    max_tokens: int
    pass_tokens: int
    has_buckets: bool = False
    has_padding: bool = True

    def padded_length(self, length: int) -> int:
        """Width of a batch whose longest row has so many tokens; at least one."""
        return rounded_up(max(length, 16)) if self.has_buckets else max(length, 1)

    def tokens_of(self, lengths: Sequence[int]) -> int:
        """Tokens that a batch of these rows computes, padding included."""
        if not self.has_padding:
            return sum(max(length, 1) for length in lengths)
        return self.padded_length(max(lengths)) * self.padded_rows(len(lengths))

    def padded_rows(self, count: int) -> int:
        """Height of a batch of so many rows."""
        return rounded_up(count) if self.has_buckets else count


def rounded_up(number: int) -> int:
    """The next number of which only the three highest bits are set: at most a quarter more."""
    step = 1 << max(0, number.bit_length() - 3)
    return -(-number // step) * step


@dataclass(eq=False, slots=True)
class Call(Generic[Row]):
    """Rows that one caller waits for.

    Attributes:
        rows: Token rows.
        deliver: Told of every batch that had some of them.
        longest_first: Positions in ``rows`` that may still wait, from long to short.
        waiting: Whether each row waits.
    """

    rows: Sequence[Row]
    deliver: Callable[[Delivery], object]
    longest_first: deque[int] = field(init=False)
    waiting: list[bool] = field(init=False)

    def __post_init__(self) -> None:
        lengths = list(map(len, self.rows))
        self.longest_first = deque(sorted(range(len(lengths)), key=lambda i: -lengths[i]))
        self.waiting = [True] * len(lengths)


Place = tuple[Call[Row], int]


class BatchQueue(Generic[Row]):
    """Rows that wait for a forward pass. Not for several threads at once."""

    def __init__(self) -> None:
        self._turns: deque[Call[Row]] = deque()
        self._by_length: dict[int, deque[Place[Row]]] = {}

    def __bool__(self) -> bool:
        return self._next_call() is not None

    def add(self, call: Call[Row]) -> None:
        """Queue the rows of a call."""
        self._turns.append(call)
        for index in call.longest_first:
            self._by_length.setdefault(len(call.rows[index]), deque()).append((call, index))

    def take(self, limits: BatchLimits) -> list[Place[Row]]:
        """Remove and return the rows of the next batch; empty if none waits."""
        opening = self._next_call()
        if opening is None:
            return []
        longest = len(opening.rows[opening.longest_first[0]])
        batch: list[Place[Row]] = []
        left, room = limits.max_tokens, limits.pass_tokens
        for length in sorted((n for n in self._by_length if n <= longest), reverse=True):
            width = limits.padded_length(longest) if limits.has_padding else max(length, 1)
            padding = longest - length if limits.has_padding else 0
            places = self._by_length[length]
            while places and (width <= left or not batch) and padding <= room:
                call, index = places.popleft()
                if call.waiting[index]:
                    call.waiting[index] = False
                    batch.append((call, index))
                    left -= width
                    room -= padding
            if not places:
                del self._by_length[length]
        self._turns.rotate(-1)
        return batch

    def drop(self, call: Call[Row]) -> None:
        """Forget the rows of a call that still wait."""
        call.waiting = [False] * len(call.rows)
        if self._next_call() is None:
            self._by_length.clear()

    def drop_all(self) -> list[Call[Row]]:
        """Forget everything; returns the calls that waited."""
        calls = list(self._turns)
        for call in calls:
            self.drop(call)
        return calls

    def _next_call(self) -> Call[Row] | None:
        """The call whose turn it is to open a batch, with a waiting row in front."""
        while self._turns:
            call = self._turns[0]
            while call.longest_first and not call.waiting[call.longest_first[0]]:
                call.longest_first.popleft()
            if call.longest_first:
                return call
            self._turns.popleft()
        return None


def deliver(
    places: Sequence[tuple[Call[Row], int]], outcome: NDArray[np.float32] | Exception
) -> None:
    """Tell every call of a batch about its own rows."""
    calls: dict[Call[Row], list[int]] = {}
    for position, (call, _) in enumerate(places):
        calls.setdefault(call, []).append(position)
    for call, positions in calls.items():
        if isinstance(outcome, Exception):
            call.deliver(outcome)
        else:
            call.deliver(([places[p][1] for p in positions], outcome[positions]))


def pad(
    sequences: Sequence[TokenRow], *, width: int | None = None, height: int | None = None
) -> NDArray[np.int32]:
    """Stack token ids, padded with zeros on the right.

    Args:
        sequences: Token ids.
        width: Of the result; None is the longest, but at least one position wide, because no
            model takes an array without entries.
        height: Of the result; None is one row for each.
    """
    longest = width or max([1, *map(len, sequences)])
    token_ids = np.zeros((height or len(sequences), longest), np.int32)
    for row, sequence in enumerate(sequences):
        token_ids[row, : len(sequence)] = sequence
    return token_ids


def token_mask(
    sequences: Sequence[Sized], *, width: int | None = None, height: int | None = None
) -> np.ndarray:
    """True at tokens and False at the padding of ``pad``. Shape as there."""
    longest = width or max([1, *map(len, sequences)])
    lengths = np.zeros(height or len(sequences), np.int64)
    lengths[: len(sequences)] = [len(sequence) for sequence in sequences]
    return np.arange(longest) < lengths[:, None]


def check_ids(token_ids: NDArray[np.int32], vocab_size: int) -> None:
    """Refuse ids outside the vocabulary: MLX reads whatever lies behind the table for them.

    Raises:
        ModelLoadError: The tokenizer and the model do not belong together.
    """
    largest = int(token_ids.max())
    if largest >= vocab_size:
        raise ModelLoadError(
            f"tokenizer.json gives the id {largest:,}, but the model has {vocab_size:,} tokens; "
            "the two files do not belong together."
        )
