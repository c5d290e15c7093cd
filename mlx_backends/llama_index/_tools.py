"""Tools in the forms that LlamaIndex's users write them, and calls in the form that it reads."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from llama_index.core.base.llms.types import ChatResponse, ToolCallBlock
from llama_index.core.llms.llm import ToolSelection
from llama_index.core.tools.types import BaseTool, ToolMetadata
from pydantic_core import from_json

from mlx_backends.engine.prepared_chat import Tool
from mlx_backends.errors import ConfigError
from mlx_backends.grammar.references import unfolded

ToolLike: TypeAlias = BaseTool | Mapping[str, Any]


def openai_tools(tools: Sequence[ToolLike]) -> list[Tool]:
    """LlamaIndex's tools, or schemas in OpenAI's form, in the form that chat templates read.

    Raises:
        ConfigError: One is neither.
    """
    if isinstance(tools, str | Mapping) or not isinstance(tools, Iterable):
        raise ConfigError(f"tools must be a list of tools; got {tools!r:.80}.")
    return [_openai_tool(tool) for tool in tools]


def tool_selections(response: ChatResponse) -> list[ToolSelection]:
    """The calls of a message; of one that is still being written, what there is of them."""
    blocks = [block for block in response.message.blocks if isinstance(block, ToolCallBlock)]
    return [
        ToolSelection(
            tool_id=block.tool_call_id or block.tool_name,
            tool_name=block.tool_name,
            tool_kwargs=_partial_kwargs(block.tool_kwargs),
        )
        for block in blocks
    ]


def _openai_tool(tool: ToolLike) -> Tool:
    if isinstance(tool, BaseTool):
        return _described(tool.metadata)
    function = tool.get("function") if isinstance(tool, Mapping) else None
    if isinstance(function, Mapping) and isinstance(function.get("name"), str):
        return tool
    raise ConfigError(
        "A tool is one of LlamaIndex's tools, or a mapping such as "
        f'{{"type": "function", "function": {{"name": ...}}}}; got {tool!r:.80}.'
    )


def _described(metadata: ToolMetadata) -> Tool:
    described = metadata.to_openai_tool(skip_length_check=True)
    schema = metadata.fn_schema.model_json_schema() if metadata.fn_schema else {}
    if "$ref" not in schema:
        return described
    # Of a class that refers to itself LlamaIndex keeps the definitions, but not which is meant.
    return {**described, "function": {**described["function"], "parameters": unfolded(schema)}}


def _partial_kwargs(kwargs: dict[str, Any] | str) -> dict[str, Any]:
    if not isinstance(kwargs, str):
        return kwargs
    try:
        partial = from_json(kwargs, allow_partial="trailing-strings")
    except ValueError:
        return {}
    return partial if isinstance(partial, dict) else {}
