"""Tables, lists and code of real arguments, options, errors and functions, as packages describe them."""

import random
import re

from mlx_backends.bundled.training import grammar
from mlx_backends.bundled.training.generator.corpus import Corpus
from mlx_backends.bundled.training.generator.documentation import wordings
from mlx_backends.bundled.training.generator.documentation.frames import FRAMES
from mlx_backends.bundled.training.generator.documentation.markdown import (
    fenced,
    table,
    table_row,
    title,
)
from mlx_backends.bundled.training.generator.documentation.project import KINDS
from mlx_backends.bundled.training.generator.documentation.writer import Ask, Section
from mlx_backends.bundled.training.prose import Entry, Reference
from mlx_backends.bundled.training.prose.rules import without_tail
from mlx_backends.bundled.training.prose.sentences import BY_THIRD, VERBS

# Longer descriptions are asked for by name alone.
_LONGEST_ANSWER = 13
_LEAST_ASKED = 2


class References:
    """Draws entries of one function or module at a time.

    Args:
        rng: Of all choices.
        corpus: Holds the references.
        held_out: Use the frames of evaluation.
    """

    def __init__(self, rng: random.Random, corpus: Corpus, *, held_out: bool) -> None:
        self.rng = rng
        self._references = corpus.references
        self._held_out = held_out

    def section(self) -> Section:
        """Write one reference; empty if the corpus has none."""
        if not self._references:
            return Section()
        rng = self.rng
        reference = rng.choice(self._references)
        entries = _run(rng, reference.entries)
        lines, body = self._written(reference.kind, entries)
        asks = [
            ask
            for entry, line in zip(entries, lines, strict=True)
            for ask in self._asks(reference, entries, entry, " ".join(line.split()))
        ]
        lead = rng.choice(_LEADS[reference.kind]).format(o=reference.owner)
        return Section([lead, body] if reference.owner and rng.random() < 0.4 else [body], asks)

    def _written(self, kind: str, entries: list[Entry]) -> tuple[list[str], str]:
        """Lines of the entries, and the block that they make."""
        rng = self.rng
        has_default = any(entry.default for entry in entries) and rng.random() < 0.85
        is_sentence = rng.random() < 0.5
        if rng.random() < 0.6:
            order = rng.choice(((0, 1, 2), (0, 2, 1))) if has_default else (0, 1)
            heads = [kind, rng.choice(_HEADS), rng.choice(("default", "default", "default value"))]
            none = rng.choice(("", "-", "none"))
            cells = [(f"`{e.name}`", e.meaning, _value(rng, e) or none) for e in entries]
            lines = [table_row([row[i] for i in order]) for row in cells]
            return lines, table(rng, [table_row([title(rng, heads[i]) for i in order]), *lines])
        if has_default and kind in ("argument", "option") and rng.random() < 0.25:
            marks = rng.choice((" = ", "=", ": "))
            lines = [f"{e.name}{marks}{e.default or '...'}  # {e.meaning}" for e in entries]
            return lines, fenced(rng, lines, rng.choice(("python", "yaml", "toml")))
        form = rng.choice(_FORMS)
        lines = []
        for entry in entries:
            stop = "." if is_sentence else ""
            line = form.format(c=f"`{entry.name}`", m=entry.meaning) + stop
            if has_default and entry.default:
                value = _value(rng, entry)
                line = rng.choice(
                    (
                        f"{line.rstrip('.')} (default {value}){stop}",
                        f"{line.rstrip('.')}. Default: {value}{stop}",
                        f"{line.rstrip('.')}; {value} by default{stop}",
                    )
                )
            lines.append(line)
        return lines, "\n".join(lines)

    def _asks(
        self, reference: Reference, entries: list[Entry], entry: Entry, line: str
    ) -> list[Ask]:
        """Ask for what an entry does, for its name, and for its default."""
        rng, kind = self.rng, reference.kind
        code = next((form for form in (f"`{entry.name}`", entry.name) if form in line), None)
        if code is None:
            return []
        asks = []
        if len(entry.meaning.split()) <= _LONGEST_ANSWER:
            asks += self._of_meaning(kind, code, entry.meaning, line)
        for purpose, slots in self._wordings(kind, entries, entry):
            asks.append(self._ask(purpose, code, line, k=rng.choice(KINDS[kind]), **slots))
        value = next((form for form in (f"`{entry.default}`", entry.default) if form in line), "")
        if entry.default and value and line.count(entry.default) == 1:
            noun = _noun(entry.meaning)
            how = (
                f"What is {_shortened(rng, noun)}"
                if noun and rng.random() < 0.6
                else f"What is the value of {code}"
            )
            asks.append(self._ask("default", value, line, c=code, h=how))
        return rng.sample(asks, min(_LEAST_ASKED, len(asks)))

    def _of_meaning(self, kind: str, code: str, meaning: str, line: str) -> list[Ask]:
        condition = _condition(meaning)
        if kind == "error":
            if condition:
                return [self._ask("when", condition, line, c=code)]
            return [self._ask("meaning", meaning, line, c=code, k="error")]
        purpose = (
            self.rng.choice(("meaning", "set_by")) if kind in ("argument", "option") else "meaning"
        )
        return [self._ask(purpose, meaning, line, c=code, k=self.rng.choice(KINDS[kind]))]

    def _wordings(
        self, kind: str, entries: list[Entry], entry: Entry
    ) -> list[tuple[str, dict[str, str]]]:
        """How to ask for the name: as an action, a thing or a condition; none if that fits others."""
        rng, meaning = self.rng, entry.meaning
        action, noun, condition = _action(meaning), _noun(meaning), _condition(meaning)
        whole = condition or action or noun
        if not whole:
            return []
        asked = _shortened(rng, whole)
        others = " ".join(e.meaning.lower() for e in entries if e is not entry)
        content = asked.lower().removeprefix("the ")
        if content in others or len(content) < 10:
            return []
        if condition:
            return [("error", {"s": asked})]
        if action:
            return [
                ("name", {"w": asked, "w3": wordings.third(asked), "wg": wordings.gerund(asked)})
            ]
        if kind in ("argument", "option"):
            return [("sets", {"n": asked})]
        return [("role", {"r": asked.removeprefix("the ")})]

    def _ask(self, purpose: str, answer: str, line: str, **slots: str) -> Ask:
        frames = FRAMES[purpose][self._held_out]
        question = self.rng.choice(frames)(self.rng, {"p": "it", "v": "use", **slots})
        return Ask(grammar.capitalize(question), answer, line)


def _run(rng: random.Random, entries: list[Entry]) -> list[Entry]:
    count = rng.randint(2, 8)
    start = rng.randrange(max(1, len(entries) - count + 1))
    return entries[start : start + count]


def _value(rng: random.Random, entry: Entry) -> str:
    return f"`{entry.default}`" if entry.default and rng.random() < 0.6 else entry.default


def _shortened(rng: random.Random, text: str) -> str:
    return without_tail(text) if rng.random() < 0.45 else text


def _action(meaning: str) -> str:
    """``Whether to print the sum`` -> ``print the sum``; empty if it says no action."""
    text = _WHETHER.sub("", meaning)
    first, _, rest = text.partition(" ")
    if (
        first.lower() in VERBS
        and not rest.startswith(("of ", "for ", "to "))
        and (first[0].isupper() or text != meaning)
    ):
        return f"{first.lower()} {rest}"
    verb = BY_THIRD.get(first.lower())
    return f"{verb.base} {rest}" if verb and not rest.startswith(("of ", "for ", "to ")) else ""


def _noun(meaning: str) -> str:
    """``Number of rows`` -> ``the number of rows``; empty if it names no thing."""
    first, _, rest = meaning.partition(" ")
    if first.lower() in ("the", "a", "an"):
        return f"the {rest}"
    is_noun = (
        rest.startswith(("of ", "for ", "to "))
        and first.isalpha()
        and first.lower() not in _NO_NOUNS
    )
    return f"the {grammar.uncapitalize(meaning)}" if is_noun else ""


def _condition(meaning: str) -> str:
    found = _RAISED.match(meaning)
    return found[1] if found else ""


_WHETHER = re.compile(r"^(?:(?:Whether|whether)(?: or not)? to|(?:If|if) (?:`?[Tt]rue`?|set),?) ")
_RAISED = re.compile(
    r"^(?:(?:Exception|Error|Warning)(?: that is)? )?(?:[Rr]aised?|[Tt]hrown|[Ii]ssued) (?:when|if) (.+)$"
)
_NO_NOUNS = frozenset(
    "whether if when same true false one all any used similar only see as in on by for to".split()
)
_HEADS = ("meaning", "what it does", "description", "use", "effect", "does", "purpose")
_FORMS = (
    "- {c}: {m}",
    "- {c} - {m}",
    "- **{c}**: {m}",
    "* {c}: {m}",
    "{c}\n: {m}",
    "- {c} {m}",
    "{c}: {m}",
)
_LEADS = {
    "argument": ("`{o}` takes these arguments:", "Arguments of `{o}`:", "### `{o}`", "### {o}", "What `{o}` takes:"),
    "option": ("Options:",),
    "error": ("Errors:",),
    "class": ("Classes:",),
    "function": ("Methods of `{o}`:", "### `{o}`", "### {o}", "A `{o}` has these methods:"),
}  # fmt: skip
