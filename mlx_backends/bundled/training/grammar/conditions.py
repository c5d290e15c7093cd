"""Faulty inputs, each said in several ways."""

from mlx_backends.bundled.training import lexicon
from mlx_backends.bundled.training.grammar.phrases import thing_name
from mlx_backends.bundled.training.grammar.words import indefinite
from mlx_backends.bundled.training.lexicon import Names

# Two or three ways to say the same condition; a statement takes one and a question another.
_CONDITIONS = [
    ("{a} {c} that is longer than the {d}", "{a} {c} that is too long", "{a} {c} too long for the {d}"),
    ("{a} {c} larger than the {d}", "{a} {c} that is too large", "too large {a} {c}", "{a} {c} beyond the {d}"),
    ("an invalid {c}", "{a} {c} that is not valid", "a bad {c}"),
    ("{a} {c} that was never opened", "an unopened {c}"),
    ("{a} {c} that is longer than the {d}", "{a} {c} longer than the {d}", "{a} {c} over the {d}", "{a} {c} which is too long for the {d}"),
    ("{a} {c} that is larger than the {d}", "{a} {c} larger than the {d}", "{a} {c} above the {d}"),
    ("{a} {c} without {b}", "{a} {c} that has no {e}", "{a} {c} with no {e}"),
    ("{a} {c} that does not fit the {d}", "{a} {c} too large for the {d}", "{a} {c} that exceeds the {d}"),
    ("an unknown {c}", "{a} {c} that is not known", "{a} {c} that nobody knows"),
    ("a missing {c}", "{a} {c} that does not exist", "{a} {c} that cannot be found"),
    ("an empty {c}", "{a} {c} with nothing in it", "{a} {c} that is empty"),
    ("a malformed {c}", "{a} {c} that cannot be parsed", "a broken {c}"),
    ("{a} {c} outside the {d}", "{a} {c} that is outside the {d}", "{a} {c} that leaves the {d}"),
    ("an unsupported {c}", "{a} {c} that is not supported", "{a} {c} it does not support"),
    ("a second {c}", "another {c}", "one more {c}"),
    ("{a} {c} that is already closed", "a closed {c}", "{a} {c} after it was closed"),
    ("a duplicate {c}", "{a} {c} that occurs twice", "a repeated {c}"),
    ("{a} {c} that takes longer than the {d}", "{a} {c} that outlasts the {d}", "{a} {c} slower than the {d}"),
    ("the wrong type of {c}", "{a} {c} of the wrong type", "{a} {c} with a wrong type"),
    ("a negative {c}", "{a} {c} below zero", "{a} {c} less than zero"),
]  # fmt: skip


def condition_forms(names: Names) -> list[str]:
    """Say one faulty input in several ways: ``a prompt over the context window``, ..."""
    rng = names.rng
    noun = thing_name(names) if rng.random() < 0.5 else names.thing()
    limit = rng.choice(
        (
            "context window",
            "limit",
            "budget",
            "maximum",
            "memory",
            "queue",
            "quota",
            "deadline",
            "allowed range",
        )
        if rng.random() < 0.6
        else lexicon.ATTRIBUTES
    )
    part = names.thing()
    slots = {
        "a": indefinite(noun)[:2].strip(),
        "c": noun,
        "d": limit,
        "b": indefinite(part),
        "e": part,
    }
    return [form.format(**slots) for form in rng.choice(_CONDITIONS)]


def as_clause(form: str) -> str | None:
    """Turn a faulty input into a clause: ``a prompt that is too long`` -> ``a prompt is too long``."""
    head, separator, tail = form.partition(" that ")
    return f"{head} {tail}" if separator and not tail.startswith("nobody") else None
