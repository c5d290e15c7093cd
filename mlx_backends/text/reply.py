"""A chat model's completion, taken apart as it is written: reasoning, text and tool calls."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from mlx_backends.text.reasoning import ReasoningFormat, ReasoningSplitter
from mlx_backends.text.tool_calls import (
    Parser,
    ToolCallDelta,
    ToolCallReader,
    Tools,
    joined_calls,
)
from mlx_backends.text.tool_formats import ToolFormat


@dataclass(frozen=True, slots=True)
class ReplyDelta:
    """What some new text of a completion brought.

    Attributes:
        text: New text of the answer.
        reasoning: New text of the reasoning before it.
        tool_calls: New pieces of calls, at most one of each.
    """

    text: str = ""
    reasoning: str = ""
    tool_calls: Sequence[ToolCallDelta] = ()


class ReplyReader:
    """Reads one completion.

    White space between calls, and between text and calls, is not part of the answer.

    Args:
        reasoning_format: Marks of the model's reasoning, if it has any.
        is_reasoning: Whether the prompt ends inside the reasoning.
        tool_format: How the model writes calls, if it may call tools.
        tools: The tools that the model was shown.
        parse: Parser of the family, for calls that are not written just as its format says.

    Attributes:
        num_reasoning_tokens: Tokens spent on reasoning so far, its marks included.
    """

    def __init__(
        self,
        *,
        reasoning_format: ReasoningFormat | None = None,
        is_reasoning: bool = False,
        tool_format: ToolFormat | None = None,
        tools: Tools = (),
        parse: Parser | None = None,
    ) -> None:
        self._splitter = ReasoningSplitter(reasoning_format, is_open=is_reasoning)
        self._reader = ToolCallReader(tool_format, tools, parse)
        self._may_call = tool_format is not None
        self._space = ""
        self._has_calls = False
        self.num_reasoning_tokens = 0

    def feed(self, text: str, *, num_tokens: int = 1, is_last: bool = False) -> ReplyDelta:
        """Take new text.

        Args:
            text: What the tokens brought, perhaps nothing.
            num_tokens: How many tokens brought it.
            is_last: Whether the completion ends with it.
        """
        was_reasoning = self._splitter.is_reasoning
        split = self._splitter.feed(text)
        if was_reasoning or self._splitter.is_reasoning:
            self.num_reasoning_tokens += num_tokens
        pieces = [*self._reader.feed(split.text)]
        reasoning = split.reasoning
        if is_last:
            rest = self._splitter.finish()
            reasoning += rest.reasoning
            pieces += [*self._reader.feed(rest.text), *self._reader.finish()]
        calls = [piece for piece in pieces if isinstance(piece, ToolCallDelta)]
        return ReplyDelta("".join(self._shown(pieces, is_last)), reasoning, joined_calls(calls))

    def _shown(self, pieces: Sequence[str | ToolCallDelta], is_last: bool) -> Iterator[str]:
        """The text among the pieces, without white space that stands beside a call."""
        for piece in pieces:
            if isinstance(piece, ToolCallDelta):
                self._has_calls, self._space = True, ""
            elif not self._may_call:
                yield piece
            else:
                text = self._space + piece
                text = text.lstrip() if self._has_calls else text
                shown = text.rstrip()
                self._space = text[len(shown) :]
                yield shown
        if is_last and not self._has_calls:
            space, self._space = self._space, ""
            yield space
