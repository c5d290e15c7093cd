"""Reads tool calls out of a completion as it is written.

Owns the telling apart of text and calls. Formats that write the arguments as one JSON object are
read character by character; of the others each section of calls is collected and read as a whole
(``call_layout``), or else by the parser of the family.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from mlx_backends.text.marker import MarkerScanner
from mlx_backends.text.tool_call_sections import (
    JsonSection,
    LayoutSection,
    Parser,
    Section,
    ToolCallDelta,
    Tools,
)
from mlx_backends.text.tool_formats import ToolFormat

__all__ = ["Parser", "ToolCallDelta", "ToolCallReader", "Tools", "joined_calls"]


def joined_calls(deltas: Iterable[ToolCallDelta]) -> list[ToolCallDelta]:
    """One piece for each call, in order."""
    calls: dict[int, ToolCallDelta] = {}
    for delta in deltas:
        known = calls.get(delta.index)
        calls[delta.index] = (
            replace(known, arguments=known.arguments + delta.arguments) if known else delta
        )
    return list(calls.values())


class ToolCallReader:
    """Splits one completion into text and calls.

    Args:
        tool_format: How the model writes calls; None passes everything on as text.
        tools: The tools that the model was shown.
        parse: Parser of the family, for calls that are not written just as the format says.
    """

    def __init__(
        self, tool_format: ToolFormat | None, tools: Tools = (), parse: Parser | None = None
    ) -> None:
        self._format = tool_format
        self._tools = tools
        self._parse = parse
        self._num_calls = 0
        self._start = MarkerScanner(tool_format.start) if tool_format else None
        self._end = MarkerScanner(tool_format.end) if tool_format and tool_format.end else None
        self._section: Section | None = None

    def feed(self, text: str) -> Iterator[str | ToolCallDelta]:
        """Take the next piece of text; yields text and pieces of calls, in order."""
        rest: str | None = text
        while rest:
            rest = yield from self._calls(rest) if self._section else self._text(rest)

    def finish(self) -> Iterator[str | ToolCallDelta]:
        """Yield what was held back, or what there is of an unfinished section."""
        if self._section is not None:
            yield from self._section.feed(self._end.finish() if self._end else "")
            yield from self._close()
        elif self._start is not None and (held := self._start.finish()):
            yield held

    def _text(self, text: str) -> Iterator[str | ToolCallDelta]:
        if self._format is None or self._start is None:
            yield text
            return None
        before, after = self._start.feed(text)
        if before:
            yield before
        if after is not None:
            self._section = self._new_section(self._format)
        return after

    def _calls(self, text: str) -> Iterator[str | ToolCallDelta]:
        assert self._section is not None
        inside, after = self._end.feed(text) if self._end else (text, None)
        yield from self._section.feed(inside)
        if after is not None:
            yield from self._close()
        return after

    def _new_section(self, tool_format: ToolFormat) -> Section:
        if tool_format.argument is None:
            return JsonSection(tool_format, self._num_calls)
        return LayoutSection(tool_format, self._tools, self._parse, self._num_calls)

    def _close(self) -> Iterator[ToolCallDelta]:
        assert self._section is not None
        yield from self._section.finish()
        self._num_calls = self._section.num_calls
        self._section = None
