"""Random JSON schemas: nested, optional, enums, arrays, unions, references, formats, Unicode."""

import random
from typing import Any

NAMES = (
    "name",
    "age",
    "größe",
    "名前",
    "a b",
    'quo"te',
    "x_1",
    "tags",
    "items",
    "type",
    "$id",
    "é",
)
TEXTS = (
    "red",
    "",
    "naïve café",
    "日本語",
    "🎉",
    'say "hi"',
    "back\\slash",
    "line\nbreak",
    "x" * 30,
)
PATTERNS = (r"^[a-z]{2,6}$", r"^\d{3}-\d{4}$", r"^(foo|bar)+$", r"^[A-Z][a-z]*( [A-Z][a-z]*)?$")
FORMATS = ("date", "date-time", "time", "email", "ipv4", "uuid", "int32", "password")


class SchemaMaker:
    """Makes one schema after another from a seed."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def schema(self) -> dict[str, Any]:
        """An object at the top, as structured output mostly asks for, or anything else."""
        is_object = self._rng.random() < 0.7
        schema = self._object(3) if is_object else self._any(3)
        if self._rng.random() < 0.3:
            schema = {**schema, "$defs": {"Leaf": self._any(0), "Tree": self._tree()}}
            schema = self._with_reference(schema)
        return schema

    def _any(self, depth: int) -> dict[str, Any]:
        leaves = [
            self._string,
            self._integer,
            self._number,
            self._enum,
            self._const,
            lambda: {"type": "boolean"},
            lambda: {"type": "null"},
            lambda: {"type": ["string", "null"]},
        ]
        if depth == 0:
            return self._rng.choice(leaves)()
        inner = [self._object, self._array, self._union, self._tuple, self._map]
        makers = [*leaves, *(lambda make=make: make(depth - 1) for make in inner)]
        return self._rng.choice(makers)()

    def _string(self) -> dict[str, Any]:
        rng = self._rng
        least = rng.randint(0, 8)
        return rng.choice(
            (
                {"type": "string"},
                {"type": "string", "minLength": least, "maxLength": least + rng.randint(0, 9)},
                {"type": "string", "pattern": rng.choice(PATTERNS)},
                {"type": "string", "format": rng.choice(FORMATS)},
                {"type": "string", "description": "Any text", "default": "x"},
            )
        )

    def _integer(self) -> dict[str, Any]:
        rng = self._rng
        low = rng.randint(-1_000, 1_000)
        return rng.choice(
            (
                {"type": "integer"},
                {"type": "integer", "minimum": low, "maximum": low + rng.randint(0, 5_000)},
                {"type": "integer", "exclusiveMinimum": low},
                {"type": "integer", "multipleOf": rng.choice((2, 5, 7))},
            )
        )

    def _number(self) -> dict[str, Any]:
        low = round(self._rng.uniform(-100, 100), 2)
        return self._rng.choice(
            ({"type": "number"}, {"type": "number", "minimum": low, "exclusiveMaximum": low + 3})
        )

    def _enum(self) -> dict[str, Any]:
        count = self._rng.randint(1, 4)
        return {"enum": self._rng.sample((*TEXTS, 1, -2.5, True, None), count)}

    def _const(self) -> dict[str, Any]:
        return {"const": self._rng.choice((*TEXTS, 7, False, None))}

    def _object(self, depth: int) -> dict[str, Any]:
        rng = self._rng
        names = rng.sample(NAMES, rng.randint(0, 4))
        schema: dict[str, Any] = {
            "type": "object",
            "properties": {name: self._any(depth) for name in names},
            "required": [name for name in names if rng.random() < 0.6],
        }
        if rng.random() < 0.2:
            schema["additionalProperties"] = rng.choice((False, {"type": "integer"}))
        return schema

    def _map(self, depth: int) -> dict[str, Any]:
        return {"type": "object", "additionalProperties": self._any(depth)}

    def _array(self, depth: int) -> dict[str, Any]:
        least = self._rng.randint(0, 3)
        bounds = {"minItems": least, "maxItems": least + self._rng.randint(0, 3)}
        is_bounded = self._rng.random() < 0.6
        return {"type": "array", "items": self._any(depth), **(bounds if is_bounded else {})}

    def _tuple(self, depth: int) -> dict[str, Any]:
        items = [self._any(depth) for _ in range(self._rng.randint(1, 3))]
        return {"type": "array", "prefixItems": items, "items": False, "minItems": len(items)}

    def _union(self, depth: int) -> dict[str, Any]:
        return {"anyOf": [self._any(depth) for _ in range(self._rng.randint(1, 3))]}

    def _tree(self) -> dict[str, Any]:
        """A schema that refers to itself."""
        child = {"anyOf": [{"$ref": "#/$defs/Tree"}, {"type": "null"}]}
        properties = {"value": self._any(0), "left": child, "right": child}
        return {"type": "object", "properties": properties, "required": ["value", "left"]}

    def _with_reference(self, schema: dict[str, Any]) -> dict[str, Any]:
        reference = {"$ref": f"#/$defs/{self._rng.choice(('Leaf', 'Tree'))}"}
        definitions = {"$defs": schema["$defs"]}
        if "properties" not in schema:
            return {**definitions, "type": "array", "items": reference, "maxItems": 3}
        properties = {**schema["properties"], "ref": reference}
        return {**schema, "properties": properties, "required": [*schema["required"], "ref"]}
