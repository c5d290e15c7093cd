"""Families for evaluation alone: training never sees their patterns."""

from mlx_backends.bundled.training.families import slots
from mlx_backends.bundled.training.families.concepts import HELD_OUT_CONCEPTS
from mlx_backends.bundled.training.families.family import Family
from mlx_backends.bundled.training.families.relations import Relations
from mlx_backends.bundled.training.lexicon import Names

HELD_OUT: list[Family] = [
    Family(
        "inherits",
        {
            "c": slots.CLASS,
            "p": slots.CLASS,
        },
        ["{c} inherits from {p}.", "It is {p} that {c} inherits from."],
        {
            "p": ["From which class does {c} inherit?", "What does {c} inherit from?"],
            "c": ["Which class inherits from {p}?"],
        },
        ("c", "p"),
    ),
    Family(
        "base_class",
        {
            "c": slots.CLASS,
            "p": slots.CLASS,
        },
        ["{p} is the base class of {c}.", "As base class, {c} has {p}."],
        {"p": ["What is the base class of {c}?", "Which base class does {c} have?"]},
        ("c", "p"),
    ),
    Family(
        "belongs",
        {"o": slots.the_thing, "e": Names.name},
        ["{o} belongs to {e}.", "To {e} belongs {o}."],
        {
            "e": ["To whom does {o} belong?", "Who does {o} belong to?"],
            "o": ["What belongs to {e}?"],
        },
        ("o", "e"),
    ),
    Family(
        "listens",
        {"e": slots.component, "v": lambda names: f"port {names.rng.randint(20, 65000)}"},
        ["{e} listens on {v}.", "On {v} listens {e}."],
        {
            "v": ["On which port does {e} listen?", "Which port does {e} listen on?"],
            "e": ["What listens on {v}?"],
        },
        ("e", "v"),
    ),
    Family(
        "old_name",
        {
            "a": slots.IDENTIFIER,
            "b": slots.IDENTIFIER,
        },
        ["The old name of {a} is {b}.", "{b} is the old name of {a}."],
        {"b": ["What is the old name of {a}?", "Which old name does {a} have?"]},
        ("a", "b"),
    ),
    Family(
        "scores",
        {
            "e": Names.name,
            "v": lambda names: f"{names.rng.randint(10, 99)}.{names.rng.randint(0, 9)} points",
            "t": Names.name,
        },
        ["{e} scores {v} on {t}.", "On {t}, {e} scores {v}."],
        {"v": ["What does {e} score on {t}?", "How much does {e} score on {t}?"]},
        ("e", "t"),
    ),
    Family(
        "turns",
        {
            "e": slots.component,
            "a": slots.plain_things,
            "b": slots.things,
        },
        ["{e} turns {a} into {b}.", "Into {b}, {e} turns {a}."],
        {"b": ["Into what does {e} turn {a}?", "What does {e} turn {a} into?"]},
        ("e", "a"),
    ),
    Family(
        "warranty",
        {"e": Names.name, "v": Names.quantity},
        [
            "A repair of {e} takes {v}.",
            "It takes {v} to repair {e}.",
            "To repair {e}, it takes {v}.",
        ],
        {"v": ["How long does a repair of {e} take?", "How long does it take to repair {e}?"]},
        ("e",),
    ),
]

# The question uses other words than the statement: knowledge of English that training does not give.
HELD_OUT_REWORDED: list[Family] = [
    Family(
        "parent",
        {"c": slots.CLASS, "p": slots.CLASS},
        ["{c} is a subclass of {p}.", "{p} is the parent of {c}."],
        {"p": ["Which class does {c} specialise?", "From what does {c} derive?"]},
        ("c",),
    ),
    Family(
        "property",
        {"o": slots.the_thing, "e": Names.name},
        ["{o} is the property of {e}.", "{e} is in possession of {o}."],
        {"e": ["To whom does {o} belong?", "Whose is {o}?"]},
        ("o", "e"),
    ),
    Family(
        "called",
        {"a": slots.IDENTIFIER, "b": slots.IDENTIFIER},
        ["{a} was once called {b}.", "{b} got the new name {a}."],
        {"b": ["What is the former name of {a}?"]},
        ("a", "b"),
    ),
    Family(
        "becomes",
        {"e": slots.component, "a": slots.plain_things, "b": slots.things},
        ["{a} go into {e} and come out as {b}.", "Out of {a}, {e} makes {b}."],
        {"b": ["Into what does {e} turn {a}?", "What do {a} become in {e}?"]},
        ("e", "a"),
    ),
]

# Relations in many words, of which a statement takes one and a question another.
HELD_OUT_RELATIONS = [Relations("held-out relation", HELD_OUT_CONCEPTS, weight=1.0)]
