"""LlamaIndex's ``FunctionCallingLLM`` over the engine.

The way of a call: ``_ask_chat`` or ``_ask_prompt`` (options, template, token ids, grammar, into the
queue) -> ``Reply``, collected or streamed, blocking or awaited.
"""

import asyncio
from collections.abc import Mapping, Sequence
from typing import Any

from llama_index.core.base.llms.generic_utils import messages_to_prompt
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
)
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import ToolSelection, default_completion_to_prompt
from pydantic import ConfigDict

from mlx_backends.engine.prepared import PreparedRequest
from mlx_backends.engine.prepared_chat import PreparedChat, ToolChoice, prepare_chat
from mlx_backends.errors import UnsupportedModelError
from mlx_backends.llama_index._call_options import CallOptions
from mlx_backends.llama_index._completion import Completion
from mlx_backends.llama_index._engine_options import EngineOptions
from mlx_backends.llama_index._events import aclosing_stream, closing_stream
from mlx_backends.llama_index._messages import Chat, to_chat
from mlx_backends.llama_index._reply import Reply
from mlx_backends.llama_index._structured import StructuredPrediction
from mlx_backends.llama_index._tools import ToolLike, openai_tools, tool_selections


class MLXLLM(EngineOptions, StructuredPrediction):
    """A language model on MLX, in this process.

    The constructor loads nothing: small files are read when ``metadata`` is first asked for, and
    weights at the first request. Models of equal configuration share one engine, with the LangChain
    adapters too; calls that run at the same time become one continuous batch.

    Every option of ``SamplingParams``, ``template_options`` and ``model`` can also be given per
    call, as in ``llm.chat(messages, temperature=0.7)``; None there stands for the engine's default.
    A call also takes ``tools``, ``tool_choice``, ``allow_parallel_tool_calls`` and ``strict``, as
    ``chat_with_tools`` does, and ``grammar``: a ``Grammar``, or a mapping such as
    ``{"regex": "[0-9]+"}``. All are enforced while the answer is written.
    As everywhere in LlamaIndex, ``system_prompt`` is added by ``predict`` and the query engines
    that use it; ``chat`` and ``complete`` send what they are given.

    Raises:
        pydantic.ValidationError: An option of the constructor is unknown or out of its range.
        ConfigError: The same, for an option of a call.
        RequestError: A message holds something that a text model cannot read.
    """

    # Not inherited: pydantic lets the last base decide.
    model_config = ConfigDict(extra="forbid")

    @classmethod
    def class_name(cls) -> str:
        return "MLXLLM"

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, for ``Settings.tokenizer`` and the splitters' ``tokenizer``."""
        return self._engine().tokenizer.encode(text)

    def count_tokens(self, messages: Sequence[ChatMessage], tools: Sequence[ToolLike] = ()) -> int:
        """Length of the prompt that these messages make, which a call reports as prompt tokens."""
        options = CallOptions(tools=openai_tools(tools))
        return len(
            self._prepare_chat(to_chat(messages), messages, options).request.prompt_token_ids
        )

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        return self._ask_chat(messages, kwargs).collect().to_chat_response()

    @closing_stream(llm_chat_callback)
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        return self._ask_chat(messages, kwargs).stream(Completion.to_chat_response)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        reply = await asyncio.to_thread(self._ask_chat, messages, kwargs)
        return (await reply.acollect()).to_chat_response()

    @aclosing_stream(llm_chat_callback)
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        reply = await asyncio.to_thread(self._ask_chat, messages, kwargs)
        return reply.astream(Completion.to_chat_response)

    @llm_completion_callback()
    def complete(self, prompt: str, formatted: bool = False, **kwargs: Any) -> CompletionResponse:
        """Continue a prompt.

        Args:
            prompt: The text.
            formatted: The text is already what the model is to see. Otherwise a model with a chat
                template gets it as a user's message, as LlamaIndex's interface asks: instruction
                models answer poorly outside their template. A ``completion_to_prompt`` of one's own
                takes the template's place.
            **kwargs: Options for this call.
        """
        return self._ask_prompt(prompt, formatted, kwargs).collect().to_completion_response()

    @closing_stream(llm_completion_callback)
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        reply = self._ask_prompt(prompt, formatted, kwargs)
        return reply.stream(Completion.to_completion_response)

    @llm_completion_callback()
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        reply = await asyncio.to_thread(self._ask_prompt, prompt, formatted, kwargs)
        return (await reply.acollect()).to_completion_response()

    @aclosing_stream(llm_completion_callback)
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        reply = await asyncio.to_thread(self._ask_prompt, prompt, formatted, kwargs)
        return reply.astream(Completion.to_completion_response)

    def get_tool_calls_from_response(
        self, response: ChatResponse, error_on_no_tool_call: bool = True, **kwargs: Any
    ) -> list[ToolSelection]:
        """The calls of an answer; of one that is still being streamed, what there is of them.

        Raises:
            ValueError: There is none, and ``error_on_no_tool_call`` is set.
        """
        selections = tool_selections(response)
        if not selections and error_on_no_tool_call:
            raise ValueError(
                f"The answer calls no tool: {response.message.content!r:.200}. Pass "
                "tool_required=True to enforce a call, or error_on_no_tool_call=False."
            )
        return selections

    def _prepare_chat_with_tools(
        self,
        tools: Sequence[ToolLike],
        user_msg: str | ChatMessage | None = None,
        chat_history: list[ChatMessage] | None = None,
        verbose: bool = False,
        allow_parallel_tool_calls: bool = False,
        tool_required: bool = False,
        tool_choice: ToolChoice = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """Keyword arguments of ``chat``; ``tool_choice`` wins over ``tool_required``."""
        asked = [ChatMessage(content=user_msg)] if isinstance(user_msg, str) else [user_msg]
        return {
            "messages": [*(chat_history or []), *filter(None, asked)],
            "tools": openai_tools(tools),
            "tool_choice": tool_choice or ("any" if tool_required else "auto"),
            "allow_parallel_tool_calls": allow_parallel_tool_calls,
            **kwargs,
        }

    def _ask_chat(self, messages: Sequence[ChatMessage], kwargs: Mapping[str, Any]) -> Reply:
        """Queue a chat; blocks, as it may read files and runs the chat template."""
        options = CallOptions.taken_from(kwargs)
        chat = to_chat(messages)
        prepared = self._prepare_chat(chat, messages, options)
        takes_one_call = not options.allow_parallel_tool_calls
        return Reply.to(prepared, chat.passages, takes_one_call=takes_one_call)

    def _ask_prompt(self, prompt: str, formatted: bool, kwargs: Mapping[str, Any]) -> Reply:
        """As ``_ask_chat``, for a prompt."""
        return Reply.to(self._prepare_prompt(prompt, formatted, CallOptions.taken_from(kwargs)))

    def _prepare_chat(
        self, chat: Chat, messages: Sequence[ChatMessage], options: CallOptions
    ) -> PreparedChat:
        engine, params = self._settle(options)
        write = self.messages_to_prompt or messages_to_prompt
        if engine.tokenizer.has_chat_template and write is messages_to_prompt:
            return prepare_chat(
                engine,
                params,
                chat.turns,
                tools=options.tools,
                tool_choice=options.tool_choice,
                parallel_tool_calls=options.allow_parallel_tool_calls,
                strict=options.strict,
                grammar=options.grammar,
                template_options=self._template_options(options),
            )
        if options.tools:
            raise UnsupportedModelError(
                "Tools are shown to a model by its chat template, and this one has none, or "
                "messages_to_prompt took its place."
            )
        return self._prepare_text(write(messages), options)

    def _prepare_prompt(self, prompt: str, formatted: bool, options: CallOptions) -> PreparedChat:
        write = self.completion_to_prompt or default_completion_to_prompt
        if formatted:
            return self._prepare_text(prompt, options)
        tokenizer = self._engine(options.model).tokenizer
        if tokenizer.has_chat_template and write is default_completion_to_prompt:
            messages = [ChatMessage(content=prompt)]
            return self._prepare_chat(to_chat(messages), messages, options)
        return self._prepare_text(write(prompt), options)

    def _prepare_text(self, text: str, options: CallOptions) -> PreparedChat:
        """A prompt that the model is to see as it is."""
        engine, params = self._settle(options)
        ids = engine.tokenizer.encode(text, add_special_tokens=True)
        return PreparedChat(PreparedRequest(engine, ids, params, options.grammar), {})
