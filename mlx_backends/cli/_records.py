"""Texts of files and of the standard input: lines, or JSON objects of a line each."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import typer

from mlx_backends.errors import RequestError

_JSON_LINES = (".jsonl", ".ndjson")


@dataclass(frozen=True, slots=True)
class Record:
    """A text, and the ``id`` that its JSON object had."""

    text: str
    id: str | int | None = None


def read_records(names: Sequence[str] | None, field: str, *, is_json: bool) -> list[Record]:
    """The lines of all files that are not blank; ``-`` or no name is the standard input.

    Args:
        names: Files; those that end in ``.jsonl`` or ``.ndjson`` hold JSON.
        field: Name of the text in a JSON object.
        is_json: Whether the standard input and files of other names hold JSON too.

    Raises:
        RequestError: A file cannot be read as UTF-8 text, or a line is no JSON text or object
            with the field.
    """
    return [
        _from_json(f"{name}:{number}", line, field)
        if is_json or name.endswith(_JSON_LINES)
        else Record(line)
        for name in names or ["-"]
        for number, line in enumerate(_read(name).splitlines(), 1)
        if line.strip()
    ]


def _read(name: str) -> str:
    try:
        if name == "-":
            return typer.get_text_stream("stdin").read()
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{name} cannot be read as UTF-8 text: {error}") from error


def _from_json(where: str, line: str, field: str) -> Record:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise RequestError(f"{where} is not valid JSON: {error}") from error
    if isinstance(value, str):
        return Record(value)
    text = value.get(field) if isinstance(value, dict) else None
    if not isinstance(text, str):
        raise RequestError(
            f"{where} has no text {field!r:.80}; a line is a JSON text, or an object with one. "
            "--field names it."
        )
    key = value.get("id")
    return Record(text, key if isinstance(key, str | int) else None)
