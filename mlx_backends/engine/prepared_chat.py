"""A chat before it is queued: tokenized, with what its reply must look like and how to read it.

Owns the forms in which callers of every framework name a grammar and a choice of tools.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from mlx_backends.core import SamplingParams
from mlx_backends.engine.handle import RequestHandle
from mlx_backends.engine.interface import ChatTokenizer, GenerationEngine
from mlx_backends.engine.prepared import PreparedRequest
from mlx_backends.errors import ConfigError
from mlx_backends.grammar.spec import KINDS, Grammar
from mlx_backends.text.reasoning import is_reasoning_at_end
from mlx_backends.text.reply import ReplyReader
from mlx_backends.text.tool_calls import Parser
from mlx_backends.text.tool_formats import ToolFormat

Tool: TypeAlias = Mapping[str, Any]
"""A function in OpenAI's form: ``{"type": "function", "function": {"name": ...}}``."""
ToolChoice: TypeAlias = str | bool | Mapping[str, Any] | None

_CHOICES: dict[str | bool | None, str] = {
    None: "auto",
    "auto": "auto",
    "any": "any",
    "required": "any",
    True: "any",
    "none": "none",
    False: "none",
}


@dataclass(frozen=True, slots=True)
class PreparedChat:
    """A request, and the settings of the reader of its reply."""

    request: PreparedRequest
    reader_options: Mapping[str, Any]

    def submit(self) -> RequestHandle:
        return self.request.submit()

    def reader(self) -> ReplyReader:
        """A new reader, for one reply."""
        return ReplyReader(**self.reader_options)


def prepare_chat(
    engine: GenerationEngine,
    params: SamplingParams,
    turns: Sequence[Mapping[str, Any]],
    *,
    tools: Sequence[Tool] = (),
    tool_choice: ToolChoice = None,
    parallel_tool_calls: bool = True,
    strict: bool = False,
    grammar: Grammar | None = None,
    template_options: Mapping[str, Any] | None = None,
) -> PreparedChat:
    """Tokenize a chat and find out what its reply may look like.

    Blocks: it may read the model's files, and it runs its chat template.

    Args:
        engine: Answers.
        params: How to continue.
        turns: As chat templates read them.
        tools: What the model may call.
        tool_choice: As ``choice_of_tools`` takes it.
        parallel_tool_calls: Whether a reply may hold several calls.
        strict: Refuse tools whose schemas cannot be enforced in full.
        grammar: What the reply must look like; beside tools it is the schema of a reply that calls
            none.
        template_options: Variables of the chat template.

    Raises:
        ConfigError: Options contradict each other.
        RequestError: The turns, the tools or the grammar are malformed.
        ModelError: The chat template failed, or the model cannot call tools.
    """
    tokenizer = engine.tokenizer
    choice = choice_of_tools(tool_choice, tools)
    ids = tokenizer.encode_chat(turns, tools=tools or None, **(template_options or {}))
    if tools:
        grammar = _tool_grammar(
            tokenizer, tools, choice, parallel=parallel_tool_calls, strict=strict, answer=grammar
        )
    reader_options = _reader_options(tokenizer, tools, ids)
    if reader_options["tool_format"] or reader_options["reasoning_format"]:
        # The marks of calls and of reasoning are special tokens in some models.
        params = replace(params, skip_special_tokens=False)
    return PreparedChat(PreparedRequest(engine, ids, params, grammar), reader_options)


def choice_of_tools(tool_choice: ToolChoice, tools: Sequence[Tool]) -> str:
    """A tool choice as ``auto``, ``any``, ``none`` or the name of one of the tools.

    Takes the forms of OpenAI and Anthropic too.

    Raises:
        ConfigError: It is none of these.
    """
    choice: Any = tool_choice
    if isinstance(choice, Mapping):
        is_named = choice.get("type") in ("function", "tool")
        choice = choice.get("function", choice).get("name") if is_named else choice.get("type")
    names = [tool["function"]["name"] for tool in tools]
    if choice in names:
        return choice
    if isinstance(choice, str | bool | None) and choice in _CHOICES:
        return _CHOICES[choice]
    raise ConfigError(
        f"tool_choice {tool_choice!r:.80} is neither auto, any, none nor the name of a tool; "
        f"the tools are: {', '.join(names) or 'none'}."
    )


def joined_template_options(*given: Mapping[str, Any]) -> dict[str, Any]:
    """Variables of the chat template; later ones win.

    Raises:
        ConfigError: One is no mapping.
    """
    joined: dict[str, Any] = {}
    for options in given:
        if not isinstance(options, Mapping):
            raise ConfigError(
                "template_options must be a mapping such as {'enable_thinking': False}; "
                f"got {options!r:.80}."
            )
        joined |= options
    return joined


def given_grammar(grammar: Any) -> Grammar | None:
    """A grammar, or a mapping such as ``{"regex": "[0-9]+"}`` from its kind to what it says.

    Raises:
        ConfigError: It is neither.
        GrammarError: The grammar is malformed.
    """
    if grammar is None or isinstance(grammar, Grammar):
        return grammar
    if isinstance(grammar, Mapping) and len(grammar) == 1:
        ((kind, source),) = grammar.items()
        if kind in KINDS:
            return getattr(Grammar, kind)(source)
    raise ConfigError(
        f"grammar must be a Grammar or a mapping of one of {', '.join(KINDS)}; got {grammar!r:.80}."
    )


def _tool_grammar(
    tokenizer: ChatTokenizer,
    tools: Sequence[Tool],
    choice: str,
    *,
    parallel: bool,
    strict: bool,
    answer: Grammar | None,
) -> Grammar | None:
    if answer is not None and answer.kind != "json_schema":
        raise ConfigError(
            f"Beside tools a reply can follow a JSON schema only; got a {answer.kind} grammar."
        )
    # Here, not at the top: most chats have no tools.
    from mlx_backends.grammar.json_schema import parse_schema
    from mlx_backends.grammar.tools import tool_grammar

    return tool_grammar(
        tokenizer,
        tools,
        choice,
        parallel=parallel,
        strict=strict,
        answer=parse_schema(answer.source) if answer else None,
    )


def _reader_options(
    tokenizer: ChatTokenizer, tools: Sequence[Tool], prompt_token_ids: Sequence[int]
) -> dict[str, Any]:
    tool_format = tokenizer.tool_format if tools else None
    return {
        "reasoning_format": tokenizer.reasoning_format,
        "is_reasoning": _is_reasoning(tokenizer, prompt_token_ids),
        "tool_format": tool_format,
        "tools": tools,
        "parse": _parser(tool_format),
    }


def _is_reasoning(tokenizer: ChatTokenizer, prompt_token_ids: Sequence[int]) -> bool:
    marks, ids = tokenizer.reasoning_format, tokenizer.added_token_ids
    return marks is not None and is_reasoning_at_end(
        prompt_token_ids, ids[marks.start], ids[marks.end]
    )


def _parser(tool_format: ToolFormat | None) -> Parser | None:
    """The family's parser, for formats that are not one of JSON."""
    if tool_format is None or tool_format.argument is None:
        return None
    from mlx_backends.models.tool_parsers import tool_parser

    return tool_parser(tool_format.name)
