"""An everyday tool as a framework describes it to a model."""

import json
import random
from collections.abc import Sequence
from typing import Any

from mlx_backends.bundled.training.generator.everyday import numbers, orders
from mlx_backends.bundled.training.generator.everyday.kind import Kind
from mlx_backends.bundled.training.generator.invented_tool import Call
from mlx_backends.bundled.training.lexicon import Names

_KINDS = (
    numbers.addition, numbers.function_of_one, numbers.function_of_one, numbers.function_of_none,
    orders.place, orders.record, orders.text,
)  # fmt: skip


class EverydayTool:
    """One of a few well-known kinds of tools, with invented names.

    Attributes:
        name: Its name in the schema.
        purpose: What no other tool of a conversation may share.
        schema: In OpenAI's form.
    """

    def __init__(self, names: Names) -> None:
        kind = names.rng.choice(_KINDS)(names)
        self.name = kind.name
        self.purpose = (kind.purpose,)
        self.schema = _schema(kind, _documented(names, kind))
        self._call = kind.call

    def call(self, others: Sequence[Any] = ()) -> Call:
        """Make a request that needs this tool; its words tell it from any other."""
        return self._call()


def _documented(names: Names, kind: Kind) -> str:
    """Write the description as a framework takes it from a function: signature, docstring."""
    rng = names.rng
    draw = rng.random()
    if draw < 0.12:
        arguments = ", ".join(
            f"{key}: {_type_of(schema)}" for key, schema in kind.properties.items()
        )
        return f"{kind.name}({arguments}) -> {rng.choice(('str', 'int'))}\n{kind.description}"
    if draw < 0.24 and kind.properties:
        lines = [_argument_line(rng, key) for key in kind.properties]
        returns = rng.choice(("", f"\n\n    Returns:\n        The {names.thing()}."))
        return "\n".join([f"{kind.description}\n\n    Args:", *lines]) + returns
    return kind.description


def _type_of(schema: dict[str, Any]) -> str:
    return {"integer": "int", "string": "str"}.get(schema.get("type", ""), "str")


def _argument_line(rng: random.Random, key: str) -> str:
    return f"        {key}: {rng.choice(('The', 'A'))} {key.replace('_', ' ')}."


def _schema(kind: Kind, description: str) -> dict[str, Any]:
    """As frameworks write it; without arguments there is nothing to require."""
    parameters: dict[str, Any] = {"properties": kind.properties, "type": "object"}
    if kind.required:
        parameters = {"properties": kind.properties, "required": kind.required, "type": "object"}
    function = {"name": kind.name, "description": description, "parameters": parameters}
    return json.loads(json.dumps({"type": "function", "function": function}))
