"""Reads HTML documentation as Debian packages ship it, unpacked with ``dpkg -x``."""

import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path

from mlx_backends.bundled.training.prose.docstrings import Paragraph
from mlx_backends.bundled.training.prose.sentences import sentences_of, with_subject


@dataclass(frozen=True, slots=True)
class Manual:
    """The documentation of one Debian package.

    Attributes:
        package: Name of the package.
        licence: Licence of its text, from its copyright file.
        pages: Glob patterns of its pages, below ``usr/share/doc``.
        held_out: The whole manual is kept for evaluation.
    """

    package: str
    licence: str
    pages: tuple[str, ...]
    held_out: bool = False


MANUALS = (
    Manual("sqlite3-doc", "public domain", ("sqlite3/*.html",)),
    Manual("python3.11-doc", "PSF-2.0", ("python3.11/html/[!w]*/**/*.html",)),
    Manual("apache2-doc", "Apache-2.0", ("apache2-doc/manual/en/**/*.html",)),
    Manual("nodejs-doc", "MIT", ("nodejs/api/*.html",)),
    Manual("postgresql-doc-15", "PostgreSQL", ("postgresql-doc-15/html/*.html",)),
    Manual("python-django-doc", "BSD-3-Clause", ("python-django-doc/html/[!r_]*/**/*.html", "python-django-doc/html/ref/**/*.html")),
    Manual("rust-doc", "MIT or Apache-2.0", ("rust-doc/html/book/*.html", "rust-doc/html/reference/**/*.html", "rust-doc/html/cargo/**/*.html", "rust-doc/html/std/*/*.html")),
    Manual("erlang-doc", "Apache-2.0", ("erlang-doc/**/*.html",)),
    Manual("python-sqlalchemy-doc", "MIT", ("python-sqlalchemy-doc/html/[!c]*/*.html", "python-sqlalchemy-doc/html/core/*.html")),
    Manual("python-attr-doc", "MIT", ("python-attr-doc/html/*.html",)),
    Manual("python-pytest-doc", "MIT", ("python-pytest-doc/html/[!a]*/*.html",)),
    Manual("python-flask-doc", "BSD-3-Clause", ("python-flask-doc/html/**/*.html",), held_out=True),
    Manual("python-tornado-doc", "Apache-2.0", ("python-tornado-doc/html/*.html",), held_out=True),
    Manual("python-werkzeug-doc", "BSD-3-Clause", ("python-werkzeug-doc/html/**/*.html",), held_out=True),
    Manual("python-djangorestframework-doc", "BSD-2-Clause", ("python3-djangorestframework/html/**/*.html",), held_out=True),
    Manual("cmake-doc", "BSD-3-Clause", ("cmake-data/html/[!r]*/*.html",), held_out=True),
)  # fmt: skip
_CODE = frozenset({"code", "tt", "kbd", "samp", "var"})
_TITLES = frozenset({"h1", "h2", "h3", "h4", "h5", "dt"})
_BLOCKS = frozenset({"p", "li", "dd"})
_SKIPPED = frozenset({"pre", "script", "style", "nav", "table", "footer", "header", "select"})
_IDENTIFIER = re.compile(r"([A-Za-z_][\w.-]*\w)")


def pages(root: Path, manual: Manual) -> list[Path]:
    """List the pages of a manual in a mixed order, so that the first ones are a fair sample."""
    folder = root / manual.package / "usr/share/doc"
    found = {path for pattern in manual.pages for path in folder.glob(pattern)}
    return sorted(found, key=lambda path: zlib.crc32(str(path.relative_to(folder)).encode()))


def paragraphs(path: Path) -> Iterator[Paragraph]:
    """Read the paragraphs of one page with the heading that each stands under."""
    reader = _Reader()
    reader.feed(path.read_text(encoding="utf-8", errors="replace"))
    reader.close()
    for heading, name, text in reader.blocks:
        sentences = sentences_of(text)
        if sentences and name and text.startswith(sentences[0]):
            sentences[0] = with_subject(sentences[0], name)
        if sentences:
            yield heading, sentences


class _Reader(HTMLParser):
    """Collects (heading, documented name, text) of each block."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.blocks: list[tuple[str, str, str]] = []
        self._heading = self._name = ""
        self._text: list[str] = []
        self._skipped = self._code = 0
        self._title = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in _SKIPPED:
            self._skipped += 1
        elif tag in _CODE:
            self._code += 1
            self._tick()
        elif tag in _TITLES or tag in _BLOCKS:
            self._flush()
            self._title = tag in _TITLES

    def handle_endtag(self, tag: str) -> None:
        if tag in _SKIPPED:
            self._skipped = max(0, self._skipped - 1)
        elif tag in _CODE and self._code:
            self._code -= 1
            self._tick()
        elif tag in _TITLES:
            self._end_title(is_entry=tag == "dt")
        elif tag in _BLOCKS or tag == "div":
            self._flush()

    def handle_data(self, data: str) -> None:
        if not self._skipped:
            self._text.append(data)

    def close(self) -> None:
        super().close()
        self._flush()

    def _tick(self) -> None:
        if not self._skipped and self._code <= 1:
            self._text.append("`")

    def _take(self) -> str:
        text = re.sub(r"\s+", " ", "".join(self._text)).strip().replace("¶", "")
        self._text = []
        return re.sub(r"` +`|``", " ", text).replace("` ,", "`,").strip()

    def _end_title(self, *, is_entry: bool) -> None:
        text = self._take().replace("`", "").replace("#", "").strip()
        found = _IDENTIFIER.search(text.removeprefix("class ").removeprefix("async "))
        self._name = found[1].rsplit(".", 1)[-1] if is_entry and found else ""
        self._heading = text if 2 < len(text) < 60 and text.isascii() else ""
        self._title = False

    def _flush(self) -> None:
        text = self._take()
        if text and not self._title:
            self.blocks.append((self._heading, self._name, text))
            self._name = ""
