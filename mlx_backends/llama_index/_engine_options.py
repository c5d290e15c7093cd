"""The options of ``MLXLLM``, and the engine that they name."""

from dataclasses import replace
from typing import Any, Self

from llama_index.core.base.llms.types import LLMMetadata
from llama_index.core.constants import DEFAULT_NUM_OUTPUTS
from llama_index.core.llms.function_calling import FunctionCallingLLM
from pydantic import ConfigDict, Field, SkipValidation, model_validator
from pydantic.json_schema import SkipJsonSchema

from mlx_backends import registry
from mlx_backends.config import (
    CacheConfig,
    Device,
    DType,
    EngineConfig,
    model_from_environment,
)
from mlx_backends.core import SamplingParams
from mlx_backends.engine.interface import GenerationEngine
from mlx_backends.engine.prepared_chat import joined_template_options
from mlx_backends.errors import ConfigError
from mlx_backends.llama_index._call_options import CallOptions
from mlx_backends.llama_index._options import ModelName, options_of


class EngineOptions(FunctionCallingLLM):
    """Options of a language model that an engine runs, and what LlamaIndex asks about it.

    Options that are None keep the engine's default. The constructor loads nothing.
    """

    model_config = ConfigDict(extra="forbid")

    model: ModelName = Field(
        default=None,
        description="Local folder or Hub id; None is MLX_BACKENDS_MODEL, else the bundled model.",
    )
    revision: str | None = Field(default=None, description="Hub branch, tag or commit.")
    adapter_path: str | None = Field(
        default=None, description="Local folder of a LoRA or DoRA adapter for the model."
    )
    device: Device = Field(default="auto", description="Where to compute.")
    dtype: DType = Field(default="auto", description="Type to compute in.")
    max_model_len: int | None = Field(
        default=None, description="Context window in tokens, if smaller than the model's own."
    )
    kv_bits: int | None = Field(
        default=None, description="Bits of KV entries, 8 or 4; None keeps them as computed."
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
                "adapter_path, device, dtype, max_model_len and kv_bits, or leave out engine."
            )
        self._engine_config()
        SamplingParams.from_options(**options_of(self, SamplingParams))
        return self

    @property
    def metadata(self) -> LLMMetadata:
        """What the model can do; the first time reads its small files, which blocks."""
        engine = self._engine()
        tokenizer = engine.tokenizer
        return LLMMetadata(
            context_window=engine.context_window,
            num_output=self.max_tokens or DEFAULT_NUM_OUTPUTS,
            is_chat_model=tokenizer.has_chat_template,
            is_function_calling_model=tokenizer.has_chat_template
            and tokenizer.tool_format is not None,
            model_name=engine.model_name,
        )

    def to_payload(self) -> dict[str, Any]:
        """The options, for observability.

        Not the metadata that LlamaIndex would take: every call asks for this on the caller's
        thread, where an event loop may be running, and the model's files may not be read yet.
        """
        caching = options_of(self, CacheConfig)
        options = options_of(self, EngineConfig) | caching | options_of(self, SamplingParams)
        return {"class_name": self.class_name(), **options}

    def _settle(self, options: CallOptions) -> tuple[GenerationEngine, SamplingParams]:
        """The engine and the parameters of one call; what the call names wins."""
        sampling = options_of(self, SamplingParams) | dict(options.sampling)
        return self._engine(options.model), SamplingParams.from_options(**sampling)

    def _template_options(self, options: CallOptions) -> dict[str, Any]:
        return joined_template_options(self.template_options, options.template_options)

    def _engine(self, model: str | None = None) -> GenerationEngine:
        """The engine of a call; another model's is the shared one of otherwise equal options."""
        if model is not None:
            config = replace(self._engine_config(), model=model, revision=None, adapter_path=None)
            return registry.get_engine(config)
        return self.engine or registry.get_engine(self._engine_config())

    def _engine_config(self) -> EngineConfig:
        cache = CacheConfig(**options_of(self, CacheConfig))
        return EngineConfig(**options_of(self, EngineConfig), cache=cache)
