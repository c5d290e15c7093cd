"""Finds stop strings in streamed text.

Owns what may be shown: text up to a stop string, and never the beginning of one that the next
piece could complete. Pure Python over text; it knows neither tokens nor requests.
"""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StopResult:
    """What one piece of text brought.

    Attributes:
        text_to_emit: Text that is now certain to come before any stop string.
        matched: The stop string that ended the text, if one did.
    """

    text_to_emit: str
    matched: str | None = None


class StopMatcher:
    """Matches several stop strings at once over text that comes in pieces.

    The stop string that is complete first wins, wherever the pieces are cut; of two complete at the
    same character, the longer, so that less is shown. (vLLM takes the first in list order among
    those that one step completes, and so depends on how the text is cut.)

    Each character costs one step per stop string, amortised, by Knuth-Morris-Pratt: a hostile stop
    such as ``'a' * 4096`` costs no more than any other. Holding back copies at most the longest
    stop string per piece.
    """

    def __init__(self, stop_strings: Sequence[str]) -> None:
        # Longest first: then the first match in this order is the one that begins earliest.
        unique = sorted(dict.fromkeys(stop_strings), key=len, reverse=True)
        self._patterns = [_Pattern(stop) for stop in unique if stop]
        self._held = ""
        self._matched: str | None = None

    def feed(self, text: str) -> StopResult:
        """Take the next piece of text.

        After a match all further text is dropped.
        """
        if self._matched is not None:
            return StopResult("", self._matched)
        pending = self._held + text
        end = len(self._held) + self._first_match(text)
        if self._matched is not None:
            self._held = ""
            return StopResult(pending[: end - len(self._matched)], self._matched)
        return StopResult(self._release(pending))

    def finish(self) -> str:
        """Return the text held back, which no stop string can claim any more."""
        held, self._held = self._held, ""
        for pattern in self._patterns:
            pattern.progress = 0
        return held

    def _first_match(self, text: str) -> int:
        """Advance over the text and return the index after the first match, or its length."""
        for index, character in enumerate(text):
            for pattern in self._patterns:
                if pattern.advance(character):
                    self._matched = pattern.text
                    return index + 1
        return len(text)

    def _release(self, pending: str) -> str:
        num_held = max((pattern.progress for pattern in self._patterns), default=0)
        cut = len(pending) - num_held
        self._held = pending[cut:]
        return pending[:cut]


class _Pattern:
    """One stop string and how much of it the text ends with.

    Source: Knuth, Morris and Pratt 1977, "Fast pattern matching in strings".
    """

    __slots__ = ("_fallback", "progress", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        self.progress = 0
        self._fallback = _longest_borders(text)

    def advance(self, character: str) -> bool:
        """Take one character; whether the pattern is now complete."""
        text, progress = self.text, self.progress
        while progress and text[progress] != character:
            progress = self._fallback[progress - 1]
        if text[progress] == character:
            progress += 1
        self.progress = progress
        return progress == len(text)


def _longest_borders(text: str) -> list[int]:
    """For each prefix, the length of its longest proper prefix that is also its suffix."""
    borders = [0] * len(text)
    length = 0
    for index in range(1, len(text)):
        while length and text[index] != text[length]:
            length = borders[length - 1]
        if text[index] == text[length]:
            length += 1
        borders[index] = length
    return borders
