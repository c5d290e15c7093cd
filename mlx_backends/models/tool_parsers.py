"""mlx-lm's parsers of tool calls, by the name of the family."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def tool_parser(family: str) -> Callable[[str, Sequence[Mapping[str, Any]]], Any]:
    """The parser of a family. Imports mlx-lm, which takes two seconds the first time.

    Args:
        family: One of ours (``text.tool_formats``), never a name from a model's files: an import
            of such a name would run code.
    """
    module = importlib.import_module(f"mlx_lm.tool_parsers.{family}")

    def parse(text: str, tools: Sequence[Mapping[str, Any]]) -> Any:
        return module.parse_tool_call(text, list(tools))

    return parse
