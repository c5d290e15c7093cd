"""One chat call: the options it was given, and its reply as LangChain's results."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self

from langchain_core.outputs import ChatGenerationChunk, ChatResult

from mlx_backends.core import TokenOutput
from mlx_backends.engine.handle import join_outputs
from mlx_backends.engine.prepared_chat import PreparedChat, ToolChoice, given_grammar
from mlx_backends.errors import ConfigError
from mlx_backends.grammar.spec import Grammar
from mlx_backends.langchain import _results
from mlx_backends.langchain._tools import response_grammar
from mlx_backends.text.reply import ReplyDelta
from mlx_backends.text.tool_calls import joined_calls


@dataclass(frozen=True, slots=True, kw_only=True)
class ChatOptions:
    """Options of a call that are no sampling options, as the caller wrote them.

    Attributes:
        rest: All other options.
    """

    tools: Sequence[Any] = ()
    tool_choice: ToolChoice = None
    parallel_tool_calls: bool = True
    strict: bool = False
    response_format: Any = None
    grammar: Any = None
    template_options: Mapping[str, Any] = field(default_factory=dict)
    rest: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def taken_from(cls, options: Mapping[str, Any]) -> Self:
        own = {n: v for n, v in options.items() if n in _OWN_OPTIONS and v is not None}
        rest = {n: v for n, v in options.items() if n not in _OWN_OPTIONS}
        return cls(**own, rest=rest)

    def reply_grammar(self) -> Grammar | None:
        """What a reply without calls must look like.

        Raises:
            ConfigError: Both a grammar and a response format are given, or one is malformed.
            GrammarError: The grammar is malformed.
        """
        given, formatted = given_grammar(self.grammar), response_grammar(self.response_format)
        if given is not None and formatted is not None:
            raise ConfigError("Give either grammar or response_format, not both.")
        return given or formatted


_OWN_OPTIONS = frozenset(ChatOptions.__dataclass_fields__) - {"rest"}


class Reply:
    """Takes the outputs of one request, in order, and makes LangChain's results of them."""

    def __init__(self, chat: PreparedChat) -> None:
        self._model_name = chat.request.engine.model_name
        self._reader = chat.reader()
        self._outputs: list[TokenOutput] = []
        self._deltas: list[ReplyDelta] = []

    def chunk(self, output: TokenOutput) -> ChatGenerationChunk | None:
        """The chunk that an output becomes; None if there is nothing to see."""
        delta = self._read(output)
        if not _results.is_visible(output, delta):
            return None
        return _results.to_chat_chunk(
            output,
            delta,
            self._model_name,
            num_reasoning_tokens=self._reader.num_reasoning_tokens,
        )

    def add(self, output: TokenOutput) -> None:
        """Take an output that is not streamed."""
        self._outputs.append(output)
        self._deltas.append(self._read(output))

    def result(self) -> ChatResult:
        """The whole answer."""
        return _results.to_chat_result(
            join_outputs(self._outputs),
            _joined(self._deltas),
            self._model_name,
            num_reasoning_tokens=self._reader.num_reasoning_tokens,
        )

    def _read(self, output: TokenOutput) -> ReplyDelta:
        return self._reader.feed(
            output.text,
            num_tokens=len(output.token_ids),
            is_last=output.finish_reason is not None,
        )


def _joined(deltas: Sequence[ReplyDelta]) -> ReplyDelta:
    return ReplyDelta(
        text="".join(delta.text for delta in deltas),
        reasoning="".join(delta.reasoning for delta in deltas),
        tool_calls=joined_calls(call for delta in deltas for call in delta.tool_calls),
    )
