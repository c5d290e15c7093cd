"""Tools as people write them for a first try: sums, functions of a number, look-ups, texts to order."""

import json
import operator
from collections.abc import Callable
from typing import Any

from mlx_backends.bundled.training import grammar, lexicon
from mlx_backends.bundled.training.generator.code_call import asked_as_code
from mlx_backends.bundled.training.generator.invented_tool import Call
from mlx_backends.bundled.training.generator.parameter import bounds, foreign_text
from mlx_backends.bundled.training.grammar import capitalize
from mlx_backends.bundled.training.lexicon import Names


class EverydayTool:
    """One of a few well-known kinds of tools, with invented names.

    Attributes:
        name: Its name in the schema.
        purpose: What no other tool of a conversation may share.
        schema: In OpenAI's form.
    """

    def __init__(self, names: Names) -> None:
        self.names, self.rng = names, names.rng
        kind = self.rng.choice((self._sum, self._number, self._number, self._bare, self._place, self._customer, self._text))  # fmt: skip
        self.name, description, properties, self._make, required = kind()
        self.purpose = self._purpose(kind.__name__)
        description = self._documented(description, properties)
        self.schema = _schema(self.name, description, properties, required)

    def call(self) -> Call:
        """Make a request that needs this tool."""
        return self._make()

    def _documented(self, description: str, properties: dict[str, Any]) -> str:
        """Write the description as a framework takes it from a function: signature, docstring."""
        rng = self.rng
        draw = rng.random()
        types = {"integer": "int", "string": "str"}
        if draw < 0.12:
            parts = [
                f"{key}: {types.get(kind.get('type'), 'str')}" for key, kind in properties.items()
            ]
            return f"{self.name}({', '.join(parts)}) -> {rng.choice(('str', 'int'))}\n{description}"
        if draw < 0.24 and properties:
            lines = [
                f"        {key}: {rng.choice(('The', 'A'))} {key.replace('_', ' ')}."
                for key in properties
            ]
            returns = rng.choice(("", f"\n\n    Returns:\n        The {self.names.thing()}."))
            return "\n".join([f"{description}\n\n    Args:", *lines]) + returns
        return description

    def _purpose(self, kind: str) -> tuple[str, ...]:
        """Sums, records and texts are asked for without the tool's name, so one of each will do."""
        return (
            (kind,)
            if kind in ("_sum", "_customer", "_text")
            else (kind, self.name.split("_", 1)[-1])
        )

    def _sum(self) -> "_Kind":
        """Two numbers and one of the four operations."""
        rng, names = self.rng, self.names
        verb, sign, word, compute = rng.choice(_OPERATIONS)
        first, second = rng.choice(
            (
                ("a", "b"),
                ("x", "y"),
                ("first", "second"),
                ("left", "right"),
                ("m", "n"),
                (names.word(), names.word()),
            )
        )
        name = rng.choice(
            (
                verb,
                f"{verb}_numbers",
                f"my_{verb}",
                f"{names.word()}_{verb}",
                f"{verb}_{names.part()}",
                f"{verb}er",
            )
        )
        description = rng.choice(
            ("{V} two integers.", "{V} {a} and {b}.", "Function that {t} two numbers.", "Tool to {v} integers.\n\nTakes {a} and {b}.", "{V} two numbers.\n\n    Takes two integers, {a} and {b}, and returns the result.")
        ).format(V=capitalize(verb), v=verb, t=grammar.conjugate(verb).third, a=first, b=second)  # fmt: skip
        properties = {key: {"type": "integer"} for key in (first, second)}

        def make() -> Call:
            x, y = (rng.choice((rng.randint(0, 12), rng.randint(0, 999))) for _ in range(2))
            result = str(compute(x, y))
            arguments = {first: x, second: y}
            question = rng.choice(
                (f"What is {x} {sign} {y}", f"What is {x} {sign} {y}?", f"{x} {sign} {y}", f"How much is {x} {word} {y}?", f"{capitalize(verb)} {x} and {y}.", f"Compute {x}{sign}{y}.",
                 f"Please tell me {x} {word} {y}.", asked_as_code(rng, name, arguments))
            )  # fmt: skip
            return question, arguments, result, result

        return name, description, properties, make, [first, second]

    def _number(self) -> "_Kind":
        """A function of one number."""
        rng, names = self.rng, self.names
        word = rng.choice((names.word(), rng.choice(lexicon.ADJECTIVES), names.part()))
        name = rng.choice(
            (
                f"{word}_function",
                f"{word}_{names.part()}",
                f"{names.part()}_{word}",
                f"{word}_value",
                names.identifier(),
            )
        )
        key = rng.choice(
            ("input", "x", "n", "value", "number", "i", "arg", names.word(), names.part())
        )
        description = rng.choice(
            ("Apply the {w} function to a number.", "Apply a {w} {t} to an input.", "Compute the {w} {t} of a number.", "The {w} value of an integer.", "{W} a number.", "Return the {w} {t}.")
        ).format(w=word, W=capitalize(word), t=names.thing())  # fmt: skip
        low, high, marks = bounds(rng)

        def make() -> Call:
            value = (
                rng.randint(max(low, 0), min(high, rng.choice((9, 99, 9999))))
                if rng.random() < 0.9
                else rng.randint(low, max(low, 0))
            )
            result = str(rng.randint(0, 9999))
            question = asked_as_code(rng, name, {key: value})
            if rng.random() < 0.3:
                question = rng.choice(
                    (
                        f"Use {name} on {value}.",
                        f"Apply the {word} function to {value}.",
                        f"I need {name} of {value}.",
                        f"{name} for {value}, please",
                        f"What do I get from {name} with {value}?",
                    )
                )
            return question, {key: value}, result, result

        return name, description, {key: {**marks, "type": "integer"}}, make, [key]

    def _bare(self) -> "_Kind":
        """A function without arguments."""
        rng, names = self.rng, self.names
        word = rng.choice((names.word(), rng.choice(lexicon.ADJECTIVES)))
        thing = names.thing().replace(" ", "_")
        name = rng.choice(
            (
                f"{word}_{thing}",
                f"get_{word}_{thing}",
                f"{word}_function_no_arguments",
                f"current_{thing}",
                names.identifier(),
            )
        )
        description = rng.choice(
            (
                "Compute a {w} {t}.",
                "Return the {w} {t}.",
                "The {w} {t}.",
                "Get the current {w} {t}.",
            )
        ).format(w=word, t=names.thing())

        def make() -> Call:
            result = rng.choice((names.number, names.quantity, names.word))()
            question = asked_as_code(rng, name, {})
            if rng.random() < 0.3:
                question = rng.choice(
                    (
                        f"Use {name}.",
                        f"What does {name} say?",
                        f"I need the result of {name}.",
                        f"Run the tool {name}.",
                    )
                )
            return question, {}, result, result

        return name, description, {}, make, []

    def _place(self) -> "_Kind":
        """Something about a place or a person."""
        rng, names = self.rng, self.names
        what = rng.choice(
            (
                "weather",
                "temperature",
                "population",
                "time",
                "traffic",
                "air quality",
                "tide",
                "news",
                "forecast",
                "altitude",
                "exchange rate",
                names.thing(),
            )
        )
        key = rng.choice(("location", "city", "place", "town", "name", "where", "address"))
        name = f"{rng.choice(('get', 'fetch', 'find', 'show', 'current'))}_{what.replace(' ', '_')}"
        description = rng.choice(
            (
                "Get the {w} at a {k}.",
                "{W} of a {k}.",
                "Find out the {w} for a given {k}.",
                "The {w} right now.",
            )
        ).format(w=what, W=capitalize(what), k=key)

        def make() -> Call:
            place = rng.choice(
                (
                    names.name,
                    names.word_capital,
                    lambda: f"{names.word_capital()} {names.word_capital()}",
                )
            )()
            if rng.random() < 0.5:
                place += rng.choice((f", {names.code()[:2].upper()}", f", {names.word_capital()}"))
            result = rng.choice(
                (
                    names.quantity(),
                    f"It is {rng.choice(lexicon.ADJECTIVES)}.",
                    rng.choice(lexicon.ADJECTIVES),
                )
            )
            question = rng.choice(
                (
                    f"What is the {what} in {place}?",
                    f"What's the {what} in {place}?",
                    f"How is the {what} in {place}?",
                    f"{what} {place}",
                    f"Tell me the {what} for {place}.",
                    f"Is the {what} good in {place}?",
                )
            )
            return capitalize(question), {key: place}, result, result

        return name, description, {key: {"type": "string"}}, make, [key]

    def _customer(self) -> "_Kind":
        """A record with a name in any script and a description."""
        rng, names = self.rng, self.names
        what = rng.choice(
            (
                "customer",
                "user",
                "product",
                "company",
                "contact",
                "project",
                "shop",
                "book",
                "member",
                names.thing(),
            )
        )
        keys = [
            f"{what.replace(' ', '_')}_name" if rng.random() < 0.5 else "name",
            rng.choice(("description", "notes", "text", "kind", "about")),
        ]
        name = rng.choice(("{v}_{w}", "{v}_{w}", "{w}_{v}", "{x}_{w}")).format(
            v=rng.choice(("create", "add", "register", "new")),
            w=what.replace(" ", "_"),
            x=names.word(),
        )
        description = rng.choice(
            (
                "Create a {w}.",
                "Tool to add a {w}.\n\nArgs:\n    {k}: The name in its own language.\n    {d}: What it is.",
                "Add a new {w} with a name.",
            )
        ).format(w=what, k=keys[0], d=keys[1])

        def make() -> Call:
            called = foreign_text(rng) if rng.random() < 0.75 else names.name()
            about = f"{rng.choice(('a', 'the', 'a'))} {rng.choice((*lexicon.ADJECTIVES, names.word_capital()))} {names.thing()} {rng.choice(('maker', 'company', 'shop', 'service', ''))}".strip()
            opening, closing = rng.choice(
                (("'", "'"), ("'", "'"), ('"', '"'), ("「", "」"), ("", ""))
            )
            gloss = rng.choice(("", "", f" ({names.word_capital()} {names.word_capital()})"))
            verb = rng.choice(("Create", "Add", "Register", "Make", "Please create"))
            question = f"{verb} a {what} {rng.choice(('named', 'called', 'with the name'))} {opening}{called}{closing}{gloss}"
            if rng.random() < 0.12:  # what is not said stays empty
                return f"{question}.", {keys[0]: called, keys[1]: ""}, "done", "done"
            question += (
                f"{rng.choice((' - ', ': ', ', ', ' as '))}{about}{rng.choice(('', '', '.'))}"
            )
            return question, {keys[0]: called, keys[1]: about}, "done", "done"

        return name, description, {key: {"type": "string"} for key in keys}, make, keys

    def _text(self) -> "_Kind":
        """A text to order, in named parts."""
        rng, names = self.rng, self.names
        what = rng.choice(_TEXTS)
        keys = rng.sample(_PARTS, rng.choice((1, 2, 2, 2, 3)))
        optional = keys[-1] if len(keys) > 1 and rng.random() < 0.3 else None
        properties: dict[str, Any] = {}
        for key in keys:
            kind: dict[str, Any] = {"type": "string"}
            if key == optional:
                kind = {"anyOf": [kind, {"type": "null"}], "default": None}
            properties[key] = kind | (
                {"description": f"{key} of the {what}"} if rng.random() < 0.6 else {}
            )
        name = rng.choice(
            (capitalize(what), what, f"{what}_{names.part()}", f"Write{capitalize(what)}")
        )
        description = rng.choice(
            (
                "{W} to tell the user.",
                "A {w} to show.",
                "{W} for the reader.",
                "Write a {w}.",
                "Make a {w} in a certain {k}.",
            )
        ).format(w=what, W=capitalize(what), k=keys[0])

        def make() -> Call:
            topic = rng.choice((grammar.plural(names.thing()), names.word(), rng.choice(_TOPICS)))
            lead = rng.choice(
                (
                    "Tell me a {w} about {t}.",
                    "Give me a {w} about {t}.",
                    "Write a {w} on {t}.",
                    "Make a {t} {w}.",
                    "I want a {w} about {t}.",
                    "Using the tool, make a {t} {w}.",
                    "A {w} about {t}, please.",
                )
            )
            arguments = {
                key: written(key, topic) for key in keys if key != optional or rng.random() < 0.7
            }
            return lead.format(w=what, t=topic), arguments, "done", "done"

        return name, description, properties, make, [key for key in keys if key != optional]


_Kind = tuple[str, str, dict[str, Any], Callable[[], Call], list[str]]


def written(part: str, topic: str) -> str:
    """The text that stands for a part: short, and about the topic."""
    return f"A {part} about {topic}"


def _schema(
    name: str, description: str, properties: dict[str, Any], required: list[str]
) -> dict[str, Any]:
    """As frameworks write it; without arguments there is nothing to require."""
    parameters: dict[str, Any] = {"properties": properties, "type": "object"}
    if required:
        parameters = {"properties": properties, "required": required, "type": "object"}
    function = {"name": name, "description": description, "parameters": parameters}
    return json.loads(json.dumps({"type": "function", "function": function}))


_OPERATIONS = (
    ("add", "+", "plus", operator.add), ("sum", "+", "plus", operator.add), ("subtract", "-", "minus", operator.sub), ("multiply", "*", "times", operator.mul),
    ("multiply", "x", "times", operator.mul), ("add", "+", "and", operator.add),
)  # fmt: skip
_TEXTS = (
    "poem",
    "story",
    "riddle",
    "greeting",
    "slogan",
    "limerick",
    "quote",
    "tale",
    "toast",
    "letter",
    "proverb",
    "anecdote",
    "song",
    "speech",
)
_PARTS = [
    "title",
    "text",
    "style",
    "first_line",
    "ending",
    "rhyme",
    "opening",
    "moral",
    "answer",
    "question",
    "tone",
    "chorus",
    "hint",
]
_TOPICS = (
    "dogs",
    "birds",
    "pirates",
    "rain",
    "bread",
    "trains",
    "the moon",
    "winter",
    "teachers",
    "bicycles",
    "coffee",
    "robots",
    "gardens",
    "fish",
)
