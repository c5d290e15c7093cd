"""A typed parameter of an invented tool, and how a request says its value."""

import random
from typing import Any

from mlx_backends.bundled.training import grammar, lexicon
from mlx_backends.bundled.training.lexicon import Names

_TYPES = ("string", "string", "string", "integer", "integer", "number", "boolean", "enum", "array")
_ACCENTS = str.maketrans(
    {"a": "á", "e": "é", "i": "ï", "o": "ö", "u": "ü", "n": "ñ", "c": "ç", "s": "š"}
)
# First and last code points of scripts, the most frequent ones of some.
_SCRIPTS = (
    (0x4E00, 0x9FA5), (0x4E00, 0x9FA5), (0x4E00, 0x6000), (0x3041, 0x3093), (0x30A1, 0x30F3), (0xAC00, 0xD7A3), (0x0430, 0x044F),
    (0x03B1, 0x03C9), (0x05D0, 0x05EA), (0x0627, 0x063A), (0x0E01, 0x0E2E), (0x0905, 0x0939), (0x1F600, 0x1F640),
)  # fmt: skip
_SHORT_NAMES = (
    "a",
    "b",
    "x",
    "y",
    "n",
    "k",
    "first",
    "second",
    "left",
    "right",
    "city",
    "id",
    "value",
    "amount",
)


class Parameter:
    """One typed parameter of an invented tool.

    Attributes:
        name: Its name in the schema.
        spoken: Its name in a request.
        required: Whether every call gives it.
    """

    def __init__(self, names: Names) -> None:
        rng = names.rng
        self.rng: random.Random = rng
        self.names = names
        self.spoken = rng.choice(
            (*lexicon.ATTRIBUTES, names.thing(), names.thing(), names.word(), *_SHORT_NAMES)
        )
        self.name = self.spoken.replace(" ", "_").replace("-", "_")
        self.type = rng.choice(_TYPES)
        self.required = rng.random() < 0.85
        self.options = list(dict.fromkeys(self._option() for _ in range(rng.randint(2, 5))))
        self.items = rng.choice(("string", "string", "integer", "number"))
        self.low, self.high, self.marks = bounds(rng)
        self.marks = self.marks if self.type == "integer" else {}

    def schema(self) -> dict[str, Any]:
        if self.type == "enum":
            result: dict[str, Any] = {"type": "string", "enum": self.options}
            if self.rng.random() < 0.2:
                result = {"enum": self.options, "type": "string"}
        elif self.type == "array":
            result = {"type": "array", "items": {"type": self.items}}
        else:
            result = {**self.marks, "type": self.type}
        if not self.required and self.rng.random() < 0.3:
            result = {"anyOf": [result, {"type": "null"}], "default": None}
        if self.rng.random() < 0.5:
            text = self.rng.choice(("The {}", "{}", "The {} to use", "Which {}", "Value of the {}"))
            result["description"] = grammar.capitalize(text.format(self.spoken))
        return result

    def value(self) -> Any:
        if self.type == "enum":
            return self.rng.choice(self.options)
        if self.type == "array":
            return [self._scalar(self.items) for _ in range(self.rng.randint(1, 4))]
        return self._scalar(self.type)

    def takes(self, value: Any) -> bool:
        """Whether one value, or one item of an array, could be meant for this parameter."""
        kind = self.items if self.type == "array" else self.type
        if kind == "enum":
            return value in self.options
        if kind == "string":
            return True  # a number may be a name
        if kind == "boolean":
            return isinstance(value, bool)
        is_whole = isinstance(value, int) and not isinstance(value, bool)
        return is_whole or (kind == "number" and isinstance(value, float))

    def say(self, value: Any) -> str:
        """Write a value as a request says it."""
        rng = self.rng
        if isinstance(value, list):
            said = [self.say(item) for item in value]
            return rng.choice(
                (
                    ", ".join(said),
                    " and ".join([", ".join(said[:-1]), said[-1]]) if len(said) > 1 else said[0],
                )
            )
        if isinstance(value, bool):
            return rng.choice(
                ("true", "true", "yes", "on") if value else ("false", "false", "no", "off")
            )
        text = str(value)
        is_quoted = isinstance(value, str) and (" " in text or rng.random() < 0.25)
        if is_quoted and rng.random() < 0.5 and not {"'", '"'} & {*text}:
            return rng.choice(('"{}"', "'{}'")).format(text)
        return text

    def _scalar(self, kind: str) -> Any:
        rng = self.rng
        if kind == "integer":
            number = rng.randint(0, 9999) if rng.random() < 0.5 else rng.randint(0, 64)
            number = -number if rng.random() < 0.06 else number
            return min(max(number, self.low), self.high) if self.marks else number
        if kind == "number":
            number = round(rng.uniform(0, 100), rng.choice((1, 2, 2, 3)))
            return -number if rng.random() < 0.08 else number
        if kind == "boolean":
            return rng.random() < 0.5
        return rng.choice(self._strings())()

    def _strings(self) -> tuple:
        names, rng = self.names, self.rng
        return (
            names.name,
            names.word,
            names.code,
            names.phrase,
            names.person,
            names.file_path,
            names.kebab,
            lambda: rng.choice(lexicon.COLORS),
            lambda: rng.choice(lexicon.PLATFORMS),
            self._unicode,
            lambda: f"{names.word_capital()} {grammar.thing_name(names)} {names.word()}",
        )

    def _unicode(self) -> str:
        """Make a name with letters outside ASCII."""
        if self.rng.random() < 0.4:
            return self.names.word_capital().translate(_ACCENTS)
        return foreign_text(self.rng)

    def _option(self) -> str:
        rng, names = self.rng, self.names
        return rng.choice(
            (
                rng.choice(lexicon.WORDS),
                rng.choice(lexicon.COLORS),
                names.part(),
                names.word(),
                rng.choice(lexicon.ADJECTIVES),
            )
        )


def foreign_text(rng: random.Random) -> str:
    """Make a short text of one or two scripts, any of their characters."""
    scripts = [rng.choice(_SCRIPTS) for _ in range(rng.choice((1, 1, 2)))]
    return "".join(chr(rng.randint(*rng.choice(scripts))) for _ in range(rng.randint(1, 9)))


def bounds(rng: random.Random) -> tuple[int, int, dict[str, int]]:
    """Draw the least and the greatest value of an integer, and how a schema says them, if it does."""
    high = rng.choice((9, 50, 99, 100, 500, 999, 1000, 9_999, 100_000)) + rng.choice((0, 1))
    low = rng.choice((0, 0, 1, -high, -high))
    draw = rng.random()
    if draw < 0.5:
        return low, high, {}
    if draw < 0.8:
        return low, high, {"exclusiveMaximum": high + 1, "exclusiveMinimum": low - 1}
    return low, high, {"maximum": high, "minimum": low}
