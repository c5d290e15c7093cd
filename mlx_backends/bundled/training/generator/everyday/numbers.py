"""Tools that compute: from two numbers, from one, from none."""

import operator

from mlx_backends.bundled.training import lexicon
from mlx_backends.bundled.training.generator.code_call import asked_as_code
from mlx_backends.bundled.training.generator.everyday.kind import Kind
from mlx_backends.bundled.training.generator.invented_tool import Call
from mlx_backends.bundled.training.generator.parameter import bounds
from mlx_backends.bundled.training.grammar import capitalize, conjugate
from mlx_backends.bundled.training.lexicon import Names


def addition(names: Names) -> Kind:
    """Two numbers and one operation."""
    rng = names.rng
    verb, sign, word, compute = rng.choice(_OPERATIONS)
    first, second = rng.choice((*_PAIRS, (names.word(), names.word())))
    name = rng.choice(_SUM_NAMES).format(v=verb, w=names.word(), p=names.part())
    description = rng.choice(_SUM_DESCRIPTIONS).format(
        V=capitalize(verb), v=verb, t=conjugate(verb).third, a=first, b=second
    )

    def call() -> Call:
        x, y = (rng.choice((rng.randint(0, 12), rng.randint(0, 999))) for _ in range(2))
        arguments, result = {first: x, second: y}, str(compute(x, y))
        question = rng.choice((*_SUM_ASKS, "")).format(
            x=x, y=y, s=sign, w=word, V=capitalize(verb)
        ) or asked_as_code(rng, name, arguments)
        return question, arguments, result, result

    properties = {key: {"type": "integer"} for key in (first, second)}
    return Kind(name, description, properties, call, "compute")


def function_of_one(names: Names) -> Kind:
    """A function of one whole number, whose bounds the schema may give."""
    rng = names.rng
    word = rng.choice((names.word(), rng.choice(lexicon.ADJECTIVES), names.part()))
    name = rng.choice(
        (f"{word}_function", f"{word}_{names.part()}", f"{names.part()}_{word}", f"{word}_value", names.identifier())
    )  # fmt: skip
    key = rng.choice((*_NUMBER_KEYS, names.word(), names.part()))
    description = rng.choice(_FUNCTION_DESCRIPTIONS).format(
        w=word, W=capitalize(word), t=names.thing()
    )
    low, high, marks = bounds(rng)

    def call() -> Call:
        value = rng.randint(max(low, 0), min(high, rng.choice((9, 99, 9999))))
        value = rng.randint(low, max(low, 0)) if rng.random() < 0.1 else value
        result = str(rng.randint(0, 9999))
        question = rng.choice(_FUNCTION_ASKS).format(n=name, v=value, w=word)
        if rng.random() < 0.7:
            question = asked_as_code(rng, name, {key: value})
        return question, {key: value}, result, result

    return Kind(name, description, {key: {**marks, "type": "integer"}}, call, name)


def function_of_none(names: Names) -> Kind:
    """A function without arguments."""
    rng = names.rng
    word, thing = rng.choice((names.word(), rng.choice(lexicon.ADJECTIVES))), names.thing()
    tail = thing.replace(" ", "_")
    name = rng.choice(
        (f"{word}_{tail}", f"get_{word}_{tail}", f"{word}_function_no_arguments", f"current_{tail}", names.identifier())
    )  # fmt: skip
    description = rng.choice(_BARE_DESCRIPTIONS).format(w=word, t=thing)

    def call() -> Call:
        result = rng.choice((names.number, names.quantity, names.word))()
        question = rng.choice(_BARE_ASKS).format(n=name)
        if rng.random() < 0.7:
            question = asked_as_code(rng, name, {})
        return question, {}, result, result

    return Kind(name, description, {}, call, name)


_OPERATIONS = (
    ("add", "+", "plus", operator.add), ("sum", "+", "plus", operator.add), ("subtract", "-", "minus", operator.sub),
    ("multiply", "*", "times", operator.mul), ("multiply", "x", "times", operator.mul), ("add", "+", "and", operator.add),
)  # fmt: skip
_PAIRS = (("a", "b"), ("x", "y"), ("first", "second"), ("left", "right"), ("m", "n"))
_SUM_NAMES = ("{v}", "{v}_numbers", "my_{v}", "{w}_{v}", "{v}_{p}", "{v}er")
_SUM_DESCRIPTIONS = (
    "{V} two integers.", "{V} {a} and {b}.", "Function that {t} two numbers.", "Tool to {v} integers.\n\nTakes {a} and {b}.",
    "{V} two numbers.\n\n    Takes two integers, {a} and {b}, and returns the result.",
)  # fmt: skip
_SUM_ASKS = (
    "What is {x} {s} {y}", "What is {x} {s} {y}?", "{x} {s} {y}", "How much is {x} {w} {y}?", "{V} {x} and {y}.", "Compute {x}{s}{y}.",
    "Please tell me {x} {w} {y}.",
)  # fmt: skip
_NUMBER_KEYS = ("input", "x", "n", "value", "number", "i", "arg")
_FUNCTION_DESCRIPTIONS = (
    "Apply the {w} function to a number.", "Apply a {w} {t} to an input.", "Compute the {w} {t} of a number.", "The {w} value of an integer.",
    "{W} a number.", "Return the {w} {t}.",
)  # fmt: skip
_FUNCTION_ASKS = (
    "Use {n} on {v}.", "Apply the {w} function to {v}.", "I need {n} of {v}.", "{n} for {v}, please", "What do I get from {n} with {v}?",
)  # fmt: skip
_BARE_DESCRIPTIONS = ("Compute a {w} {t}.", "Return the {w} {t}.", "The {w} {t}.", "Get the current {w} {t}.")  # fmt: skip
_BARE_ASKS = ("Use {n}.", "What does {n} say?", "I need the result of {n}.", "Run the tool {n}.")
