"""The tokens that a tokenizer finds in text before it splits the rest.

Owns the order in which added tokens (special ones such as ``<|im_end|>``, and ordinary ones such as
runs of spaces) are found, which is that of the ``tokenizers`` library. It knows no vocabulary.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

import tokenizers


@dataclass(frozen=True, slots=True)
class AddedToken:
    """One added token.

    Attributes:
        text: What it matches.
        token_id: What it becomes.
        is_special: Whether it is a control token, and so never part of ordinary text.
        is_plain: Whether it matches just its text: neither the white space beside it nor only
            whole words.
        is_normalized: Whether it is searched in normalized text, after all others.
    """

    text: str
    token_id: int
    is_special: bool
    is_plain: bool
    is_normalized: bool


class AddedTokens:
    """Splits text at added tokens.

    Exact for tokens that are all ``is_plain`` and for text that needs no normalization.
    """

    def __init__(self, tokens: Iterable[AddedToken]) -> None:
        self.tokens = tuple(token for token in tokens if token.text)
        self.ids = {token.text: token.token_id for token in self.tokens}

    @classmethod
    def of(cls, tokenizer: tokenizers.Tokenizer) -> "AddedTokens":
        """Take those of a tokenizer."""
        return cls(
            AddedToken(
                text=token.content,
                token_id=token_id,
                is_special=token.special,
                is_plain=not (token.lstrip or token.rstrip or token.single_word),
                is_normalized=token.normalized,
            )
            for token_id, token in tokenizer.get_added_tokens_decoder().items()
        )

    @cached_property
    def special_pattern(self) -> re.Pattern[str] | None:
        """Matches any special token; None if there is none."""
        return _pattern(token for token in self.tokens if token.is_special)

    def split(self, text: str, *, parse_special: bool) -> Iterator[str | int]:
        """Yield the pieces of the text in order: token ids, and text between them.

        Without ``parse_special``, special tokens are left in the text.
        """
        pieces: Iterable[str | int] = (text,)
        for pattern in self._passes_with_special if parse_special else self._passes_without:
            pieces = self._split_pieces(pieces, pattern)
        yield from pieces

    def _split_pieces(
        self, pieces: Iterable[str | int], pattern: re.Pattern[str]
    ) -> Iterator[str | int]:
        for piece in pieces:
            if isinstance(piece, str):
                yield from self._split_text(piece, pattern)
            else:
                yield piece

    def _split_text(self, text: str, pattern: re.Pattern[str]) -> Iterator[str | int]:
        start = 0
        for match in pattern.finditer(text):
            if match.start() > start:
                yield text[start : match.start()]
            yield self.ids[match[0]]
            start = match.end()
        if start < len(text):
            yield text[start:]

    @cached_property
    def _passes_with_special(self) -> tuple[re.Pattern[str], ...]:
        return _passes(self.tokens)

    @cached_property
    def _passes_without(self) -> tuple[re.Pattern[str], ...]:
        return _passes(token for token in self.tokens if not token.is_special)


def _passes(tokens: Iterable[AddedToken]) -> tuple[re.Pattern[str], ...]:
    tokens = tuple(tokens)
    patterns = (
        _pattern(token for token in tokens if not token.is_normalized),
        _pattern(token for token in tokens if token.is_normalized),
    )
    return tuple(pattern for pattern in patterns if pattern is not None)


def _pattern(tokens: Iterable[AddedToken]) -> re.Pattern[str] | None:
    # The library takes the leftmost match and of those the longest.
    texts = sorted((token.text for token in tokens), key=len, reverse=True)
    return re.compile("|".join(map(re.escape, texts))) if texts else None
