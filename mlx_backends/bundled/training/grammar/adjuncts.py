"""Adjuncts of a sentence: when, how often, where, how and why."""

from collections.abc import Callable

from mlx_backends.bundled.training import lexicon
from mlx_backends.bundled.training.grammar.phrases import (
    code_phrase,
    component_name,
    object_phrase,
    thing_name,
)
from mlx_backends.bundled.training.grammar.verbs import VERB_GROUPS
from mlx_backends.bundled.training.grammar.words import indefinite, plural
from mlx_backends.bundled.training.lexicon import Names

_EVENTS = [
    ("at first use", "when it is first used", "on the first use"),
    ("at start-up", "when the {c} starts", "during start-up"),
    ("at import", "at import time", "when the module is imported"),
    ("at the end of each {t}", "when {at} ends", "after each {t}"),
    ("before the first {t}", "ahead of the first {t}"),
    ("when the {c} is full", "as soon as the {c} is full"),
    ("when the {c} closes", "on closing the {c}"),
    ("after {n} {u}", "when {n} {u} have passed"),
    ("once the {t} is ready", "when the {t} is ready"),
    ("when no {ts} are left", "if no {t} is left"),
    ("only when {at} is requested", "only on request"),
    ("while the {c} is running", "during the run of the {c}"),
    ("as soon as the {t} arrives", "when the {t} arrives"),
    ("at shutdown", "when the {c} stops"),
    ("before the {c} starts", "ahead of the start of the {c}"),
    ("after the last {t}", "when the last {t} is done"),
    ("whenever {at} changes", "on every change of {at}"),
    ("on the first call", "at the first call"),
    ("when the {c} runs out of memory", "if the {c} runs out of memory"),
    ("if the {t} is missing", "when there is no {t}"),
    ("when {at} fails", "if {at} fails"),
    ("during the night", "at night"),
    ("in the second step", "as the second step"),
]


def event_forms(names: Names) -> list[str]:
    """Say one moment in several ways, each starting with its preposition."""
    rng = names.rng
    component, thing = component_name(names), names.thing()
    slots = {
        "c": component,
        "t": thing,
        "at": indefinite(thing),
        "ts": plural(thing),
        "n": str(rng.choice((2, 3, 4, 5, 8, 10, 16, 20, 30, 50, 60, 100, 500))),
        "u": rng.choice(lexicon.TIME_UNITS),
    }
    return [form.format(**slots) for form in rng.choice(_EVENTS)]


def frequency(names: Names) -> str:
    rng = names.rng
    draw = rng.random()
    if draw < 0.5:
        return f"every {rng.choice((2, 3, 5, 10, 15, 20, 30, 60, 100))} {rng.choice(lexicon.TIME_UNITS)}"
    return (
        f"once per {names.thing()}"
        if draw < 0.8
        else f"once a {rng.choice(('day', 'week', 'month'))}"
    )


def place(names: Names) -> str:
    """Name a place, starting with its preposition."""
    rng = names.rng
    draw = rng.random()
    if draw < 0.22:
        return f"on the {component_name(names)}"
    if draw < 0.44:
        return f"in the {component_name(names)}"
    if draw < 0.6:
        return f"in `{names.file_path()}`"
    if draw < 0.68:
        return f"under `{names.file_path().rsplit('.', 1)[0]}/`"
    if draw < 0.78:
        modifier = rng.choice(("engine", "main", "worker", "background", "calling", "reader"))
        return f"on the {modifier} thread"
    if draw < 0.88:
        return f"on {rng.choice(lexicon.PLATFORMS)}"
    return f"in {names.name()}"


def manner(names: Names) -> str:
    """Name a means, starting with its preposition."""
    rng = names.rng
    draw = rng.random()
    if draw < 0.3:
        verb = rng.choice(rng.choice(VERB_GROUPS))
        return f"by {verb.gerund} {object_phrase(names).full}"
    if draw < 0.5:
        return f"with {code_phrase(names).full}"
    if draw < 0.7:
        return f"with {indefinite(thing_name(names))}"
    if draw < 0.85:
        return f"through the {component_name(names)}"
    return f"using {plural(thing_name(names))}"


def purpose(names: Names) -> str:
    verb = names.rng.choice(names.rng.choice(VERB_GROUPS))
    return f"to {verb.base} {object_phrase(names).full}"


ADJUNCTS: dict[str, Callable[[Names], str]] = {
    "when": lambda names: names.rng.choice(event_forms(names)),
    "often": frequency,
    "where": place,
    "how": manner,
    "why": purpose,
}
