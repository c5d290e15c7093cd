"""Structured output: the model's answer under a schema, and the parser that reads it."""

from operator import itemgetter
from typing import Any, Literal

from langchain_core.language_models import LanguageModelInput
from langchain_core.output_parsers import (
    BaseOutputParser,
    JsonOutputParser,
    PydanticOutputParser,
)
from langchain_core.output_parsers.openai_tools import (
    JsonOutputKeyToolsParser,
    PydanticToolsParser,
)
from langchain_core.runnables import Runnable, RunnableMap, RunnablePassthrough
from langchain_core.utils.pydantic import is_basemodel_subclass

from mlx_backends.errors import ConfigError
from mlx_backends.langchain._tools import json_schema_of, openai_tool

Method = Literal["json_schema", "function_calling", "json_mode"]
METHODS: tuple[Method, ...] = ("json_schema", "function_calling", "json_mode")


def binding_options(schema: Any, method: Method, *, strict: bool | None) -> dict[str, Any]:
    """What a call is given so that its answer follows the schema.

    Raises:
        ConfigError: The method is unknown, or lacks a schema.
    """
    if method not in METHODS:
        raise ConfigError(f"method must be one of {', '.join(METHODS)}; got {method!r:.40}.")
    if schema is None and method != "json_mode":
        raise ConfigError(f"method={method!r} needs a schema.")
    if schema is None:
        return {"response_format": {"type": "json_object"}}
    kwargs = {"method": method, "strict": strict}
    options = {"ls_structured_output_format": {"kwargs": kwargs, "schema": schema}}
    if method == "function_calling":
        tool = openai_tool(schema)
        choice = tool["function"]["name"]
        return {
            **options,
            "tools": [tool],
            "tool_choice": choice,
            "parallel_tool_calls": False,
            "strict": strict,
        }
    described = {"schema": json_schema_of(schema), "strict": bool(strict)}
    return {**options, "response_format": {"type": "json_schema", "json_schema": described}}


def parser_of(schema: Any, method: Method) -> BaseOutputParser[Any]:
    """Reads the answer: an object of a pydantic class, or else a dictionary."""
    is_pydantic = isinstance(schema, type) and is_basemodel_subclass(schema)
    if method == "function_calling":
        if is_pydantic:
            return PydanticToolsParser(tools=[schema], first_tool_only=True)
        name = openai_tool(schema)["function"]["name"]
        return JsonOutputKeyToolsParser(key_name=name, first_tool_only=True)
    return PydanticOutputParser(pydantic_object=schema) if is_pydantic else JsonOutputParser()


def with_raw(
    llm: Runnable[LanguageModelInput, Any], parser: BaseOutputParser[Any]
) -> Runnable[LanguageModelInput, dict[str, Any]]:
    """The message, what was read from it, and the error if it could not be read."""
    parsed = RunnablePassthrough.assign(
        parsed=itemgetter("raw") | parser, parsing_error=lambda _: None
    )
    failed = RunnablePassthrough.assign(parsed=lambda _: None)
    return RunnableMap(raw=llm) | parsed.with_fallbacks([failed], exception_key="parsing_error")
