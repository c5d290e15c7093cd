"""Rewords questions with synonyms, so that a question and a passage seldom use the same words.

Some sets are kept for evaluation: training never swaps their words.
"""

import random
import re
import zlib
from collections.abc import Iterable
from functools import cache
from itertools import combinations
from pathlib import Path

from mlx_backends.bundled.training import grammar, lexicon
from mlx_backends.bundled.training.families.concepts import (
    HELD_OUT_CONCEPTS,
    TRAINED_CONCEPTS,
    Concept,
)

_FOLDER = Path(__file__).parent
_HELD_OUT_SHARE = 40  # of 256, of the sets from WordNet
_VERBAL = frozenset(
    "to does do did can will must may should cannot could would i you we they not and or never always".split()
)
_NOMINAL = frozenset("the a an this that these those each every all which what of no its".split())
_BE = frozenset("is are was were be been being gets get".split())
_CODE = re.compile(r"(`[^`]*`)")
_LOWER = re.compile(r"(?<![\w./-])[a-z]{3,}(?![\w/-])")

SynonymSet = tuple[str, tuple[str, ...]]


@cache
def synonym_sets(*, held_out: bool) -> tuple[SynonymSet, ...]:
    """Return the sets of one side of the split; no pair of words is on both."""
    written, derived = _read("synonyms.txt"), _read("wordnet.txt")
    trained = {pair for item, marked in written if not marked for pair in _pairs(item[1])}
    trained |= _stated_pairs()
    kept = [item for item, marked in written if marked]
    kept += [item for item, _ in derived if _is_chosen(item) and not _pairs(item[1]) & trained]
    if held_out:
        return tuple(kept)
    unseen = {pair for item in kept for pair in _pairs(item[1])} | _unseen_pairs()
    every = dict.fromkeys(item for item, _ in (*written, *derived, *_read("wordnet_wide.txt")))
    return tuple(item for item in every if not _pairs(item[1]) & unseen)


def _read(name: str) -> list[tuple[SynonymSet, bool]]:
    """Read a file of sets, each with whether it is marked for evaluation."""
    found = []
    for line in (_FOLDER / name).read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            kind, *words = line.removeprefix("*").split()
            found.append(((kind, tuple(words)), line.startswith("*")))
    return found


def _pairs(words: Iterable[str]) -> set[tuple[str, str]]:
    return set(combinations(sorted(words), 2))


def _is_chosen(item: SynonymSet) -> bool:
    return zlib.crc32(" ".join(sorted(item[1])).encode()) % 256 < _HELD_OUT_SHARE


def _stated_pairs() -> set[tuple[str, str]]:
    """Return the pairs that other word lists of the training treat as equal."""
    groups = [[verb.base for verb in group] for group in grammar.VERB_GROUPS]
    groups += [[name, *others] for name, others in lexicon.ATTRIBUTE_SYNONYMS.items()]
    groups += [wordings for concept in TRAINED_CONCEPTS for wordings in _wordings(concept)]
    return {pair for words in groups for pair in _pairs(words)}


def _unseen_pairs() -> set[tuple[str, str]]:
    """Return the pairs that relations of the evaluation treat as equal."""
    groups = [wordings for concept in HELD_OUT_CONCEPTS for wordings in _wordings(concept)]
    return {pair for words in groups for pair in _pairs(words)}


def _wordings(concept: Concept) -> list[list[str]]:
    return [list(concept.forward), list(concept.object_nouns), list(concept.subject_nouns)]


class Thesaurus:
    """Swaps words for their synonyms, in the same form."""

    def __init__(self, rng: random.Random, *, held_out: bool = False) -> None:
        self.rng = rng
        self._forms = _forms(held_out=held_out)

    def reword(self, text: str, *, at_most: int = 2) -> str:
        """Swap up to `at_most` words outside backticks; capitals, which names have, are left alone."""
        pieces = _CODE.split(text)
        places = [
            (index, match, choices)
            for index in range(0, len(pieces), 2)
            for match in _LOWER.finditer(pieces[index])
            if (choices := self._choices(pieces[index], match))
        ]
        chosen = self.rng.sample(places, min(len(places), self.rng.randint(1, at_most)))
        for index, match, choices in sorted(chosen, key=lambda place: -place[1].start()):
            word, piece = self.rng.choice(choices), pieces[index]
            before = _article(piece[: match.start()], word)
            pieces[index] = before + word + piece[match.end() :]
        return "".join(pieces)

    def _choices(self, text: str, match: re.Match[str]) -> tuple[str, ...]:
        found = self._forms.get(match[0])
        if not found:
            return ()
        before = text[: match.start()].rsplit(None, 1)
        last = before[-1].lower() if before else ""
        if last in _BE and match[0].endswith("ed"):  # "is calculated by": not the adjective
            return found.get("v", ())
        if last in _VERBAL:
            return found.get("v", ())
        if last in _NOMINAL:
            return found.get("n", ()) + found.get("a", ())
        return next(iter(found.values())) if len(found) == 1 else ()


def _article(before: str, word: str) -> str:
    """Make the article before a word fit it."""
    if re.search(r"\b[Aa]n? $", before):
        stem = before[: before.rindex(" ", 0, len(before) - 1) + 1] if " " in before[:-1] else ""
        old = before[len(stem) :].strip()
        return f"{stem}{old[0]}{'n' if word[0] in 'aeiou' else ''} "
    return before


@cache
def _forms(*, held_out: bool) -> dict[str, dict[str, tuple[str, ...]]]:
    """Map each form of a word to the same form of its synonyms, by part of speech."""
    table: dict[str, dict[str, dict[str, None]]] = {}
    for kind, words in synonym_sets(held_out=held_out):
        rows = [inflections(kind, word) for word in words]
        for column in zip(*rows, strict=True):
            for form in column:
                others = table.setdefault(form, {}).setdefault(kind, {})
                others.update((other, None) for other in column if other != form)
    return {
        form: {kind: tuple(others) for kind, others in kinds.items() if others}
        for form, kinds in table.items()
    }


def inflections(kind: str, word: str) -> tuple[str, ...]:
    """Return the forms of a word of a part of speech: n, v, or one that has no forms."""
    if kind == "n":
        return word, grammar.plural(word)
    if kind == "v":
        verb = grammar.conjugate(word)
        return verb.base, verb.third, verb.past, verb.participle, verb.gerund
    return (word,)
