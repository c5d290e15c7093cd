"""The keyword arguments of one call, sorted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Self

from mlx_backends.engine.prepared_chat import Tool, ToolChoice, given_grammar
from mlx_backends.grammar.spec import Grammar
from mlx_backends.llama_index._tools import openai_tools


@dataclass(frozen=True, slots=True, kw_only=True)
class CallOptions:
    """What one call says beside its messages; None anywhere stands for the default.

    Attributes:
        model: Another model than the component's.
        tools: What the model may call.
        tool_choice: ``auto``, ``any`` (or ``required``), ``none``, or the name of a tool.
        allow_parallel_tool_calls: Whether an answer may hold several calls.
        strict: Refuse tools whose schemas cannot be enforced in full.
        grammar: What the answer must look like.
        template_options: Variables of the chat template.
        sampling: All other options.
    """

    model: str | None = None
    tools: Sequence[Tool] = ()
    tool_choice: ToolChoice = None
    allow_parallel_tool_calls: bool = True
    strict: bool = False
    grammar: Grammar | None = None
    template_options: Mapping[str, Any] = field(default_factory=dict)
    sampling: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def taken_from(cls, kwargs: Mapping[str, Any]) -> Self:
        """Sort the keyword arguments of a call.

        Raises:
            ConfigError: A tool or a grammar has none of the forms that are taken.
        """
        own = {n: v for n, v in kwargs.items() if n in _CALL_OPTIONS and v is not None}
        sampling = {n: v for n, v in kwargs.items() if n not in _CALL_OPTIONS}
        own["tools"] = openai_tools(own.get("tools", ()))
        own["grammar"] = given_grammar(own.get("grammar"))
        return cls(**own, sampling=sampling)


_CALL_OPTIONS = frozenset(f.name for f in fields(CallOptions)) - {"sampling"}
