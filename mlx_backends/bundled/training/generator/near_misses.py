"""Questions that a context nearly answers: one name off, the roles exchanged, another relation.

Each is unanswerable by construction. What is left to chance, a relation of another family about the
same subject, is checked: a question is dropped if one passage has every word of it, or words that
can stand for them.
"""

import random
import re
from collections.abc import Iterable, Sequence
from functools import cache

from mlx_backends.bundled.training import grammar, lexicon
from mlx_backends.bundled.training.families import Fact
from mlx_backends.bundled.training.families.concepts import TRAINED_CONCEPTS
from mlx_backends.bundled.training.families.relations import Relations
from mlx_backends.bundled.training.generator.facts import Facts
from mlx_backends.bundled.training.lexicon import Names
from mlx_backends.bundled.training.thesaurus import inflections, synonym_sets

_SYMMETRIC = frozenset("link neighbour equal oppose compete share compare like".split())
_CODE = re.compile(r"`([\w./-]{3,})`")
_PROPER = re.compile(r"(?<=[a-z,] )([A-Z][a-z]{4,})\b")
_PART = re.compile(r"\bthe ((?:[a-z]+ ){1,2}[a-z]+)\b(?= [a-z]|\?)")
_WORD = re.compile(r"[a-z][a-z'_-]{2,}|\d+")
_HEADS = frozenset(name.split()[-1] for name in (*lexicon.COMPONENTS, *lexicon.THINGS))
_COMMON = frozenset(
    "the and for are was has have had does did can may must will should who whom whose what which when where "
    "why how long much many that this with from into its there not you your get one thing name tell about "
    "been being were say exactly please know".split()
)


class NearMisses:
    """Makes unanswerable questions from the facts of a context."""

    def __init__(self, facts: Facts, *, held_out: bool = False) -> None:
        self.rng: random.Random = facts.rng
        self.names: Names = facts.names
        self._facts = facts
        self._held_out = held_out

    def of(self, facts: Sequence[Fact], text: str) -> list[str]:
        """Return up to three questions that `text`, which states the facts, does not answer."""
        found = (self._of_fact(self.rng.choice(facts), facts, text) for _ in range(3))
        return list(dict.fromkeys(question for question in found if question))

    def _of_fact(self, fact: Fact, facts: Sequence[Fact], text: str) -> str | None:
        draw = self.rng.random()
        if draw < 0.35:
            return self._renamed(self.rng.choice(fact.asks)[0], text)
        if draw < 0.55:
            return self._exchanged(fact, facts)
        return self._other_relation(fact, facts)

    def _renamed(self, question: str, text: str) -> str | None:
        """Ask about a name that differs from the stated one in a syllable or a word."""
        changes = (
            (_CODE, self._other_code),
            (_PROPER, self._other_word),
            (_PART, self._other_part),
        )
        places = [
            (match, change)
            for pattern, change in changes
            for match in pattern.finditer(question)
            if match[1].lower() in text.lower()
        ]
        if not places:
            return None
        match, change = self.rng.choice(places)
        other = change(match[1])
        if other is None or other.lower() in text.lower():
            return None
        return question[: match.start(1)] + other + question[match.end(1) :]

    def _other_code(self, name: str) -> str | None:
        """Change, add or drop one part of an identifier, a path or an option."""
        rng = self.rng
        parts = re.split(r"([\W_]+)", name)
        places = [i for i, part in enumerate(parts) if len(part) > 2 and part.isalpha()]
        if not places:
            return None
        place = rng.choice(places)
        draw = rng.random()
        if draw < 0.2 and len(places) > 2:
            return self._checked(name, "".join(parts[:place] + parts[place + 2 :]).strip("_-./"))
        if draw < 0.4:
            return self._checked(name, self._new_syllable(parts[place], parts, place))
        other = rng.choice(lexicon.IDENTIFIER_PARTS)
        old = parts[place]
        parts[place] = (
            other.upper() if old.isupper() else other.capitalize() if old[0].isupper() else other
        )
        return self._checked(name, "".join(parts))

    def _other_word(self, word: str) -> str | None:
        return self._checked(word, self._new_syllable(word, [word], 0))

    def _new_syllable(self, word: str, parts: list[str], place: int) -> str:
        """Replace a few letters in the middle or at the end of a word."""
        rng = self.rng
        start = rng.randint(1, max(1, len(word) - 3))
        end = min(len(word), start + rng.randint(1, 3))
        syllable = rng.choice(("a", "e", "i", "o", "u", "or", "an", "in", "ul", "ar", "em", "it"))
        syllable += rng.choice(("", "", "n", "r", "l", "s"))
        syllable = syllable.upper() if word.isupper() else syllable
        changed = word[:start] + syllable + word[end:]
        return "".join([*parts[:place], changed, *parts[place + 1 :]])

    def _checked(self, name: str, other: str) -> str | None:
        """Keep a name if each of its words is known, or on this side of the split."""
        old = set(re.findall(r"[A-Za-z][a-z]+", name))
        for word in re.findall(r"[A-Za-z][a-z]+", other):
            if word in old or word.lower() in lexicon.IDENTIFIER_PARTS:
                continue
            if lexicon.is_held_out(word) != self._held_out:
                return None
        return other if other != name else None

    def _other_part(self, name: str) -> str | None:
        """Change one word of the name of a part, for one that does not mean the same."""
        rng = self.rng
        words = name.split()
        if words[-1] not in _HEADS or _COMMON & set(words):
            return None
        place = rng.randrange(len(words))
        if place == len(words) - 1:
            if words[place] not in lexicon.COMPONENTS:
                return None
            other = rng.choice(lexicon.COMPONENTS)
        else:
            other = rng.choice((*lexicon.MODIFIERS, *lexicon.ADJECTIVES))
        if _groups(words[place]) & _groups(other) or other == words[place]:
            return None
        return " ".join([*words[:place], other, *words[place + 1 :]])

    def _exchanged(self, fact: Fact, facts: Sequence[Fact]) -> str | None:
        """Take what was acted on for the actor: "What does B replace?" of "A replaces B"."""
        concept = fact.slots.get("C")
        if concept is None or concept.name in _SYMMETRIC:  # type: ignore[attr-defined]
            return self._other_relation(fact, facts)
        family = next(f for f in self._facts.families if f.name == fact.family)
        assert isinstance(family, Relations)
        found = family.exchanged(self.rng, fact)
        used = {key for other in facts for key in other.keys | other.says}
        if found is None or found[1] & used:
            return None
        return found[0]

    def _other_relation(self, fact: Fact, facts: Sequence[Fact]) -> str | None:
        """Ask about the same subject what another fact of its family, or a like one, would say."""
        other = self._facts.sibling_of(fact)
        if other is None or not other.asks:
            return None
        if any(other.meets(known) for known in facts):
            return None
        question = self.rng.choice(other.asks)[0]
        return None if is_covered(question, (known.statement for known in facts)) else question


def shared_words(question: str, passages: Iterable[str]) -> float:
    """The largest share of a question's words of content that one passage has."""
    wanted = _content(question)
    most = max((len(wanted & _content(passage)) for passage in passages), default=0)
    return most / max(1, len(wanted))


def is_covered(question: str, statements: Iterable[str]) -> bool:
    """Whether one statement has each word of content of a question, or one that means the same."""
    wanted = _content(question)
    return any(_covers(_content(statement), wanted) for statement in statements)


def _covers(words: frozenset[str], wanted: frozenset[str]) -> bool:
    missing = wanted - words
    if not missing:
        return True
    groups = frozenset().union(*(_groups(word) for word in words))
    return all(_groups(word) & groups for word in missing)


def _content(text: str) -> frozenset[str]:
    return frozenset(_WORD.findall(text.lower())) - _COMMON


def _groups(word: str) -> frozenset[int]:
    return _table().get(word, frozenset())


@cache
def _table() -> dict[str, frozenset[int]]:
    """Map each word, in all its forms, to the groups of words that can stand for each other."""
    # Words that only the evaluation swaps mean the same all the same.
    sets = (*synonym_sets(held_out=False), *synonym_sets(held_out=True))
    groups = [[form for word in words for form in inflections(kind, word)] for kind, words in sets]
    groups += [
        [form for verb in group for form in inflections("v", verb.base)]
        for group in grammar.VERB_GROUPS
    ]
    groups += [
        [word for text in (name, *others) for word in text.split()]
        for name, others in lexicon.ATTRIBUTE_SYNONYMS.items()
    ]
    for concept in TRAINED_CONCEPTS:
        phrases = (*concept.forward, *concept.backward)
        verbs = [
            form
            for text in phrases
            for word in text.removeprefix("not ").split(" ")[:1]
            for form in inflections("v", word)
        ]
        tails = [word for text in phrases for word in text.split()[1:]]
        nouns = [w for t in (*concept.object_nouns, *concept.subject_nouns) for w in t.split()]
        groups.append([*verbs, *tails, *nouns])
    table: dict[str, set[int]] = {}
    for number, words in enumerate(groups):
        for word in words:
            if len(word) > 2 and word not in _COMMON:
                table.setdefault(word, set()).add(number)
    return {word: frozenset(numbers) for word, numbers in table.items()}
