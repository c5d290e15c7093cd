"""What pages of documentation are about, in wordings that can stand for each other."""

import random
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from mlx_backends.bundled.training import grammar
from mlx_backends.bundled.training.lexicon import Names

_FOLDER = Path(__file__).parent
_HELD_OUT_SHARE = 28  # of 256
_TOGGLES = (
    ("turn {t} off", "disable {t}", "switch {t} off", "do without {t}", "deactivate {t}", "get rid of {t}"),
    ("turn {t} on", "enable {t}", "switch {t} on", "activate {t}", "use {t}"),
    ("show {t}", "print {t}", "display {t}", "list {t}", "see {t}"),
    ("limit {t}", "cap {t}", "restrict {t}", "set a limit for {t}"),
    ("speed {t} up", "make {t} faster", "accelerate {t}", "improve the speed of {t}"),
    ("change {t}", "set {t}", "choose {t}", "adjust {t}", "use another value for {t}"),
)  # fmt: skip
_TOGGLED = (
    "colours", "the cache", "streaming", "telemetry", "progress bars", "compression", "logging", "retries", "the fast kernels",
    "warnings", "hints", "animations", "the background jobs", "sharing", "the checks", "prefetching", "encryption", "sampling",
)  # fmt: skip
# Verbs of telling that can stand for each other, and what is told.
_TELLING = (
    ("print", "show", "tell", "display", "say"),
    ("find out", "see", "learn", "know"),
)
_TOLD = (
    "which {t} is in use", "which {ts} there are", "how many {ts} are left", "where the {c} is kept", "why the {c} is slow", "why {a} cannot be used", "whether {a} is there",
    "what {a} costs", "how large the {c} is", "which {t} the {c} has", "when {a} was last changed", "who uses the {c}", "how much room {a} takes", "that {s}", "whether {s}",
)  # fmt: skip
_VERBS = {
    "do": ("does", "doing"),
    "be": ("is", "being"),
    "go": ("goes", "going"),
    "undo": ("undoes", "undoing"),
}

Wordings = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Setting:
    """What a setting sets: its unit, its wordings, and questions for its value."""

    unit: str
    wordings: Wordings
    asks: Wordings


@dataclass(frozen=True, slots=True)
class Reason:
    """A statement in several wordings, and reasons that it can have."""

    wordings: Wordings
    reasons: Wordings


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence in several wordings with its answer in brackets, and questions; both have slots."""

    wordings: Wordings
    asks: Wordings


@dataclass(frozen=True, slots=True)
class Subjects:
    """Everything that pages of one side of the split are about."""

    actions: list[Wordings]
    settings: list[Setting]
    conditions: list[Wordings]
    reasons: list[Reason]
    statements: list[Statement]
    outcomes: list[str]


@cache
def subjects(*, held_out: bool) -> Subjects:
    """Read the subjects of one side of the split; outcomes, which only answers say, are shared."""
    return Subjects(
        actions=[_parts(line) for line in _lines("actions.txt", held_out)],
        settings=[_setting(line) for line in _lines("settings.txt", held_out)],
        conditions=[_parts(line) for line in _lines("conditions.txt", held_out)],
        reasons=[_reason(line) for line in _lines("reasons.txt", held_out)],
        statements=[_statement(line) for line in _lines("statements.txt", held_out)],
        outcomes=_read("outcomes.txt"),
    )


def _read(name: str) -> list[str]:
    lines = (_FOLDER / name).read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def _lines(name: str, held_out: bool) -> Iterable[str]:
    return [line for line in _read(name) if _is_held_out(line) == held_out]


def _is_held_out(line: str) -> bool:
    return zlib.crc32(line.split(">")[0].encode()) % 256 < _HELD_OUT_SHARE


def _parts(text: str) -> Wordings:
    return tuple(text.split("|"))


def _setting(line: str) -> Setting:
    head, _, asks = line.partition(">")
    unit, *wordings = _parts(head)
    return Setting(unit, tuple(wordings), _parts(asks) if asks else ())


def _reason(line: str) -> Reason:
    head, _, reasons = line.partition(">")
    return Reason(_parts(head), _parts(reasons))


def _statement(line: str) -> Statement:
    head, _, asks = line.partition(">")
    return Statement(_parts(head), _parts(asks))


def third(action: str) -> str:
    """``never ask back`` -> ``never asks back``."""
    return _conjugated(action, 0, "does not")


def gerund(action: str) -> str:
    """``never ask back`` -> ``never asking back``."""
    return _conjugated(action, 1, "not")


def _conjugated(action: str, form: int, negation: str) -> str:
    first, _, rest = action.partition(" ")
    if first == "not":
        return f"{negation} {rest}" if form == 0 else f"{negation} {gerund(rest)}"
    if first in ("never", "always"):
        return f"{first} {_conjugated(rest, form, negation)}"
    if first in _VERBS:
        verb = _VERBS[first][form]
    else:
        forms = grammar.conjugate(first)
        verb = forms.gerund if form else forms.third
    return f"{verb} {rest}".rstrip()


def composed_action(names: Names) -> Wordings:
    """Make an action of a verb and an object, in as many wordings as the verb has synonyms."""
    rng = names.rng
    if rng.random() < 0.15:
        part = rng.choice(_TOLD).format(
            t=grammar.thing_name(names), ts=grammar.plural(names.thing()), c=grammar.component_name(names),
            a=grammar.indefinite(names.thing()), s=grammar.make_clause(names).text,
        )  # fmt: skip
        return tuple(f"{verb} {part}" for verb in rng.choice(_TELLING))
    if rng.random() < 0.2:
        listed = rng.random() < 0.4
        toggled = rng.choice(_TOGGLED) if listed else f"the {grammar.thing_name(names)}"
        return tuple(form.format(t=toggled) for form in rng.choice(_TOGGLES))
    thing = grammar.object_phrase(names)
    return tuple(f"{verb.base} {thing.short}" for verb in grammar.verb_group(names))


def question_of(clause: str) -> str | None:
    """``the cache is off`` -> ``is the cache off``; None where that takes more than a word order."""
    words = clause.split()
    place = next((i for i, word in enumerate(words) if word in _MOVABLE), 0)
    if not 1 <= place <= 4:
        return None
    return " ".join([words[place], *words[:place], *words[place + 1 :]])


_MOVABLE = frozenset("is are was were can cannot may must will does do".split())


def pair(rng: random.Random, wordings: Wordings, *, other: float) -> tuple[str, str]:
    """Choose the wording of the page and that of the question."""
    stated = rng.choice(wordings)
    if len(wordings) > 1 and rng.random() < other:
        return stated, rng.choice([item for item in wordings if item != stated])
    return stated, stated
