"""How model families write tool calls.

Owns the layouts, one value a family; grammars enforce them and ``tool_calls`` reads them. A layout
is the one that the family's template renders in a conversation's history, under the name of the
parser in mlx-lm (``mlx_lm/tool_parsers``) that reads it.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

NAME, INDEX, KEY, TYPE = "{name}", "{index}", "{key}", "{type}"


@dataclass(frozen=True, slots=True)
class ArgumentFormat:
    """How a family writes one argument, if it does not write all as one JSON object.

    Attributes:
        start: Text before the value, with ``{key}`` and perhaps ``{type}``.
        end: Text after the value.
        separator: Text between two arguments.
        quote: What stands around a string that is written as it is, without escapes; None if
            strings are written as JSON.
    """

    start: str
    end: str = ""
    separator: str = ""
    quote: str | None = ""


@dataclass(frozen=True, slots=True)
class ToolFormat:
    """How a family writes tool calls: ``start opening call separator call closing end``.

    Attributes:
        name: The family's parser in mlx-lm.
        start: Begins a section of calls; ordinary text does not hold it.
        end: Ends the section; empty if it ends with the message.
        call_start: Text before the arguments, with ``{name}`` and perhaps ``{index}``.
        call_end: Text after the arguments.
        opening: Text between ``start`` and the first call.
        closing: Text between the last call and ``end``.
        separator: Text between two calls, or two sections.
        one_call_a_section: Whether each call has ``start`` and ``end`` of its own.
        argument: How arguments are written; None for one JSON object.
    """

    name: str
    start: str
    end: str
    call_start: str
    call_end: str = ""
    opening: str = ""
    closing: str = ""
    separator: str = ""
    one_call_a_section: bool = False
    argument: ArgumentFormat | None = None

    def literals(self) -> Iterator[str]:
        """The texts that calls are made of, besides names and values."""
        for part in (self, self.argument):
            for field in fields(part) if part else ():
                value = getattr(part, field.name)
                if isinstance(value, str) and field.name != "name":
                    yield value


JSON_TOOLS = ToolFormat(
    name="json_tools",
    start="<tool_call>",
    end="</tool_call>",
    call_start='\n{"name": "{name}", "arguments": ',
    call_end="}\n",
    separator="\n",
    one_call_a_section=True,
)
_QWEN3_CODER = ToolFormat(
    name="qwen3_coder",
    start="<tool_call>",
    end="</tool_call>",
    call_start="\n<function={name}>\n",
    call_end="</function>\n",
    separator="\n",
    one_call_a_section=True,
    argument=ArgumentFormat("<parameter={key}>\n", "\n</parameter>\n"),
)
_GLM47 = ToolFormat(
    name="glm47",
    start="<tool_call>",
    end="</tool_call>",
    call_start="{name}",
    one_call_a_section=True,
    argument=ArgumentFormat("<arg_key>{key}</arg_key><arg_value>", "</arg_value>"),
)
_LONGCAT = ToolFormat(
    name="longcat",
    start="<longcat_tool_call>",
    end="</longcat_tool_call>",
    call_start="{name}\n",
    separator="\n",
    one_call_a_section=True,
    argument=ArgumentFormat(
        "<longcat_arg_key>{key}</longcat_arg_key>\n<longcat_arg_value>", "</longcat_arg_value>\n"
    ),
)
_MINIMAX_M2 = ToolFormat(
    name="minimax_m2",
    start="<minimax:tool_call>",
    end="</minimax:tool_call>",
    call_start='<invoke name="{name}">\n',
    call_end="</invoke>",
    opening="\n",
    closing="\n",
    separator="\n",
    argument=ArgumentFormat('<parameter name="{key}">', "</parameter>\n"),
)
_MINICPM5 = ToolFormat(
    name="minicpm5",
    start="<function name=",
    end="</function>",
    call_start='"{name}">',
    separator="",
    one_call_a_section=True,
    argument=ArgumentFormat('<param name="{key}">', "</param>"),
)
_MUSE_SPARK = ToolFormat(
    name="muse_spark",
    start="<atem:function_calls>",
    end="</atem:function_calls>",
    call_start='<atem:invoke name="{name}">\n',
    call_end="</atem:invoke>",
    opening="\n",
    closing="\n",
    separator="\n",
    argument=ArgumentFormat('<atem:parameter name="{key}">', "</atem:parameter>\n"),
)
_KIMI_K2 = ToolFormat(
    name="kimi_k2",
    start="<|tool_calls_section_begin|>",
    end="<|tool_calls_section_end|>",
    call_start="<|tool_call_begin|>functions.{name}:{index}<|tool_call_argument_begin|>",
    call_end="<|tool_call_end|>",
)
_KIMI_K3 = ToolFormat(
    name="kimi_k3",
    start="<|open|>tools<|sep|>",
    end="<|close|>tools<|sep|>",
    call_start='<|open|>call tool="{name}" index="{index}"<|sep|>',
    call_end="<|close|>call<|sep|>",
    argument=ArgumentFormat(
        '<|open|>argument key="{key}" type="{type}"<|sep|>', "<|close|>argument<|sep|>"
    ),
)
_PYTHONIC = ToolFormat(
    name="pythonic",
    start="<|tool_call_start|>",
    end="<|tool_call_end|>",
    call_start="{name}(",
    call_end=")",
    opening="[",
    closing="]",
    separator=", ",
    argument=ArgumentFormat("{key}=", separator=", ", quote=None),
)
_FUNCTION_GEMMA = ToolFormat(
    name="function_gemma",
    start="<start_function_call>",
    end="<end_function_call>",
    call_start="call:{name}{",
    call_end="}",
    one_call_a_section=True,
    argument=ArgumentFormat("{key}:", separator=",", quote="<escape>"),
)
_GEMMA4 = ToolFormat(
    name="gemma4",
    start="<|tool_call>",
    end="<tool_call|>",
    call_start="call:{name}{",
    call_end="}",
    one_call_a_section=True,
    argument=ArgumentFormat("{key}:", separator=",", quote='<|"|>'),
)
_MISTRAL_HEADER = ToolFormat(
    name="mistral",
    start="[TOOL_CALLS]",
    end="",
    call_start="{name}[ARGS]",
    one_call_a_section=True,
)
_MISTRAL_LIST = ToolFormat(
    name="mistral",
    start="[TOOL_CALLS]",
    end="",
    call_start='{"name": "{name}", "arguments": ',
    call_end="}",
    opening="[",
    closing="]",
    separator=", ",
)

# The order is mlx-lm's (``_infer_tool_parser``): the first family whose marks a template has.
_BY_TEMPLATE: tuple[tuple[Callable[[str], bool], ToolFormat], ...] = (
    (lambda text: "<minimax:tool_call>" in text, _MINIMAX_M2),
    (lambda text: "<|tool_call>" in text and "<tool_call|>" in text, _GEMMA4),
    (lambda text: "<start_function_call>" in text, _FUNCTION_GEMMA),
    (lambda text: "<longcat_tool_call>" in text, _LONGCAT),
    (lambda text: "<arg_key>" in text, _GLM47),
    (lambda text: "<|tool_list_start|>" in text or "<|tool_call_start|>" in text, _PYTHONIC),
    (lambda text: "<tool_call>\\n<function=" in text, _QWEN3_CODER),
    (lambda text: "<tool_call>\n<function=" in text, _QWEN3_CODER),
    (lambda text: "<|tool_calls_section_begin|>" in text, _KIMI_K2),
    (lambda text: '<function name="' in text and '<param name="' in text, _MINICPM5),
    (lambda text: "[TOOL_CALLS]" in text and "[ARGS]" in text, _MISTRAL_HEADER),
    (lambda text: "[TOOL_CALLS]" in text, _MISTRAL_LIST),
    (lambda text: "<atem:function_calls>" in text, _MUSE_SPARK),
    (lambda text: "<tool_call>" in text and "tool_call.name" in text, JSON_TOOLS),
)
_BY_TOKENS: tuple[tuple[tuple[str, ...], ToolFormat], ...] = (
    (("<|open|>", "<|close|>", "<|sep|>", "<|end_of_msg|>"), _KIMI_K3),
    (("<|tool_call_start|>", "<|tool_call_end|>"), _PYTHONIC),
)


def tool_format(template: str, has_token: Callable[[str], bool]) -> ToolFormat | None:
    """The format of a model, from its chat template or else from its added tokens.

    Returns None for a model that was not trained on tools, as far as can be seen.
    """
    for is_family, family in _BY_TEMPLATE:
        if is_family(template):
            return family
    for tokens, family in _BY_TOKENS:
        if all(map(has_token, tokens)):
            return family
    return None
