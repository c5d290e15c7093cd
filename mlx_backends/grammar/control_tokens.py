"""Tokens that a grammar must name: text cannot hold them by accident.

They are the model's special tokens, and those that mark its tool calls and its reasoning.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Protocol

from mlx_backends.text.reasoning import ReasoningFormat
from mlx_backends.text.tool_formats import ToolFormat


class TokenSource(Protocol):
    """The part of a tokenizer that is read here."""

    @property
    def added_token_ids(self) -> Mapping[str, int]: ...

    @property
    def special_token_ids(self) -> frozenset[int]: ...

    @property
    def tool_format(self) -> ToolFormat | None: ...

    @property
    def reasoning_format(self) -> ReasoningFormat | None: ...


def control_tokens(tokenizer: TokenSource) -> "ControlTokens":
    """The control tokens of a tokenizer's model."""
    return ControlTokens(
        tokenizer.added_token_ids,
        tokenizer.special_token_ids,
        tokenizer.tool_format,
        tokenizer.reasoning_format,
    )


class ControlTokens:
    """The control tokens of one model.

    Args:
        added_token_ids: All tokens that are found in text before it is split, by their text.
        special_token_ids: Those of them that are special.
        tool_format: How the model writes tool calls.
        reasoning_format: What it writes around its reasoning.

    Attributes:
        ids: Ids by text.
    """

    def __init__(
        self,
        added_token_ids: Mapping[str, int],
        special_token_ids: frozenset[int],
        tool_format: ToolFormat | None,
        reasoning_format: ReasoningFormat | None,
    ) -> None:
        marks = [*_marks(tool_format, reasoning_format)]
        self.ids = {
            text: token_id
            for text, token_id in added_token_ids.items()
            if token_id in special_token_ids or _is_part(text, marks)
        }
        longest_first = sorted(filter(None, self.ids), key=len, reverse=True)
        pattern = "|".join(map(re.escape, longest_first))
        self._pattern = re.compile(f"({pattern})") if pattern else None

    def split(self, text: str) -> list[int | str]:
        """The text in pieces: ids of control tokens, and what is between them."""
        if self._pattern is None:
            return [text] if text else []
        parts = self._pattern.split(text)
        return [self.ids[part] if index % 2 else part for index, part in enumerate(parts) if part]


def _marks(calls: ToolFormat | None, reasoning: ReasoningFormat | None) -> Iterator[str]:
    if calls is not None:
        yield from calls.literals()
    if reasoning is not None:
        yield from (reasoning.start, reasoning.end)


def _is_part(token: str, marks: list[str]) -> bool:
    """Whether a mark holds the token; one of white space or a single character is no mark."""
    return len(token) > 1 and not token.isspace() and any(token in mark for mark in marks)
