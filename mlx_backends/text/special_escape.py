"""Special tokens in text that must not be read as such.

Owns the mark that tells a user's ``<|im_end|>`` from the template's own. It knows neither chats nor
templates.
"""

import re
import secrets
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mlx_backends.text.byte_level_encoder import ByteLevelEncoder


def pattern_of(tokens: Iterable[str]) -> re.Pattern[str] | None:
    """A pattern that finds any of the tokens in text; None if there are none."""
    return re.compile("|".join(map(re.escape, tokens))) if (tokens := list(tokens)) else None


def texts_in(value: Any) -> Iterator[str]:
    """All texts in JSON values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from texts_in(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts_in(item)


class SpecialEscape:
    """Marks the special tokens of some text, and encodes text that contains it.

    The mark goes inside the token's text, passes through a template, and is taken out again after
    the template's own special tokens are found. It is random, so that no text can contain it. A
    special token of a single character has no inside and stays special.
    """

    def __init__(self, encoder: ByteLevelEncoder) -> None:
        self._encoder = encoder
        # Digits, because templates change letters (upper, title).
        self._mark = str(secrets.randbits(128))

    def mark(self, value: Any) -> Any:
        """Copy JSON values with marks inside the special tokens of all texts."""
        if isinstance(value, str):
            pattern = self._encoder.special_pattern
            return pattern.sub(self._marked, value) if pattern else value
        if isinstance(value, Mapping):
            return {key: self.mark(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.mark(item) for item in value]
        return value

    def encode(self, text: str) -> list[int]:
        """Encode text that was made from marked values; marked tokens become ordinary text."""
        return self._encoder.encode_escaped(text, self._mark)

    def _marked(self, match: re.Match[str]) -> str:
        return match[0][:1] + self._mark + match[0][1:]
