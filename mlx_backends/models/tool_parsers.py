"""mlx-lm's parsers of tool calls, by the name of the family."""

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from mlx_backends.text.tool_calls import Parser
from mlx_backends.text.tool_formats import ToolFormat


def tool_parser(tool_format: ToolFormat) -> Parser:
    """The parser of a format. Imports mlx-lm, which takes two seconds the first time."""
    # The name is one of ours, never a model's: an import of a name from a file would run code.
    module = importlib.import_module(f"mlx_lm.tool_parsers.{tool_format.name}")

    def parse(text: str, tools: Sequence[Mapping[str, Any]]) -> Any:
        return module.parse_tool_call(text, list(tools))

    return parse
