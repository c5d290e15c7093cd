"""``ChatMLX``: LangChain's chat model over the engine.

One path, four faces: messages become a prompt, the engine continues it, its outputs become chunks
(``_stream``, ``_astream``) or, joined, one message (``_generate``, ``_agenerate``).
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.tools import BaseTool
from langchain_core.utils.function_calling import convert_to_openai_tool
from pydantic import ConfigDict, Field, SecretStr

from mlx_backends.engine.prepared import PreparedRequest
from mlx_backends.langchain import _convert
from mlx_backends.langchain._options import EngineOptions


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

    def get_num_tokens_from_messages(
        self,
        messages: list[BaseMessage],
        tools: Sequence[dict[str, Any] | type | Callable[..., Any] | BaseTool] | None = None,
    ) -> int:
        """Length of the prompt that these messages make: what a call reports as input tokens."""
        if not messages:
            return 0
        ids = self._engine_for(None).tokenizer.encode_chat(
            _convert.to_chat_messages(messages),
            tools=[convert_to_openai_tool(tool) for tool in tools] if tools else None,
            **self.template_options,
        )
        return len(ids)

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        model_name, request = self._prepare(messages, stop, kwargs)
        return _convert.to_chat_result(request.submit().result(), model_name)

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        model_name, request = await asyncio.to_thread(self._prepare, messages, stop, kwargs)
        return _convert.to_chat_result(await request.submit().aresult(), model_name)

    def _stream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> Iterator[ChatGenerationChunk]:
        model_name, request = self._prepare(messages, stop, kwargs)
        with contextlib.closing(request.submit().stream()) as outputs:
            for output in filter(_convert.is_visible, outputs):
                chunk = _convert.to_chat_chunk(output, model_name)
                if run_manager is not None:
                    run_manager.on_llm_new_token(output.text, chunk=chunk)
                yield chunk

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        model_name, request = await asyncio.to_thread(self._prepare, messages, stop, kwargs)
        async with contextlib.aclosing(request.submit().astream()) as outputs:
            async for output in outputs:
                if not _convert.is_visible(output):
                    continue
                chunk = _convert.to_chat_chunk(output, model_name)
                if run_manager is not None:
                    await run_manager.on_llm_new_token(output.text, chunk=chunk)
                yield chunk

    def _prepare(
        self, messages: Sequence[BaseMessage], stop: list[str] | None, options: dict[str, Any]
    ) -> tuple[str, PreparedRequest]:
        """The model's name and the prompt, tokenized.

        Blocks: it may import MLX and read files, and it runs the model's chat template.
        """
        sampling = {name: value for name, value in options.items() if name != "template_options"}
        engine, params = self._call_settings(stop, sampling)
        ids = engine.tokenizer.encode_chat(
            _convert.to_chat_messages(messages),
            **{**self.template_options, **(options.get("template_options") or {})},
        )
        return engine.model_name, PreparedRequest(engine, ids, params)
