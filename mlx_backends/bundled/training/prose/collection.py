"""The collection of real prose: read, split for evaluation, saved and loaded."""

import gzip
import json
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

from mlx_backends.bundled.training.prose import docstrings, pages
from mlx_backends.bundled.training.prose.docstrings import Paragraph
from mlx_backends.bundled.training.prose.references import Entry, Reference, references
from mlx_backends.bundled.training.prose.rules import Question, questions, questions_after
from mlx_backends.bundled.training.prose.sentences import BY_THIRD, VERBS

_MAX_CHARS_PER_SOURCE = 1_200_000
_HELD_OUT_SHARE = 26  # of 256


@dataclass(frozen=True, slots=True)
class Document:
    """The prose of one module or page.

    Attributes:
        source: The package.
        held_out: Kept for evaluation.
        paragraphs: Lists of sentences.
        headings: The heading of each paragraph, empty where there is none.
        references: What it lists: arguments, options, errors, functions.
    """

    source: str
    held_out: bool
    paragraphs: list[list[str]]
    headings: list[str] = field(default_factory=list)
    references: list[Reference] = field(default_factory=list)


def collect(manuals: Path | None = None) -> list[Document]:
    """Read the docstrings of all packages that are installed here, and unpacked manuals.

    Args:
        manuals: Folder with one unpacked Debian package each, see `pages.MANUALS`.
    """
    documents = [document for name in docstrings.PACKAGES for document in _package(name)]
    if manuals:
        documents += [item for manual in pages.MANUALS for item in _manual(manuals, manual)]
    return _without_leaks(documents)


def _package(name: str) -> Iterator[Document]:
    for path, found in _limited(docstrings.modules(name), docstrings.paragraphs):
        key = f"{name}/{path.parent.name}/{path.name}".encode()
        document = _document(name, zlib.crc32(key) % 256 < _HELD_OUT_SHARE, found)
        yield replace(document, references=list(references(path)))


def _manual(root: Path, manual: pages.Manual) -> Iterator[Document]:
    for _, found in _limited(pages.pages(root, manual), pages.paragraphs):
        yield _document(manual.package, manual.held_out, found)


def _limited(
    paths: list[Path], read: Callable[[Path], Iterator[Paragraph]]
) -> Iterator[tuple[Path, list[Paragraph]]]:
    """Read files until the source has given its share."""
    size = 0
    for path in paths:
        found = list(read(path))
        if found and size <= _MAX_CHARS_PER_SOURCE:
            size += sum(len(sentence) for _, sentences in found for sentence in sentences)
            yield path, found
        if size > _MAX_CHARS_PER_SOURCE:
            return


def _document(source: str, held_out: bool, found: list[Paragraph]) -> Document:
    return Document(source, held_out, [text for _, text in found], [title for title, _ in found])


def _without_leaks(documents: list[Document]) -> list[Document]:
    """Drop evaluation sentences that occur in training documents too, and repeated paragraphs."""
    seen: set[str] = set()
    described: set[str] = set()
    result = []
    for document in sorted(documents, key=lambda item: item.held_out):
        kept: list[Paragraph] = []
        for heading, paragraph in zip(document.headings, document.paragraphs, strict=True):
            fresh = [sentence for sentence in paragraph if sentence not in seen]
            if fresh and (len(fresh) == len(paragraph) or not document.held_out):
                kept.append((heading, fresh))
            seen.update(paragraph)
        if kept:
            fresh_entries = _unseen(document.references, described)
            result.append(
                replace(
                    _document(document.source, document.held_out, kept), references=fresh_entries
                )
            )
    return result


def _unseen(found: list[Reference], described: set[str]) -> list[Reference]:
    """Drop entries whose meaning occurred before: packages repeat theirs, and both sides may."""
    kept = []
    for reference in found:
        entries = [item for item in reference.entries if item.meaning.lower() not in described]
        described.update(item.meaning.lower() for item in entries)
        if len(entries) > 1:
            kept.append(replace(reference, entries=entries))
    return kept


def save(documents: list[Document], path: Path) -> None:
    """Write a collection with its questions, as compressed JSON."""
    asked: dict[str, list[Question]] = {}
    for document in documents:
        for paragraph in document.paragraphs:
            for before, sentence in zip(["", *paragraph], paragraph, strict=False):
                found = questions(sentence) or questions_after(before, sentence)
                if found:
                    asked[sentence] = found
    text = json.dumps(
        {
            "documents": [asdict(item) for item in documents],
            "questions": {s: [asdict(item) for item in found] for s, found in asked.items()},
        }
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


@cache
def load(path: Path) -> tuple[list[Document], dict[str, list[Question]]]:
    """Read a collection that `save` wrote."""
    data = json.loads(gzip.decompress(path.read_bytes()))
    asked = {
        text: [Question(**item) for item in found] for text, found in data["questions"].items()
    }
    return [_loaded(item) for item in data["documents"]], asked


def _loaded(data: dict[str, Any]) -> Document:
    listed = [
        Reference(item["kind"], item["owner"], [Entry(**entry) for entry in item["entries"]])
        for item in data.pop("references", [])
    ]
    return Document(**data, references=listed)


_NOUN = re.compile(
    r"\b(?:the|a|an) (?:([a-z]{3,14}) )?([a-z]{3,14})"
    r"(?= (?:is|are|of|to|in|for|from|with|and|or|that|which|by|has|can|will|must)\b|[.,;:)])"
)


def vocabulary(documents: list[list[list[str]]], *, least: int = 3) -> tuple[list[str], list[str]]:
    """Find nouns and the words before them in real text."""
    nouns: Counter[str] = Counter()
    modifiers: Counter[str] = Counter()
    for document in documents:
        for paragraph in document:
            for sentence in paragraph:
                for modifier, noun in _NOUN.findall(sentence):
                    nouns[noun] += 1
                    modifiers[modifier] += bool(modifier)
    known_verbs = {*VERBS, *BY_THIRD}
    return (
        sorted(
            word
            for word, count in nouns.items()
            if count >= least and not word.endswith(("s", "ed", "ly"))
        ),
        sorted(
            w
            for w, n in modifiers.items()
            if n >= least and w not in known_verbs and not w.endswith("ly")
        ),
    )
