"""JSON schemas in the form that llguidance enforces.

Owns three decisions: values are written as ``json.dumps`` writes them, an object whose properties
are listed has no others, and an unbounded integer keeps to what every JSON reader can hold. Each
narrows the language, so what is generated is valid under the caller's schema.
"""

import json
from typing import Any

from mlx_backends.errors import GrammarError

MAX_DEPTH = 64

# The formats of draft 2020-12 that llguidance knows; by the draft any other is a mere annotation.
_FORMATS = frozenset(
    {
        "date",
        "date-time",
        "duration",
        "email",
        "hostname",
        "ipv4",
        "ipv6",
        "time",
        "uri",
        "uuid",
    }
)
# RFC 8259, section 6: integers in this range are the same in every implementation.
_MAX_INTEGER = 2**53 - 1
_BOUNDS = frozenset(
    {"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf", "enum", "const"}
)
_SCHEMAS = ("$defs", "definitions", "properties", "patternProperties", "dependentSchemas")
_SCHEMA_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_SCHEMA = ("items", "additionalProperties", "not", "if", "then", "else", "contains")
# Beside these an object is described in several places, none of which knows all its properties.
_COMBINING = frozenset({"$ref", "anyOf", "oneOf", "patternProperties", "not", "if"})


def parse_schema(text: str) -> dict[str, Any]:
    """Read a schema.

    Raises:
        GrammarError: The text is not JSON, or not a schema.
    """
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise GrammarError(f"The JSON schema is not JSON: {error!s:.200}") from error
    if schema is True:
        return {}
    if not isinstance(schema, dict):
        raise GrammarError(f"A JSON schema must be an object; got {schema!r:.80}.")
    return schema


def enforceable(schema: dict[str, Any], *, strict: bool) -> dict[str, Any]:
    """The schema with the decisions above and llguidance's options in it.

    Raises:
        GrammarError: The schema is nested too deeply.
    """
    options = {
        "item_separator": ", ",
        "key_separator": ": ",
        "whitespace_flexible": False,
        "lenient": not strict,
        "coerce_one_of": not strict,
    }
    # Closing one part of an ``allOf``, wherever it is defined, would exclude the other parts.
    may_close = not _mentions(schema, "allOf")
    return {**_narrowed(schema, may_close=may_close, depth=0), "x-guidance": options}


def _narrowed(node: Any, *, may_close: bool, depth: int) -> Any:
    if not isinstance(node, dict):
        return node
    if depth > MAX_DEPTH:
        raise GrammarError(f"The JSON schema is nested more than {MAX_DEPTH} levels deep.")
    result = {key: _narrowed_keyword(key, value, may_close, depth) for key, value in node.items()}
    if "format" in result and str(result["format"]) not in _FORMATS:
        del result["format"]
    if may_close and "properties" in result and not result.keys() & _COMBINING:
        result.setdefault("additionalProperties", False)
    if _is_integer(result) and not result.keys() & _BOUNDS:
        result |= {"minimum": -_MAX_INTEGER, "maximum": _MAX_INTEGER}
    return result


def _narrowed_keyword(key: str, value: Any, may_close: bool, depth: int) -> Any:
    def child(schema: Any) -> Any:
        return _narrowed(schema, may_close=may_close, depth=depth + 1)

    if key in _SCHEMAS and isinstance(value, dict):
        return {name: child(schema) for name, schema in value.items()}
    if key in _SCHEMA_LISTS and isinstance(value, list):
        return [child(schema) for schema in value]
    return child(value) if key in _SCHEMA else value


def _mentions(schema: dict[str, Any], keyword: str) -> bool:
    return f'"{keyword}":' in json.dumps(schema, separators=(",", ":"))


def _is_integer(node: dict[str, Any]) -> bool:
    kind = node.get("type")
    return kind == "integer" or (
        isinstance(kind, list) and "integer" in kind and "number" not in kind
    )
