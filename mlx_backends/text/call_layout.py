"""Reads calls that are written exactly in the layout of their family (``tool_formats``).

The reverse of what ``grammar.tools`` writes, for formats that write arguments one by one. Calls in
any other shape are for the family's parser.
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlx_backends.text.tool_formats import INDEX, KEY, NAME, TYPE, ArgumentFormat, ToolFormat

_DECODER = json.JSONDecoder()


class LayoutError(ValueError):
    """The text is not in the layout."""


def read_calls(
    section: str, tool_format: ToolFormat, tools: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """The calls of a section, each with ``name`` and ``arguments``.

    Args:
        section: The text between ``start`` and ``end``.
        tool_format: A format with an ``argument`` layout.
        tools: Tell which arguments are strings, where the layout does not.

    Raises:
        LayoutError: The text is not in the layout.
    """
    return list(_Reader(section, tool_format, tools).calls())


class _Reader:
    """Reads a section from its beginning to its end."""

    def __init__(
        self, section: str, tool_format: ToolFormat, tools: Sequence[Mapping[str, Any]]
    ) -> None:
        assert tool_format.argument is not None
        self._text = section
        self._at = 0
        self._format = tool_format
        self._layout: ArgumentFormat = tool_format.argument
        self._call_start = _pattern(tool_format.call_start)
        self._argument_start = _pattern(self._layout.start)
        self._properties = {
            tool["function"]["name"]: (tool["function"].get("parameters") or {}).get("properties")
            for tool in tools
        }

    def calls(self) -> Iterator[dict[str, Any]]:
        self._take(self._format.opening)
        while True:
            yield self._call()
            if self._text[self._at :] == self._format.closing:
                return
            self._take(self._format.separator)

    def _call(self) -> dict[str, Any]:
        start = self._match(self._call_start)
        if start is None:
            raise LayoutError(f"No call begins at {self._text[self._at :]!r:.40}.")
        name = start["name"]
        if name not in self._properties:
            raise LayoutError(f"{name!r:.80} is no tool.")
        arguments = self._arguments(self._properties[name] or {})
        self._take(self._format.call_end)
        return {"name": name, "arguments": arguments}

    def _arguments(self, properties: Mapping[str, Any]) -> dict[str, Any]:
        arguments: dict[str, Any] = {}
        while start := self._match(self._argument_start):
            schema = properties.get(start["key"]) or {}
            arguments[start["key"]] = self._value(is_string=schema.get("type") == "string")
            if not self._take_if(self._layout.separator):
                break
        return arguments

    def _value(self, *, is_string: bool) -> Any:
        quote = self._layout.quote
        if is_string and quote is not None:
            self._take(quote)
            return self._until(quote + self._layout.end)
        try:
            value, self._at = _DECODER.raw_decode(self._text, self._at)
        except (ValueError, RecursionError) as error:
            raise LayoutError(f"No JSON: {error}") from error
        self._take(self._layout.end)
        return value

    def _until(self, end: str) -> str:
        value, found, _ = self._text[self._at :].partition(end)
        if not found:
            raise LayoutError(f"{end!r} does not follow.")
        self._at += len(value) + len(end)
        return value

    def _match(self, pattern: re.Pattern[str]) -> re.Match[str] | None:
        found = pattern.match(self._text, self._at)
        self._at = found.end() if found else self._at
        return found

    def _take(self, text: str) -> None:
        if not self._take_if(text):
            raise LayoutError(f"{text!r} does not follow at {self._text[self._at :]!r:.40}.")

    def _take_if(self, text: str) -> bool:
        follows = self._text.startswith(text, self._at)
        self._at += len(text) if follows else 0
        return follows


def _pattern(start: str) -> re.Pattern[str]:
    """Matches the text with its places filled in."""
    places = {
        NAME: r"(?P<name>[\w.-]+)",
        INDEX: r"\d+",
        KEY: r"(?P<key>[^<>\"=:,]+)",
        TYPE: r"[^\"]*",
    }
    parts = re.split(r"(\{name\}|\{index\}|\{key\}|\{type\})", start)
    return re.compile("".join(places.get(part) or re.escape(part) for part in parts))
