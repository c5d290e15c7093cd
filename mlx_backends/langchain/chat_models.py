"""``ChatMLX``: LangChain's chat model over the engine.

One path, four faces: messages become a prompt, the engine continues it, its outputs become chunks
(``_stream``, ``_astream``) or, joined, one message (``_generate``, ``_agenerate``).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import LanguageModelInput, ModelProfile
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import Runnable, RunnableConfig
from pydantic import ConfigDict, Field, SecretStr

from mlx_backends.engine.prepared_chat import (
    PreparedChat,
    ToolChoice,
    choice_of_tools,
    joined_template_options,
    prepare_chat,
)
from mlx_backends.engine.profile import local_profile
from mlx_backends.langchain._batching import all_at_once
from mlx_backends.langchain._chat_call import ChatOptions, Reply
from mlx_backends.langchain._messages import to_chat_messages
from mlx_backends.langchain._options import EngineOptions
from mlx_backends.langchain._structured import Method, binding_options, parser_of, with_raw
from mlx_backends.langchain._tools import ToolLike, openai_tools


class ChatMLX(EngineOptions, BaseChatModel):
    """Chat with a model that MLX runs in this process.

    Example:
        ```python
        from mlx_backends.langchain import ChatMLX

        llm = ChatMLX(model="mlx-community/Qwen3-4B-4bit", temperature=0.7)
        llm.invoke("Why is the sky blue?").content
        ```

    Models of the same options share one engine, with one copy of the weights; calls that run at
    the same time (``batch``, ``abatch``, threads, tasks) become one continuous batch. Leaving a
    stream early, or cancelling its task, stops the generation.

    Besides the options below, a call (or ``bind``) takes ``tools``, ``tool_choice`` and
    ``parallel_tool_calls`` (see ``bind_tools``), ``response_format`` (a pydantic class, a JSON
    schema or OpenAI's form), ``grammar`` (a ``Grammar``, or a mapping such as
    ``{"regex": "[0-9]+"}`` from one of json_schema, regex, choice, lark and gbnf) and ``strict``.
    All are enforced while the answer is written.
    """

    # Not inherited: pydantic lets the last base, LangChain's, decide.
    model_config = ConfigDict(extra="forbid")

    template_options: dict[str, Any] = Field(default_factory=dict)
    """Options of the model's chat template, such as ``enable_thinking``; a call's own are added."""
    streaming: bool | None = None
    """True makes ``invoke`` stream for callbacks, False makes ``stream`` invoke."""

    # LangChain gives these to every chat model, so that models can be exchanged.
    timeout: float | None = None
    """Without effect: there is no connection that could be slow."""
    max_retries: int | None = None
    """Without effect: there is no connection that could fail."""
    api_key: SecretStr | None = Field(default=None, exclude=True, repr=False)
    """Without effect: there is no account."""

    @property
    def _llm_type(self) -> str:
        return "mlx-chat"

    @property
    def _identifying_params(self) -> dict[str, Any]:
        return {**super()._identifying_params, "template_options": self.template_options}

    def _resolve_model_profile(self) -> ModelProfile | None:
        """What ``profile`` says of a local model; a Hub id would have to be downloaded first."""
        profile = None if self.engine is not None else local_profile(self.model)
        if profile is None:
            return None
        window = profile.context_window
        return ModelProfile(
            max_input_tokens=min(window, self.max_model_len or window),
            max_output_tokens=min(window, self.max_tokens or window),
            text_inputs=True,
            text_outputs=True,
            image_inputs=False,
            audio_inputs=False,
            pdf_inputs=False,
            video_inputs=False,
            image_outputs=False,
            tool_calling=profile.calls_tools,
            tool_choice=profile.calls_tools,
            tool_call_streaming=profile.calls_tools,
            structured_output=True,
            reasoning_output=profile.reasons,
        )

    def bind_tools(
        self,
        tools: Sequence[ToolLike],
        *,
        tool_choice: ToolChoice = None,
        parallel_tool_calls: bool | None = None,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, AIMessage]:
        """Let the model call tools; names and arguments are typed by grammar.

        Args:
            tools: Tools, functions, pydantic classes, ``TypedDict`` classes or schemas, also in the
                forms of OpenAI and Anthropic.
            tool_choice: ``auto`` (the default), ``any`` (or ``required``, True: calls only),
                ``none`` (no calls) or the name of the one tool to call.
            parallel_tool_calls: False allows one call an answer.
            strict: True refuses schemas that cannot be enforced in full.
            kwargs: Further options of each call.

        Raises:
            ConfigError: ``tool_choice`` names no tool.
        """
        formatted = openai_tools(tools)
        options = {"parallel_tool_calls": parallel_tool_calls, "strict": strict}
        given = {name: value for name, value in options.items() if value is not None}
        choice = choice_of_tools(tool_choice, formatted)
        return self.bind(tools=formatted, tool_choice=choice, **given, **kwargs)

    def with_structured_output(
        self,
        schema: Any = None,
        *,
        method: Method = "json_schema",
        include_raw: bool = False,
        strict: bool | None = None,
        **kwargs: Any,
    ) -> Runnable[LanguageModelInput, Any]:
        """Answers as objects of a schema, which the grammar makes certain.

        Args:
            schema: A pydantic class, a ``TypedDict`` class, a function or a JSON schema.
            method: ``json_schema`` and ``json_mode`` write JSON as the answer (``json_mode`` also
                without a schema), ``function_calling`` calls a tool of that schema.
            include_raw: Return the message and parsing errors too, as a dictionary.
            strict: True refuses schemas that cannot be enforced in full; otherwise what can be is.
            kwargs: Further options of each call.

        Raises:
            ConfigError: The method is unknown, or lacks a schema.
        """
        options = binding_options(schema, method, strict=strict)
        llm = self.bind(**options, **kwargs)
        parser = parser_of(schema, method)
        return with_raw(llm, parser) if include_raw else llm | parser

    def get_num_tokens_from_messages(
        self,
        messages: list[BaseMessage],
        tools: Sequence[ToolLike] | None = None,
    ) -> int:
        """Length of the prompt that these messages make: what a call reports as input tokens."""
        if not messages:
            return 0
        ids = self._engine_for(None).tokenizer.encode_chat(
            to_chat_messages(messages),
            tools=openai_tools(tools) if tools else None,
            **self.template_options,
        )
        return len(ids)

    def batch(
        self,
        inputs: list[LanguageModelInput],
        config: RunnableConfig | list[RunnableConfig] | None = None,
        *,
        return_exceptions: bool = False,
        **kwargs: Any,
    ) -> list[AIMessage]:
        """Answer many conversations as one continuous batch.

        Args:
            inputs: The conversations.
            config: Its ``max_concurrency`` hands so many to the engine at a time; all by default.
            return_exceptions: Return the error of a conversation in place of its answer.
            kwargs: Options of each call.
        """
        configs = all_at_once(config, len(inputs))
        return super().batch(inputs, configs, return_exceptions=return_exceptions, **kwargs)

    def batch_as_completed(  # pyright: ignore[reportIncompatibleMethodOverride]
        self,
        inputs: Sequence[LanguageModelInput],
        config: RunnableConfig | Sequence[RunnableConfig] | None = None,
        **kwargs: Any,
    ) -> Iterator[tuple[int, AIMessage | Exception]]:
        """As ``batch``; each answer comes as soon as it is there, with its place in ``inputs``."""
        return super().batch_as_completed(inputs, all_at_once(config, len(inputs)), **kwargs)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        chat = self._prepare(messages, stop, kwargs)
        reply = Reply(chat)
        with contextlib.closing(chat.submit().stream()) as outputs:
            for output in outputs:
                reply.add(output)
        return reply.result()

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        chat = await asyncio.to_thread(self._prepare, messages, stop, kwargs)
        reply = Reply(chat)
        async with contextlib.aclosing(chat.submit().astream()) as outputs:
            async for output in outputs:
                reply.add(output)
        return reply.result()

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        chat = self._prepare(messages, stop, kwargs)
        reply = Reply(chat)
        with contextlib.closing(chat.submit().stream()) as outputs:
            for output in outputs:
                chunk = reply.chunk(output)
                if chunk is None:
                    continue
                if run_manager is not None:
                    run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        chat = await asyncio.to_thread(self._prepare, messages, stop, kwargs)
        reply = Reply(chat)
        async with contextlib.aclosing(chat.submit().astream()) as outputs:
            async for output in outputs:
                chunk = reply.chunk(output)
                if chunk is None:
                    continue
                if run_manager is not None:
                    await run_manager.on_llm_new_token(chunk.text, chunk=chunk)
                yield chunk

    def _prepare(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, options: dict[str, Any]
    ) -> PreparedChat:
        """What to ask the engine, tokenized.

        Blocks: it may import MLX and read files, and it runs the model's chat template.
        """
        chat = ChatOptions.taken_from(options)
        engine, params = self._call_settings(stop, chat.rest)
        return prepare_chat(
            engine,
            params,
            to_chat_messages(messages),
            tools=openai_tools(chat.tools),
            tool_choice=chat.tool_choice,
            parallel_tool_calls=chat.parallel_tool_calls,
            strict=chat.strict,
            grammar=chat.reply_grammar(),
            template_options=joined_template_options(self.template_options, chat.template_options),
        )
