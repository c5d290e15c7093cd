"""The way out of a grammar: a few tokens that complete what has been written so far.

Owns the search for it, which is greedy and so finds a short way, not always the shortest. A
constraint keeps one such way at hand and never lets the completion get longer than it can afford.
"""

import time
from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
from llguidance import LLMatcher

from mlx_backends.grammar.vocabulary import Vocabulary

# A mask takes up to some milliseconds on a large vocabulary, and a verdict is due within a second.
# Of this thread, so that the verdict does not depend on what else runs.
MAX_SEARCH_S = 0.5
MAX_CLOSING_TOKENS = 4_096


class JsonPosition:
    """Whether text, read so far, stands inside a JSON string."""

    __slots__ = ("in_string", "is_escaped")

    def __init__(self, in_string: bool = False, is_escaped: bool = False) -> None:
        self.in_string = in_string
        self.is_escaped = is_escaped

    def copy(self) -> "JsonPosition":
        return JsonPosition(self.in_string, self.is_escaped)

    def feed(self, data: bytes) -> None:
        """Read on."""
        if not self.is_escaped and b'"' not in data and b"\\" not in data:
            return
        for byte in data:
            if self.is_escaped:
                self.is_escaped = False
            elif byte == 0x5C and self.in_string:
                self.is_escaped = True
            elif byte == 0x22:
                self.in_string = not self.in_string


def find_closing(
    matcher: LLMatcher,
    vocabulary: Vocabulary,
    position: JsonPosition | None = None,
    closers: Sequence[Sequence[int]] = (),
) -> list[int] | None:
    """Tokens that complete the grammar from the matcher's state, which is left as it is.

    The last one is an end-of-sequence token, unless nothing could follow anyway.

    Args:
        matcher: In any state but an error.
        vocabulary: The model's tokens.
        position: Where the text so far stands, if the grammar is one of JSON.
        closers: Tokens that end a part of the grammar in which any text may stand.

    Returns:
        None if no way of ``MAX_CLOSING_TOKENS`` was found in ``MAX_SEARCH_S``.
    """
    deadline = time.thread_time() + MAX_SEARCH_S
    walk = _Walk(matcher.deep_copy(), vocabulary, position, closers)
    while len(walk.path) <= MAX_CLOSING_TOKENS and time.thread_time() < deadline:
        if walk.is_complete():
            return walk.path
        if not walk.step():
            return None
    return None


def is_closing(matcher: LLMatcher, vocabulary: Vocabulary, tokens: Sequence[int]) -> bool:
    """Whether these tokens complete the grammar from the matcher's state."""
    # The end is asked for with an end-of-sequence token, which a whole text may always have: to
    # walk there on a copy of the state takes five times as long.
    if not tokens or tokens[-1] not in vocabulary.eos_token_ids:
        tokens = [*tokens, vocabulary.eos_token_id]
    return matcher.validate_tokens(list(tokens)) == len(tokens)


class _Walk:
    """One greedy way through the grammar."""

    def __init__(
        self,
        matcher: LLMatcher,
        vocabulary: Vocabulary,
        position: JsonPosition | None,
        closers: Sequence[Sequence[int]],
    ) -> None:
        self.path: list[int] = []
        self._matcher = matcher
        self._vocabulary = vocabulary
        self._position = position.copy() if position else None
        self._closers = [list(closer) for closer in closers]
        self._next_closer = 0
        self._uses: Counter[int] = Counter()
        self._exits: dict[bytes, dict[bytes, int]] = {}
        self._visits: Counter[tuple[bytes, bytes]] = Counter()

    def is_complete(self) -> bool:
        """Whether the grammar is satisfied; then the end-of-sequence token is on the path."""
        if self._matcher.is_stopped():
            return not self._matcher.is_error()
        if self._matcher.is_accepting():
            self.path.append(self._vocabulary.eos_token_id)
            return True
        return False

    def step(self) -> bool:
        """Take the next tokens; False if the grammar allows none."""
        return self._close() or self._take(self._forced()) or self._take(self._preferred())

    def _take(self, tokens: Sequence[int]) -> bool:
        if not tokens or self._matcher.validate_tokens(list(tokens)) < len(tokens):
            return False
        self._matcher.consume_tokens(list(tokens))
        self._uses.update(tokens)
        self.path += tokens
        if self._position is not None:
            self._position.feed(self._vocabulary.joined(tokens))
        return True

    def _close(self) -> bool:
        """End a free part, and what is around it.

        In other places these texts may be mere content, so one that was just tried is not again.
        """
        for index in range(self._next_closer, len(self._closers)):
            if self._take(self._closers[index]):
                self._next_closer = index + 1
                return True
        self._next_closer = 0
        return False

    def _forced(self) -> list[int]:
        """Tokens of the only text that can follow, up to where one of the closers may begin."""
        forced = self._matcher.compute_ff_bytes()
        overlaps = [_overlap(forced, self._vocabulary.joined(c)) for c in self._closers]
        return self._vocabulary.spelled(forced[: len(forced) - max(overlaps, default=0)])

    def _preferred(self) -> list[int]:
        """The allowed token that seems to end the text soonest."""
        mask = self._matcher.compute_bitmask()
        if self._matcher.is_error():
            return []
        bits = np.unpackbits(np.frombuffer(mask, np.uint8), bitorder="little")
        allowed = bits[: self._vocabulary.size]
        token_id = next((token_id for token_id in self._endings() if allowed[token_id]), None)
        if token_id is None:
            token_id = self._unexplored(mask, allowed)
        if token_id is None:
            token_id = self._filler(np.flatnonzero(allowed))
        return [] if token_id is None else [token_id]

    def _endings(self) -> Iterator[int]:
        """Tokens that tend to end JSON here, best first."""
        if self._position is None:
            return
        if self._position.in_string and not self._position.is_escaped:
            yield from self._vocabulary.string_endings
            return
        yield from self._vocabulary.value_endings
        # By turns: a number that must be positive is never reached by further zeros.
        yield from sorted(self._vocabulary.digits, key=self._uses.__getitem__)
        yield from self._vocabulary.value_beginnings

    def _unexplored(self, mask: bytes, allowed: np.ndarray) -> int | None:
        """A character that leads where the way has been least; None if all lead to the same.

        States are told apart by their masks, which is not exact, but finds the way out of a loop.
        """
        if mask not in self._exits:
            self._exits[mask] = self._found_exits(allowed)
        exits = self._exits[mask]
        if len(exits) < 2:
            return None
        after = min(exits, key=lambda after: self._visits[mask, after])
        self._visits[mask, after] += 1
        return exits[after]

    def _found_exits(self, allowed: np.ndarray) -> dict[bytes, int]:
        """One character for each mask that a character leads to."""
        exits: dict[bytes, int] = {}
        for token_id in self._vocabulary.characters:
            if allowed[token_id]:
                after = self._matcher.deep_copy()
                after.consume_token(token_id)
                exits.setdefault(b"" if after.is_accepting() else after.compute_bitmask(), token_id)
        return exits

    def _filler(self, allowed: np.ndarray) -> int | None:
        """A token to get on with, by turns, so that no loop is entered for ever."""
        if not len(allowed):
            return None
        uses = np.array([self._uses[token_id] for token_id in allowed.tolist()])
        ranks = self._vocabulary.filler_rank[allowed]
        return int(allowed[np.lexsort((ranks, uses))[0]])


def _overlap(text: bytes, other: bytes) -> int:
    """Length of the longest end of the text, short of all of it, that ``other`` begins with."""
    longest = min(len(text) - 1, len(other))
    return next((n for n in range(longest, 0, -1) if text.endswith(other[:n])), 0)
