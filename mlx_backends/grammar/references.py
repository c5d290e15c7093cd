"""References inside a JSON schema: which lead back to themselves, and the schema that one names."""

from collections.abc import Iterator, Mapping
from typing import Any

_DEFINITIONS = ("$defs", "definitions")


def refers_to_itself(schema: Mapping[str, Any]) -> bool:
    """Whether a definition refers to itself, be it through others."""
    uses = {
        f"#/{place}/{name}": set(_references(definition))
        for place in _DEFINITIONS
        for name, definition in (schema.get(place) or {}).items()
    }
    return any(_reaches(name, name, uses, set()) for name in uses)


def unfolded(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema, with the definition that its top refers to in place of the reference."""
    _, _, path = str(schema.get("$ref", "")).partition("#/")
    place, _, name = path.partition("/")
    if not name:
        return dict(schema)
    rest = {key: value for key, value in schema.items() if key != "$ref"}
    return {**rest, **schema[place][name]}


def _references(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _reaches(start: str, goal: str, uses: Mapping[str, set[str]], seen: set[str]) -> bool:
    for name in uses.get(start, ()):
        if name == goal:
            return True
        if name not in seen:
            seen.add(name)
            if _reaches(name, goal, uses, seen):
                return True
    return False
