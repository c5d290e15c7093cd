"""Facts that relate two things, stated in one wording and asked for in another."""

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlx_backends.bundled.training import grammar, lexicon
from mlx_backends.bundled.training.families import slots
from mlx_backends.bundled.training.families.concepts import Concept
from mlx_backends.bundled.training.families.fact import Fact, key_of, span_of
from mlx_backends.bundled.training.grammar import Phrase, capitalize, conjugate
from mlx_backends.bundled.training.lexicon import Names

_PREPOSITIONS = frozenset(
    "on to from with for at by of into under against through about after".split()
)
_AT_REST = frozenset("live reside lie stand sit dwell appear rest".split())


@dataclass(frozen=True, slots=True)
class _VerbPhrase:
    """A verb with what follows it; ``~`` is the place of the object."""

    verb: grammar.Verb | None
    negated: bool
    tail: str

    @classmethod
    def parse(cls, text: str) -> "_VerbPhrase":
        negated = text.startswith("not ")
        first, _, tail = text.removeprefix("not ").partition(" ")
        return cls(None if first == "be" else conjugate(first), negated, tail)

    def of(self, subject: Phrase, other: str, modal: str = "") -> str:
        """Write the predicate with its object."""
        return self._join(self._finite(subject, modal), other)

    def asking_subject(self, other: str) -> str:
        """Write the predicate after "What"."""
        return self._join(self._finite(Phrase("", ""), ""), other)

    def asking_object(self, what: str, subject: Phrase, *, fronted: bool) -> str:
        """Write a question for the object."""
        tail = self.tail.replace("~ ", "")
        if self.verb is None:
            return f"{what} {subject.be()} {subject.short} {tail}?"
        negation = " not" if self.negated else ""
        if fronted and self.has_preposition:
            lead = f"{capitalize(tail)} {grammar.uncapitalize(what)}"
            return f"{lead} {subject.do()} {subject.short} {self.verb.base}?"
        text = f"{what} {subject.do()} {subject.short}{negation} {self.verb.base} {tail}"
        return text.rstrip() + "?"

    @property
    def has_preposition(self) -> bool:
        """Tell whether all that follows the verb is a preposition, which can lead a sentence."""
        if self.verb is None or self.negated:
            return False
        return self.tail in _PREPOSITIONS or (self.tail == "in" and self.verb.base in _AT_REST)

    def _finite(self, subject: Phrase, modal: str) -> str:
        if self.verb is None:
            return f"{modal} be" if modal else subject.be()
        if self.negated:
            return f"{subject.do()} not {self.verb.base}"
        return f"{modal} {self.verb.base}" if modal else subject.agree(self.verb)

    def _join(self, finite: str, other: str) -> str:
        tail = self.tail.replace("~", other) if "~" in self.tail else f"{self.tail} {other}".strip()
        return f"{finite} {tail}"


def _thing(names: Names) -> Phrase:
    name = grammar.thing_name(names)
    text = names.rng.choice((f"the {name}", f"the {name}", grammar.indefinite(name)))
    return Phrase(text, text)


def _things(names: Names) -> Phrase:
    text = slots.things(names)
    if names.rng.random() < 0.25:
        text = f"{text} and {slots.plain_things(names)}"
    return Phrase(text, text, "", True)


def _part(names: Names) -> Phrase:
    while (phrase := grammar.subject_phrase(names)).category == "person":
        pass
    return phrase


def _code(category: str, maker: Callable[[Names], str]) -> Callable[[Names], Phrase]:
    def make(names: Names) -> Phrase:
        text = f"`{maker(names)}`"
        return Phrase(text, text, category)

    return make


def _text(maker: Callable[[Names], str], category: str = "") -> Callable[[Names], Phrase]:
    def make(names: Names) -> Phrase:
        text = maker(names)
        return Phrase(text, text, category)

    return make


def _duration(names: Names) -> str:
    return f"{names.number()} {names.rng.choice(lexicon.TIME_UNITS)}"


def _price(names: Names) -> str:
    rng = names.rng
    return (
        f"{rng.choice(('$', '€'))}{rng.randint(1, 9999)}"
        if rng.random() < 0.5
        else f"{names.number()} {rng.choice(('coins', 'dollars', 'euros', 'credits'))}"
    )


_KINDS: dict[str, Callable[[Names], Phrase]] = {
    "part": _part,
    "thing": _thing,
    "things": _things,
    "obj": grammar.object_phrase,
    "name": _text(Names.name),
    "person": _text(Names.person, "person"),
    "place": _text(Names.word_capital, "place"),
    "lang": _text(lambda names: names.rng.choice((*lexicon.LANGUAGES, "English", "German", "Latin", "French", names.word_capital())), "language"),
    "fmt": _text(lambda names: names.rng.choice(lexicon.FORMATS), "format"),
    "licence": _text(lambda names: names.rng.choice(lexicon.LICENSES), "licence"),
    "platform": _text(lambda names: names.rng.choice(lexicon.PLATFORMS), "platform"),
    "price": _text(_price),
    "weight": _text(lambda names: f"{names.number()} {names.rng.choice(('kg', 'tons', 'grams', 'pounds'))}"),
    "dur": _text(_duration),
    "freq": _text(lambda names: f"every {_duration(names)}"),
    "date": _text(Names.date),
    "version": _text(lambda names: f"version {names.version()}{names.rng.choice(('', '', ' or newer'))}", "version"),
    "port": _text(lambda names: f"port {names.rng.randint(20, 65000)}", "port"),
    "mem": _text(lambda names: f"{names.number()} {names.rng.choice(('MB', 'GB', 'KB', 'GiB', 'MiB'))} of memory"),
    "kind": _text(lambda names: grammar.indefinite(f"{names.rng.choice(lexicon.ADJECTIVES)} {names.rng.choice(lexicon.COMPONENTS)}")),
    "file": _code("file", Names.file_path),
    "command": _code("command", Names.command),
    "fn": _code("function", Names.function),
    "error": _code("error", lambda names: names.class_name(names.rng.choice(("Error", "Error", "Warning", "Exception")))),
    "option": _code("option", lambda names: names.rng.choice((names.flag, names.identifier, names.environment_variable))()),
}  # fmt: skip
_CAN_ACT = frozenset("part thing things name person fn option file command".split())
# What a question asks with, where "what" does not fit.
_WHAT = {
    "person": "Who", "place": "Where", "dur": "How long", "price": "How much", "date": "When", "freq": "How often",
    "weight": "How much", "mem": "How much memory",
}  # fmt: skip
_ADVERBS = ("usually", "always", "now", "also", "mostly", "mainly", "in turn", "normally", "still")
_TAILS = (
    "", "", "", "", "", " at present", " in this release", " by design", ", as the manual says", " in most cases", " on all platforms",
    " from the start", " for good reasons", " as a rule",
)  # fmt: skip


class Relations:
    """Makes facts of given concepts."""

    keys = ("C", "S", "O")

    def __init__(self, name: str, concepts: Sequence[Concept], *, weight: float) -> None:
        self.name = name
        self.weight = weight
        self._concepts = list(concepts)
        self._phrases = {
            text: _VerbPhrase.parse(text) for c in concepts for text in (*c.forward, *c.backward)
        }

    def make(self, names: Names, fixed: dict | None = None) -> Fact:
        rng, fixed = names.rng, fixed or {}
        concept: Concept = fixed.get("C") or rng.choice(self._concepts)
        subject = self._noun(names, concept.kinds[0], fixed.get("S"))
        thing = self._noun(names, concept.kinds[1], fixed.get("O"))
        statement = capitalize(self._statement(rng, concept, subject, thing))
        asks = []
        if answer := span_of(thing.full, statement):
            asks.append(
                (
                    self._ask(
                        rng, concept, subject, concept.kinds[1], thing.category, to_object=True
                    ),
                    answer,
                )
            )
        if answer := span_of(subject.full, statement):
            asks.append(
                (
                    self._ask(
                        rng, concept, thing, concept.kinds[0], subject.category, to_object=False
                    ),
                    answer,
                )
            )
        keys = frozenset({f"{concept.name}:o:{subject.short}", f"{concept.name}:s:{thing.short}"})
        found = {"C": concept, "S": (concept.kinds[0], subject), "O": (concept.kinds[1], thing)}
        says = frozenset((key_of("does", subject.short),))
        asks = [(capitalize(question), answer) for question, answer in asks]
        return Fact(self.name, statement, asks, keys, found, says=says)  # type: ignore[arg-type]

    def exchanged(self, rng: random.Random, fact: Fact) -> tuple[str, set[str]] | None:
        """Ask as if the object of a fact were its subject, or the other way round.

        Returns:
            The question with the key of the fact that would answer it; None where the kinds differ
            so much that nobody would ask.
        """
        concept: Concept = fact.slots["C"]  # type: ignore[assignment]
        (kind, subject), (other_kind, thing) = fact.slots["S"], fact.slots["O"]  # type: ignore[misc]
        if not {kind, other_kind} <= _CAN_ACT:
            return None
        if rng.random() < 0.5:
            key = f"{concept.name}:o:{thing.short}"
            text = self._ask(rng, concept, thing, other_kind, "", to_object=True)
        else:
            key = f"{concept.name}:s:{subject.short}"
            text = self._ask(rng, concept, subject, kind, "", to_object=False)
        return capitalize(text), {key}

    @staticmethod
    def _noun(names: Names, kind: str, fixed: tuple[str, Phrase] | None) -> Phrase:
        return fixed[1] if fixed and fixed[0] == kind else _KINDS[kind](names)

    def _statement(
        self, rng: random.Random, concept: Concept, subject: Phrase, thing: Phrase
    ) -> str:
        draw = rng.random()
        if draw < 0.16 and concept.object_nouns:
            return self._noun_statement(rng, rng.choice(concept.object_nouns), thing, subject)
        if draw < 0.24 and concept.subject_nouns:
            return self._noun_statement(rng, rng.choice(concept.subject_nouns), subject, thing)
        if draw < 0.65 or not concept.backward:
            return self._clause(rng, rng.choice(concept.forward), subject, thing)
        return self._clause(rng, rng.choice(concept.backward), thing, subject)

    def _clause(self, rng: random.Random, text: str, subject: Phrase, thing: Phrase) -> str:
        phrase, draw = self._phrases[text], rng.random()
        other, tail = thing.full, rng.choice(_TAILS)
        if draw < 0.10:
            modal = "" if phrase.negated else rng.choice(("can", "will", "must", "may", "should"))
            return f"{subject.full} {phrase.of(subject, other, modal)}{tail}."
        if draw < 0.16 and not subject.is_plural:
            return f"It is {subject.full} that {phrase.of(subject, other)}."
        if draw < 0.20 and not subject.is_plural:
            return f"What {phrase.of(subject, other)} is {subject.full}."
        if draw < 0.24 and "~" not in text:
            return f"What {subject.full} {phrase.of(subject, '').rstrip()} is {other}."
        if draw < 0.28 and "~" not in text:
            return f"It is {other} that {subject.full} {phrase.of(subject, '').rstrip()}."
        if draw < 0.36 and phrase.verb and phrase.has_preposition:
            fronted = f"{capitalize(phrase.tail)} {other}"
            verb = subject.agree(phrase.verb)
            return rng.choice(
                (
                    f"{fronted} {verb} {subject.full}{tail}.",
                    f"{fronted}, {subject.full} {verb}{tail}.",
                )
            )
        if draw < 0.44 and not phrase.tail and phrase.verb and not phrase.negated:
            return f"{other} {thing.be()} {phrase.verb.participle} by {subject.full}{tail}."
        if draw < 0.52:
            head, _, rest = phrase.of(subject, other).partition(" ")
            adverb = rng.choice(_ADVERBS)
            middle = (
                f"{head} {adverb} {rest}"
                if phrase.verb is None or phrase.negated
                else f"{adverb} {head} {rest}"
            )
            return f"{subject.full} {middle}{tail}."
        if draw < 0.56:
            return f"- {subject.full}: {phrase.of(subject, other)}"
        return f"{subject.full} {phrase.of(subject, other)}{tail}."

    @staticmethod
    def _noun_statement(rng: random.Random, noun: str, holder: Phrase, of: Phrase) -> str:
        """Say that `holder` is the `noun` of the other."""
        be = holder.be()
        return rng.choice(_NOUN_STATEMENTS).format(
            n=noun,
            h=holder.full,
            o=of.full,
            be=be,
            have="have" if of.is_plural else "has",
            s="" if holder.is_plural else "s",
        )

    def _ask(
        self,
        rng: random.Random,
        concept: Concept,
        given: Phrase,
        kind: str,
        category: str,
        *,
        to_object: bool,
    ) -> str:
        """Ask for the object of a given subject, or the other way round."""
        nouns = concept.object_nouns if to_object else concept.subject_nouns
        if nouns and rng.random() < 0.25:
            who = "Who" if kind == "person" else rng.choice(("What", "What", "Which"))
            return rng.choice(_NOUN_ASKS).format(
                w=who, n=rng.choice(nouns), g=given.short, do=given.do(), be="is"
            )
        active, passive = (
            (concept.forward, concept.backward)
            if to_object
            else (concept.backward, concept.forward)
        )
        if rng.random() < 0.55 or not passive:
            phrase = self._phrases[rng.choice(active)]
            what = _what(rng, kind, category, phrase.tail)
            return phrase.asking_object(what, given, fronted=rng.random() < 0.4)
        phrase = self._phrases[rng.choice(passive)]
        what = "Who" if kind == "person" else _which(rng, category)
        text = phrase.asking_subject(given.short)
        return f"{what} {text}?" if rng.random() < 0.85 else f"{what} is it that {text}?"


def _which(rng: random.Random, category: str) -> str:
    return f"Which {category}" if category not in ("", "person") and rng.random() < 0.45 else "What"


def _what(rng: random.Random, kind: str, category: str, tail: str) -> str:
    """Choose the word that asks for an object of a kind."""
    if tail.split(" ")[-1] in _PREPOSITIONS or rng.random() < 0.3:
        return "Who" if kind == "person" else _which(rng, category)
    return _WHAT.get(kind) or _which(rng, category)


_NOUN_STATEMENTS = (
    "{h} {be} the {n} of {o}.", "The {n} of {o} {be} {h}.", "{o} {have} {h} as {n}.", "{h} serve{s} as the {n} of {o}.",
    "{o}'s {n} {be} {h}.", "As {n}, {o} {have} {h}.", "For {o}, the {n} {be} {h}.", "{h}, the {n} of {o}, {be} well known.",
    "{o} ({n}: {h})", "- {n} of {o}: {h}", "{h} act{s} as the {n} of {o}.", "The {n} that {o} {have} {be} {h}.",
)  # fmt: skip
_NOUN_ASKS = (
    "{w} is the {n} of {g}?", "{w} is {g}'s {n}?", "{w} serves as the {n} of {g}?", "Name the {n} of {g}.", "Which {n} {do} {g} have?",
    "What {do} {g} have as {n}?", "{w} is the {n} for {g}?", "{w} acts as {n} of {g}?", "Tell me the {n} of {g}.",
)  # fmt: skip
