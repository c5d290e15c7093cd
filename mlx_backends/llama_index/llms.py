"""LlamaIndex's ``LLM`` over the engine: options in, messages converted, everything else delegated.

The way of a call: ``_prepare_chat`` or ``_prepare_prompt`` (options, template, token ids) ->
``Reply``, collected or streamed, blocking or awaited.
"""

import asyncio
from collections.abc import Sequence
from typing import Any, Self

from llama_index.core.base.llms.generic_utils import messages_to_prompt
from llama_index.core.base.llms.types import (
    ChatMessage,
    ChatResponse,
    ChatResponseAsyncGen,
    ChatResponseGen,
    CompletionResponse,
    CompletionResponseAsyncGen,
    CompletionResponseGen,
    LLMMetadata,
)
from llama_index.core.constants import DEFAULT_NUM_OUTPUTS
from llama_index.core.llms.callbacks import llm_chat_callback, llm_completion_callback
from llama_index.core.llms.llm import LLM, default_completion_to_prompt
from pydantic import ConfigDict, Field, SkipValidation, model_validator
from pydantic.json_schema import SkipJsonSchema

from mlx_backends import registry
from mlx_backends.config import Device, DType, EngineConfig, model_from_environment
from mlx_backends.core import SamplingParams
from mlx_backends.engine.interface import ChatTokenizer, GenerationEngine
from mlx_backends.engine.prepared import PreparedRequest
from mlx_backends.errors import ConfigError
from mlx_backends.llama_index._convert import Completion, to_chat_messages
from mlx_backends.llama_index._events import aclosing_stream, closing_stream
from mlx_backends.llama_index._options import ModelName, options_of
from mlx_backends.llama_index._reply import Reply


class MLXLLM(LLM):
    """A language model on MLX, in this process.

    The constructor loads nothing: small files are read when ``metadata`` is first asked for, and
    weights at the first request. Models of equal configuration share one engine, with the LangChain
    adapters too.

    Every option of ``SamplingParams``, ``template_options`` and ``model`` can also be given per
    call, as in ``llm.chat(messages, temperature=0.7)``; None there stands for the engine's default.
    As everywhere in LlamaIndex, ``system_prompt`` is added by ``predict`` and the query engines
    that use it; ``chat`` and ``complete`` send what they are given.

    Raises:
        pydantic.ValidationError: An option of the constructor is unknown or out of its range.
        ConfigError: The same, for an option of a call.
        RequestError: A message holds something that a text model cannot read.
    """

    model_config = ConfigDict(extra="forbid")

    model: ModelName = Field(
        default=None,
        description="Local folder or Hub id; None is MLX_BACKENDS_MODEL, else the bundled model.",
    )
    revision: str | None = Field(default=None, description="Hub branch, tag or commit.")
    device: Device = Field(default="auto", description="Where to compute.")
    dtype: DType = Field(default="auto", description="Type to compute in.")
    max_model_len: int | None = Field(
        default=None, description="Context window in tokens, if smaller than the model's own."
    )
    max_tokens: int | None = Field(
        default=None,
        description="Most completion tokens; None is as many as the context window leaves.",
    )
    temperature: float | None = Field(default=None, description="0 is greedy.")
    top_p: float | None = Field(
        default=None, description="Smallest set of tokens whose probability reaches this."
    )
    top_k: int | None = Field(default=None, description="The k likeliest tokens.")
    min_p: float | None = Field(
        default=None, description="Tokens at least this likely relative to the likeliest."
    )
    seed: int | None = Field(default=None, description="Makes the draws reproducible.")
    repetition_penalty: float | None = Field(
        default=None, description="Divides the logits of recent tokens, the prompt's included."
    )
    presence_penalty: float | None = Field(
        default=None, description="Subtracted once from the logits of tokens so far."
    )
    frequency_penalty: float | None = Field(
        default=None, description="Subtracted per occurrence from the logits of tokens so far."
    )
    stop: str | list[str] | None = Field(
        default=None, description="Strings that end the completion and are not part of it."
    )
    logprobs: bool | None = Field(
        default=None, description="Report the log-probability of every token."
    )
    top_logprobs: int | None = Field(
        default=None, description="Likeliest alternatives to report at every position."
    )
    template_options: dict[str, Any] = Field(
        default_factory=dict,
        description="Variables of the chat template, such as enable_thinking.",
    )
    engine: SkipJsonSchema[SkipValidation[GenerationEngine | None]] = Field(
        default=None,
        description="An engine of one's own in place of the shared one; brings its own model.",
        exclude=True,
        repr=False,
    )

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        """Meet a bad option here rather than in the first call."""
        if self.engine is None:
            self.model = self.model or model_from_environment("lm")
        elif self._engine_config() != EngineConfig():
            raise ConfigError(
                "engine= brings its own model and configuration; leave out model, revision, "
                "device, dtype and max_model_len, or leave out engine."
            )
        self._engine_config()
        SamplingParams.from_options(**options_of(self, SamplingParams))
        return self

    @classmethod
    def class_name(cls) -> str:
        return "MLXLLM"

    @property
    def metadata(self) -> LLMMetadata:
        """What the model can do; the first time reads its small files, which blocks."""
        engine = self._engine()
        return LLMMetadata(
            context_window=engine.context_window,
            num_output=self.max_tokens or DEFAULT_NUM_OUTPUTS,
            is_chat_model=engine.tokenizer.has_chat_template,
            model_name=engine.model_name,
        )

    def to_payload(self) -> dict[str, Any]:
        """The options, for observability.

        Not the metadata that LlamaIndex would take: every call asks for this on the caller's
        thread, where an event loop may be running, and the model's files may not be read yet.
        """
        options = options_of(self, EngineConfig) | options_of(self, SamplingParams)
        return {"class_name": self.class_name(), **options}

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, for ``Settings.tokenizer`` and the splitters' ``tokenizer``."""
        return self._engine().tokenizer.encode(text)

    @llm_chat_callback()
    def chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        reply = Reply.to(self._prepare_chat(messages, kwargs))
        return reply.collect().to_chat_response()

    @closing_stream(llm_chat_callback)
    def stream_chat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponseGen:
        reply = Reply.to(self._prepare_chat(messages, kwargs))
        return reply.stream(Completion.to_chat_response)

    @llm_chat_callback()
    async def achat(self, messages: Sequence[ChatMessage], **kwargs: Any) -> ChatResponse:
        request = await asyncio.to_thread(self._prepare_chat, messages, kwargs)
        return (await Reply.to(request).acollect()).to_chat_response()

    @aclosing_stream(llm_chat_callback)
    async def astream_chat(
        self, messages: Sequence[ChatMessage], **kwargs: Any
    ) -> ChatResponseAsyncGen:
        request = await asyncio.to_thread(self._prepare_chat, messages, kwargs)
        return Reply.to(request).astream(Completion.to_chat_response)

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
        reply = Reply.to(self._prepare_prompt(prompt, formatted, kwargs))
        return reply.collect().to_completion_response()

    @closing_stream(llm_completion_callback)
    def stream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseGen:
        reply = Reply.to(self._prepare_prompt(prompt, formatted, kwargs))
        return reply.stream(Completion.to_completion_response)

    @llm_completion_callback()
    async def acomplete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponse:
        request = await asyncio.to_thread(self._prepare_prompt, prompt, formatted, kwargs)
        return (await Reply.to(request).acollect()).to_completion_response()

    @aclosing_stream(llm_completion_callback)
    async def astream_complete(
        self, prompt: str, formatted: bool = False, **kwargs: Any
    ) -> CompletionResponseAsyncGen:
        request = await asyncio.to_thread(self._prepare_prompt, prompt, formatted, kwargs)
        return Reply.to(request).astream(Completion.to_completion_response)

    def _prepare_chat(
        self, messages: Sequence[ChatMessage], call_options: dict[str, Any]
    ) -> PreparedRequest:
        """Settle a call's options and tokenize its messages; may read files and take long."""
        sampling_params, engine, template_options = self._settle(call_options)
        token_ids = self._encode_chat(engine.tokenizer, messages, template_options)
        return PreparedRequest(engine, token_ids, sampling_params)

    def _prepare_prompt(
        self, prompt: str, formatted: bool, call_options: dict[str, Any]
    ) -> PreparedRequest:
        """As ``_prepare_chat``, for a prompt."""
        sampling_params, engine, template_options = self._settle(call_options)
        token_ids = self._encode_prompt(engine.tokenizer, prompt, formatted, template_options)
        return PreparedRequest(engine, token_ids, sampling_params)

    def _settle(
        self, call_options: dict[str, Any]
    ) -> tuple[SamplingParams, GenerationEngine, dict[str, Any]]:
        options = options_of(self, SamplingParams) | call_options
        model = options.pop("model", None)
        template_options = self.template_options | (options.pop("template_options", None) or {})
        return SamplingParams.from_options(**options), self._engine(model), template_options

    def _encode_chat(
        self,
        tokenizer: ChatTokenizer,
        messages: Sequence[ChatMessage],
        template_options: dict[str, Any],
    ) -> list[int]:
        # First, because it checks the blocks, which LlamaIndex's own writer would drop.
        turns = to_chat_messages(messages)
        write = self.messages_to_prompt or messages_to_prompt
        if tokenizer.has_chat_template and write is messages_to_prompt:
            return tokenizer.encode_chat(turns, **template_options)
        return tokenizer.encode(write(messages), add_special_tokens=True)

    def _encode_prompt(
        self,
        tokenizer: ChatTokenizer,
        prompt: str,
        formatted: bool,
        template_options: dict[str, Any],
    ) -> list[int]:
        write = self.completion_to_prompt or default_completion_to_prompt
        if formatted:
            return tokenizer.encode(prompt, add_special_tokens=True)
        if tokenizer.has_chat_template and write is default_completion_to_prompt:
            return tokenizer.encode_chat([{"role": "user", "content": prompt}], **template_options)
        return tokenizer.encode(write(prompt), add_special_tokens=True)

    def _engine(self, model: str | None = None) -> GenerationEngine:
        """The engine of a call; another model's is the shared one of otherwise equal options."""
        if model is not None:
            options = options_of(self, EngineConfig) | {"model": model, "revision": None}
            return registry.get_engine(EngineConfig(**options))
        return self.engine or registry.get_engine(self._engine_config())

    def _engine_config(self) -> EngineConfig:
        return EngineConfig(**options_of(self, EngineConfig))
