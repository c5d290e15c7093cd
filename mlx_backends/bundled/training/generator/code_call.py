"""Requests that write a call as code does: ``area(3, unit="m")``."""

import json
import random
from typing import Any


def code_of(rng: random.Random, name: str, arguments: dict[str, Any], *, by_name: bool) -> str:
    """Write a call."""
    said = {key: _literal(rng, value) for key, value in arguments.items()}
    parts = [f"{key}={text}" for key, text in said.items()] if by_name else list(said.values())
    return f"{name}({', '.join(parts)})"


def asked_as_code(
    rng: random.Random, name: str, arguments: dict[str, Any], *, by_name: bool | None = None
) -> str:
    """Ask for a call that is written as code.

    Args:
        rng: Source of the choices.
        name: The tool's.
        arguments: In the order of the schema.
        by_name: Write the arguments' names; by chance if None.
    """
    chosen = rng.random() < 0.4 if by_name is None else by_name
    return rng.choice(_FORMS).format(code_of(rng, name, arguments, by_name=chosen))


def _literal(rng: random.Random, value: Any) -> str:
    if isinstance(value, str) and '"' not in value and "'" not in value:
        return rng.choice(("'{}'", '"{}"')).format(value)
    return json.dumps(value, ensure_ascii=False) if rng.random() < 0.5 else repr(value)


_FORMS = (
    "{}", "Call {}.", "Run {}", "What is {}?", "What does {} return?", "What is the result of {}?", "Evaluate {} with the tool.", "Please use the tool: {}",
    "I need the value of {}.", "Use the tool to compute {}.", "Tell me {}.", "{} = ?", "What do you get for {}? Use a tool.", "Give me the output of {}", "Find {} with a tool.",
)  # fmt: skip
