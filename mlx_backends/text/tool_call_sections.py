"""The calls between two marks of a completion, read as they are written."""

import json
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mlx_backends.text.call_layout import LayoutError, read_calls
from mlx_backends.text.tool_formats import INDEX, NAME, ToolFormat

Tools = Sequence[Mapping[str, Any]]
# Takes the text of a section and the tools; returns calls of ``name`` and ``arguments``, or raises.
Parser = Callable[[str, Tools], Any]


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of a call.

    Attributes:
        index: Place of the call among the calls of the completion.
        id: Set on the first piece; unique.
        name: Set on the first piece; None there too if the call could not be read.
        arguments: Further JSON text of the arguments; joined over the pieces it is all of it.
    """

    index: int
    id: str | None = None
    name: str | None = None
    arguments: str = ""


class Section:
    """The calls between two marks.

    Attributes:
        num_calls: Calls of the completion so far.
    """

    def __init__(self, num_calls: int) -> None:
        self.num_calls = num_calls
        self._text = ""

    def feed(self, text: str) -> Iterator[ToolCallDelta]:
        """Take the next piece of the section."""
        self._text += text
        yield from ()

    def finish(self) -> Iterator[ToolCallDelta]:
        """Read what has not been read yet."""
        yield from ()

    def _call(self, name: str | None, arguments: str) -> ToolCallDelta:
        index, self.num_calls = self.num_calls, self.num_calls + 1
        return ToolCallDelta(index, f"call_{uuid.uuid4().hex}", name, arguments)

    def _from_parsed(self, parsed: Any) -> list[ToolCallDelta]:
        calls = parsed if isinstance(parsed, list) else [parsed]
        read = [_name_and_arguments(call) for call in calls]
        return [self._call(name, arguments) for name, arguments in read]


class LayoutSection(Section):
    """A section of a format that writes arguments one by one; read when it is complete."""

    def __init__(
        self, tool_format: ToolFormat, tools: Tools, parse: Parser | None, num_calls: int
    ) -> None:
        super().__init__(num_calls)
        self._format = tool_format
        self._tools = tools
        self._parse = parse

    def finish(self) -> Iterator[ToolCallDelta]:
        text = self._text
        try:
            calls = self._from_parsed(self._parsed(text))
        except Exception:  # a parser may raise anything on text that a model wrote
            calls = [self._call(None, text)]
        yield from calls

    def _parsed(self, text: str) -> Any:
        try:
            return read_calls(text, self._format, self._tools)
        except LayoutError:
            if self._parse is None:
                raise
            return self._parse(text, self._tools)


class JsonSection(Section):
    """A section whose arguments are JSON objects, handed on while they grow."""

    def __init__(self, tool_format: ToolFormat, num_calls: int) -> None:
        super().__init__(num_calls)
        self._head = _head_pattern(tool_format)
        self._pending = ""
        self._object: _JsonObject | None = None
        self._first = num_calls

    def feed(self, text: str) -> Iterator[ToolCallDelta]:
        self._text += text
        self._pending += text
        while self._pending:
            if self._object is None:
                head = self._head.search(self._pending)
                if head is None:
                    return
                self._pending = self._pending[head.end() :]
                self._object = _JsonObject()
                yield self._call(_unescaped(head["name"]), "")
            else:
                cut = self._object.length_in(self._pending)
                arguments, self._pending = self._pending[:cut], self._pending[cut:]
                if arguments:
                    yield ToolCallDelta(self.num_calls - 1, arguments=arguments)
                if self._object.is_complete:
                    self._object = None

    def finish(self) -> Iterator[ToolCallDelta]:
        text = self._text
        if self.num_calls > self._first or not text.strip():
            return
        try:
            calls = self._from_parsed(json.loads(text))
        except (ValueError, RecursionError):
            calls = [self._call(None, text)]
        yield from calls


class _JsonObject:
    """Finds where a JSON object ends."""

    def __init__(self) -> None:
        self._depth = 0
        self._in_string = False
        self._is_escaped = False
        self.is_complete = False

    def length_in(self, text: str) -> int:
        """How many characters of the text belong to the object."""
        for index, character in enumerate(text):
            self._read(character)
            if self.is_complete:
                return index + 1
        return len(text)

    def _read(self, character: str) -> None:
        if self._is_escaped:
            self._is_escaped = False
        elif self._in_string:
            self._is_escaped = character == "\\"
            self._in_string = character != '"'
        elif character == '"':
            self._in_string = True
        elif character in "{[":
            self._depth += 1
        elif character in "}]":
            self._depth -= 1
            self.is_complete = self._depth <= 0


def _head_pattern(tool_format: ToolFormat) -> re.Pattern[str]:
    """Matches what stands before the arguments, with any white space, up to the brace."""
    name = r'(?P<name>(?:[^"\\]|\\.)+?)' if '"' in tool_format.call_start else r"(?P<name>[\w.-]+)"
    parts = re.split(r"(\{name\}|\{index\}|\s+)", tool_format.call_start)
    patterns = {NAME: name, INDEX: r"\d+"}
    written = [patterns.get(part, r"\s*" if part.isspace() else _spaced(part)) for part in parts]
    return re.compile("".join(written) + r"\s*(?=\{)")


def _spaced(text: str) -> str:
    return re.sub(r"(:|,|\\\{)(?!\Z)", r"\1\\s*", re.escape(text))


def _unescaped(name: str) -> str:
    try:
        return json.loads(f'"{name}"')
    except ValueError:
        return name


def _name_and_arguments(call: Any) -> tuple[str, str]:
    """Raises ``ValueError`` if it is no call."""
    if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
        raise ValueError(f"{call!r:.80} is not a tool call")
    arguments = call.get("arguments", call.get("parameters", {}))
    if isinstance(arguments, str):
        return call["name"], arguments
    return call["name"], json.dumps(arguments, ensure_ascii=False)
