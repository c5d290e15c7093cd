"""Reads the text and Markdown files under a path, and says which it left out and why."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from mlx_backends.errors import RequestError

TEXT_SUFFIXES = frozenset({".md", ".markdown", ".txt", ".rst"})
MAX_FILE_BYTES = 10_000_000


@dataclass(frozen=True, slots=True)
class Document:
    """A file's text.

    Attributes:
        path: As the caller would write it: below the path that was asked for.
        text: With line feeds only and without a byte order mark, so that line numbers are those of
            an editor.
    """

    path: str
    text: str


@dataclass(frozen=True, slots=True)
class SkippedFile:
    """A file that looked like a document but was not read."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Corpus:
    """All documents under a path, sorted by path, and what was left out."""

    documents: list[Document] = field(default_factory=list)
    skipped: list[SkippedFile] = field(default_factory=list)


def read_documents(path: str | os.PathLike[str]) -> Corpus:
    """Read a file, or all text and Markdown files below a folder.

    A file that is named is read whatever its suffix. Below a folder, hidden entries are passed over
    and links to folders are not followed, so that a loop of links ends.

    Raises:
        RequestError: There is no such path, or nothing below it could be read.
    """
    root = Path(path).expanduser()
    if not root.exists():
        raise RequestError(f"There is no file or folder {str(path)!r}. Check the path.")
    corpus = Corpus()
    files = _files_below(root, corpus.skipped) if root.is_dir() else [root]
    for file in files:
        _read_into(corpus, file)
    if not corpus.documents:
        raise RequestError(_nothing_read(path, corpus.skipped))
    return corpus


def _files_below(root: Path, skipped: list[SkippedFile]) -> Iterator[Path]:
    def report(error: OSError) -> None:
        skipped.append(SkippedFile(str(error.filename), f"cannot be listed: {error.strerror}"))

    for folder, subfolders, names in os.walk(root, onerror=report):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        for name in sorted(names):
            if not name.startswith(".") and Path(name).suffix.lower() in TEXT_SUFFIXES:
                yield Path(folder, name)


def _read_into(corpus: Corpus, file: Path) -> None:
    try:
        corpus.documents.append(Document(str(file), _read_text(file)))
    except _UnreadableError as error:
        corpus.skipped.append(SkippedFile(str(file), str(error)))


class _UnreadableError(Exception):
    """Why a file is left out."""


def _read_text(file: Path) -> str:
    try:
        if not file.is_file():  # a pipe or a device would be read for ever
            raise _UnreadableError("not a regular file")
        with file.open("rb") as opened:
            raw = opened.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise _UnreadableError(f"cannot be read: {error.strerror}") from error
    if len(raw) > MAX_FILE_BYTES:
        raise _UnreadableError(f"larger than {MAX_FILE_BYTES:,} bytes")
    return _decode(raw)


def _decode(raw: bytes) -> str:
    """Text of a file's bytes. Other encodings are left out: a wrong guess would be quoted."""
    if b"\0" in raw:
        raise _UnreadableError("binary")
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _UnreadableError(f"not UTF-8 (byte {error.start:,})") from error
    if not text.strip():
        raise _UnreadableError("empty")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _nothing_read(path: str | os.PathLike[str], skipped: list[SkippedFile]) -> str:
    if skipped:
        reasons = "; ".join(f"{file.path}: {file.reason}" for file in skipped[:5])
        return f"Nothing below {str(path)!r} could be read: {reasons}."
    return (
        f"{str(path)!r} holds no documents. Text and Markdown files are read: "
        f"{', '.join(sorted(TEXT_SUFFIXES))}."
    )
