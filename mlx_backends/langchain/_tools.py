"""Tools and response formats, in the forms that LangChain's users write them."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from mlx_backends.errors import ConfigError
from mlx_backends.grammar.spec import ANY_JSON_OBJECT, Grammar

ToolLike: TypeAlias = dict[str, Any] | type | Callable[..., Any] | BaseTool

# What tells the description of a tool from a JSON schema.
_TOOL_KEYS = frozenset({"function", "parameters", "input_schema"})


def openai_tools(tools: Sequence[ToolLike]) -> list[dict[str, Any]]:
    """Tools of any kind that LangChain knows, in OpenAI's form, which chat templates read."""
    return [convert_to_openai_tool(tool) for tool in tools]


def json_schema_of(schema: Any) -> dict[str, Any]:
    """The JSON schema of a pydantic class, a ``TypedDict``, a function or a schema.

    Raises:
        ConfigError: It is none of these.
    """
    if isinstance(schema, Mapping) and not schema.keys() & _TOOL_KEYS:
        return dict(schema)
    if isinstance(schema, type) and is_basemodel_subclass(schema):
        is_version_1 = not hasattr(schema, "model_json_schema")
        return getattr(schema, "schema" if is_version_1 else "model_json_schema")()
    described: Any = dict(schema) if isinstance(schema, Mapping) else schema
    try:
        return convert_to_json_schema(described)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{schema!r:.80} does not describe a structure: {error}") from error


def response_grammar(response_format: Any) -> Grammar | None:
    """The grammar of a response format: OpenAI's form, a pydantic class or a JSON schema.

    Raises:
        ConfigError: It is none of these.
        GrammarError: The schema is malformed.
    """
    kind = response_format.get("type") if isinstance(response_format, Mapping) else None
    if response_format is None or kind == "text":
        return None
    if kind == "json_object":
        return Grammar.json_schema(ANY_JSON_OBJECT)
    if kind == "json_schema" and "json_schema" in response_format:
        described = response_format["json_schema"]
        return Grammar.json_schema(described["schema"], strict=bool(described.get("strict")))
    return Grammar.json_schema(json_schema_of(response_format))
