"""Lines of text files and of the standard input."""

from collections.abc import Sequence
from pathlib import Path

import typer

from mlx_backends.errors import RequestError


def read_lines(names: Sequence[str] | None) -> list[str]:
    """The lines of all files that are not blank; ``-`` or no name is the standard input.

    Raises:
        RequestError: A file cannot be read as UTF-8 text.
    """
    return [line for name in names or ["-"] for line in _read(name).splitlines() if line.strip()]


def _read(name: str) -> str:
    try:
        if name == "-":
            return typer.get_text_stream("stdin").read()
        return Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{name} cannot be read as UTF-8 text: {error}") from error
