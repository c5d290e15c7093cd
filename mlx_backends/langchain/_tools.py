"""Tools and response formats, in the forms that LangChain's users write them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_json_schema, convert_to_openai_tool
from langchain_core.utils.pydantic import is_basemodel_subclass

from mlx_backends.errors import ConfigError
from mlx_backends.grammar.references import refers_to_itself, unfolded
from mlx_backends.grammar.spec import ANY_JSON_OBJECT, Grammar

ToolLike: TypeAlias = dict[str, Any] | type | Callable[..., Any] | BaseTool

# What tells the description of a tool from a JSON schema.
_TOOL_KEYS = frozenset({"function", "parameters", "input_schema"})


def openai_tools(tools: Sequence[ToolLike]) -> list[dict[str, Any]]:
    """Tools of any kind that LangChain knows, in OpenAI's form, which chat templates read.

    Raises:
        ConfigError: One is no tool, or one that only a provider has.
    """
    if isinstance(tools, str | Mapping) or not isinstance(tools, Iterable):
        raise ConfigError(f"tools must be a list of tools; got {tools!r:.80}.")
    return [openai_tool(tool) for tool in tools]


def openai_tool(tool: Any) -> dict[str, Any]:
    """As ``openai_tools``, for one; a schema needs a ``title``, which becomes the name."""
    try:
        converted = convert_to_openai_tool(tool)
    except (TypeError, ValueError) as error:
        raise ConfigError(f"{tool!r:.80} is no tool: {error}") from error
    function = converted.get("function")
    if not (isinstance(function, Mapping) and isinstance(function.get("name"), str)):
        raise ConfigError(
            f"{tool!r:.80} is no tool that runs here; give a function, a tool of LangChain, a "
            "schema with a title, or OpenAI's or Anthropic's description of a function."
        )
    return _with_own_references(tool, converted)


def _with_own_references(tool: Any, converted: dict[str, Any]) -> dict[str, Any]:
    """LangChain writes references out, and loses those of a schema to itself."""
    schema = _own_schema(tool)
    if schema is None or not refers_to_itself(schema):
        return converted
    function = {**converted["function"], "parameters": unfolded(schema)}
    return {**converted, "function": function}


def _own_schema(tool: Any) -> dict[str, Any] | None:
    """The JSON schema of the arguments, if the tool has one of its own."""
    described = tool.tool_call_schema if isinstance(tool, BaseTool) else tool
    if isinstance(described, type) and is_basemodel_subclass(described):
        return json_schema_of(described)
    if isinstance(described, Mapping) and not described.keys() & _TOOL_KEYS:
        return dict(described)
    return None


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
    if kind == "json_schema":
        described = response_format.get("json_schema")
        if not isinstance(described, Mapping) or "schema" not in described:
            raise ConfigError(
                "A response_format of type json_schema holds its schema like "
                '{"type": "json_schema", "json_schema": {"name": ..., "schema": {...}}}; '
                f"got {response_format!r:.80}."
            )
        return Grammar.json_schema(described["schema"], strict=bool(described.get("strict")))
    return Grammar.json_schema(json_schema_of(response_format))
