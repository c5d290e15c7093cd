"""Real prose of one side of the split."""

import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from mlx_backends.bundled.training import prose
from mlx_backends.bundled.training.prose import Entry, Question, Reference, Written

# Sentences whose questions would be those of families that are for evaluation alone, or one over this
# project's documentation, "What does --truncate do?".
_UNSEEN = re.compile(
    r"\b(?:inherits? from|belongs? to|base class of|listens? on|(?:old|former) name of|derives? from"
    r"|turns? .+ into|speciali[sz]es?)\b|^`truncate`",
    re.IGNORECASE,
)
# "What does the option --verbose do?" is one of those.
_UNSEEN_NAMES = ("verbose", "truncate")


@dataclass(slots=True)
class Corpus:
    """Real sentences of one side of the split, with their questions found once.

    Attributes:
        documents: Paragraphs, each a list of sentences.
        asked: The questions that a sentence answers.
        nouns: Nouns that occur in it.
        modifiers: Words that stand before nouns in it.
        headings: The heading of a paragraph, by its first sentence.
        references: What real packages list: arguments, options, errors, functions.
        written: Questions written by hand, by the first sentence of their paragraph.
    """

    documents: list[list[list[str]]]
    asked: dict[str, list[Question]]
    nouns: list[str]
    modifiers: list[str]
    headings: dict[str, str] = field(default_factory=dict)
    references: list[Reference] = field(default_factory=list)
    written: dict[str, list[Written]] = field(default_factory=dict)

    @classmethod
    def load(cls, path: Path, *, held_out: bool, sources: frozenset[str] | None = None) -> "Corpus":
        """Read one side of the split of a collection that `prose.save` wrote.

        Args:
            path: The file.
            held_out: Read the evaluation side.
            sources: Read these packages alone.
        """
        documents, asked = prose.load(path)
        chosen = [item for item in documents if item.held_out == held_out]
        if sources is not None:
            chosen = [item for item in chosen if item.source in sources]
        headings = {
            paragraph[0]: heading
            for item in chosen
            for heading, paragraph in zip(item.headings, item.paragraphs, strict=True)
            if heading
        }
        if not held_out:
            asked = {text: found for text, found in asked.items() if not _UNSEEN.search(text)}
        paragraphs = [item.paragraphs for item in chosen]
        written: dict[str, list[Written]] = {}
        if not held_out:
            paragraphs, written = _trained_paragraphs(paragraphs), _written(paragraphs)
        nouns, modifiers = prose.vocabulary(paragraphs)
        listed = [reference for item in chosen for reference in item.references]
        if not held_out:
            listed = [item for item in listed if not any(map(_is_unseen, item.entries))]
        return cls(paragraphs, asked, nouns, modifiers, headings, listed, written)

    @classmethod
    def load_written(cls, path: Path) -> "Corpus":
        """Read the pages of the training side, with the written questions that are never trained."""
        documents, _ = prose.load(path)
        paragraphs = [item.paragraphs for item in documents if not item.held_out]
        return replace(
            cls.load(path, held_out=True),
            documents=paragraphs,
            written=_written(paragraphs, held_out=True),
        )

    def questions(self, sentence: str) -> list[Question]:
        return self.asked.get(sentence, [])


def _is_unseen(entry: Entry) -> bool:
    return entry.name.lstrip("-") in _UNSEEN_NAMES or bool(_UNSEEN.search(entry.meaning))


def _trained_paragraphs(documents: list[list[list[str]]]) -> list[list[list[str]]]:
    """Leave out the paragraphs whose written questions are kept for evaluation."""
    kept = [[p for p in paragraphs if not _is_kept(p)] for paragraphs in documents]
    return [paragraphs for paragraphs in kept if paragraphs]


def _is_kept(paragraph: list[str]) -> bool:
    key = prose.paragraph_key(paragraph)
    return prose.is_held_out(key) and key in prose.written_questions()


def _written(
    documents: list[list[list[str]]], *, held_out: bool = False
) -> dict[str, list[Written]]:
    """The written questions of one side of their split, by the first sentence of a paragraph."""
    asked = prose.written_questions()
    return {
        paragraph[0]: asked[key]
        for paragraphs in documents
        for paragraph in paragraphs
        if (key := prose.paragraph_key(paragraph)) in asked and prose.is_held_out(key) == held_out
    }
