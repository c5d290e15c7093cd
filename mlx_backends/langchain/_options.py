"""What ``ChatMLX`` and ``MLXLLM`` have in common: their options and the engine these name."""

from collections.abc import Iterable
from dataclasses import fields
from typing import Annotated, Any, Self

from langchain_core.language_models.base import BaseLanguageModel, LangSmithParams
from pydantic import BaseModel, Field, SkipValidation, model_validator

from mlx_backends import registry
from mlx_backends._version import __version__
from mlx_backends.config import (
    CacheConfig,
    Device,
    DType,
    EngineConfig,
    model_from_environment,
)
from mlx_backends.core import SamplingParams
from mlx_backends.engine.interface import GenerationEngine
from mlx_backends.errors import ConfigError

# Reported in traces before the engine is asked for the name of the folder, which reads files.
_BUNDLED_MODEL_NAME = "bundled"

_ENGINE_OPTIONS = (
    "model",
    "revision",
    "adapter_path",
    "device",
    "dtype",
    "max_model_len",
    "kv_bits",
)
_SAMPLING_OPTIONS = tuple(field.name for field in fields(SamplingParams))
# LangChain's own switch between stream and invoke, which it passes on to the model.
_FRAMEWORK_OPTIONS = frozenset({"stream"})


def refuse_beside(passed: str, model: BaseModel, options: Iterable[str]) -> None:
    """Raise ``ConfigError`` if any of ``options`` is set beside an object that has its own."""
    defaults = type(model).model_fields
    given = [name for name in options if getattr(model, name) != defaults[name].default]
    if given:
        raise ConfigError(
            f"{', '.join(given)} cannot be set together with {passed}, which has its own; "
            "give one or the other."
        )


class EngineOptions(BaseLanguageModel):
    """Options of a model that an engine runs, and what LangChain asks about it.

    Options that are None keep the engine's default. Every sampling option, and ``model``, can also
    be given per call, where it wins. The constructor loads nothing.
    """

    model: str | None = None
    """Local folder or Hub id; None is ``MLX_BACKENDS_MODEL``, else the bundled model."""
    revision: str | None = None
    """Hub branch, tag or commit of ``model``."""
    adapter_path: str | None = None
    """Local folder of a LoRA or DoRA adapter that ``mlx_lm.lora`` wrote for ``model``."""
    device: Device = "auto"
    """Where to compute; ``auto`` is the GPU where MLX has one."""
    dtype: DType = "auto"
    """Type of weights and activations, as in ``EngineConfig``."""
    max_model_len: int | None = None
    """Context window in tokens, if smaller than the model's own."""
    kv_bits: int | None = None
    """Bits of KV entries, 8 or 4, as in ``CacheConfig``."""

    temperature: float | None = None
    """0, the default, is greedy."""
    max_tokens: int | None = None
    """Most completion tokens; as many as the context window leaves by default."""
    top_p: float | None = None
    """Draw from the smallest set of tokens whose probability reaches this."""
    top_k: int | None = None
    """Draw from the k likeliest tokens."""
    min_p: float | None = None
    """Draw from tokens at least this likely relative to the likeliest."""
    seed: int | None = None
    """Makes draws reproducible, whatever runs beside them."""
    repetition_penalty: float | None = None
    """Divides the logits of recent tokens; 1 is off."""
    presence_penalty: float | None = None
    """Subtracted once from the logits of tokens in the completion so far."""
    frequency_penalty: float | None = None
    """Subtracted once per occurrence in the completion so far."""
    stop: list[str] | None = None
    """Strings that end the completion; a call's own ``stop`` replaces them."""
    logprobs: bool | None = None
    """Report the log-probability of every token."""
    top_logprobs: int | None = None
    """With ``logprobs``: report so many likeliest alternatives too."""

    engine: Annotated[GenerationEngine | None, SkipValidation] = Field(
        default=None, exclude=True, repr=False
    )
    """Run on this engine instead of the shared one that the options above name."""

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        """Meet a bad option here rather than in the first call."""
        if self.engine is not None:
            refuse_beside("engine", self, _ENGINE_OPTIONS)
        elif self.model is None:
            self.model = model_from_environment("lm")
        self._engine_config(self.model)
        SamplingParams.from_options(**self._sampling_options())
        return self

    @model_validator(mode="after")
    def _set_mlx_backends_version(self) -> Self:
        self._add_version("mlx-backends", __version__)
        return self

    def get_token_ids(self, text: str) -> list[int]:
        """Ids of the text's tokens, by the model's own tokenizer."""
        if self.custom_get_token_ids is not None:
            return self.custom_get_token_ids(text)
        return self._engine_for(None).tokenizer.encode(text)

    @classmethod
    def is_lc_serializable(cls) -> bool:
        return True

    @property
    def lc_attributes(self) -> dict[str, Any]:
        """The name of a passed engine's model, which stands for the engine when serialised."""
        return {} if self.engine is None else {"model": self.engine.model_name}

    @property
    def _identifying_params(self) -> dict[str, Any]:
        engine_options = {name: getattr(self, name) for name in _ENGINE_OPTIONS}
        engine_options["model"] = self._configured_name
        given = {**engine_options, **self._sampling_options()}
        return {name: value for name, value in given.items() if value is not None}

    def _get_ls_params(self, stop: list[str] | None = None, **kwargs: Any) -> LangSmithParams:
        return super()._get_ls_params(
            stop=self.stop if stop is None else stop,
            **{**kwargs, "model": kwargs.get("model") or self._configured_name},
        )

    @property
    def _configured_name(self) -> str:
        if self.engine is not None:
            return self.engine.model_name
        return self.model or _BUNDLED_MODEL_NAME

    def _call_settings(
        self, stop: list[str] | None, options: dict[str, Any]
    ) -> tuple[GenerationEngine, SamplingParams]:
        """The engine and the parameters of one call; what the call names wins.

        Raises:
            ConfigError: An option is unknown or has a bad value.
        """
        given = {
            name: value
            for name, value in options.items()
            if value is not None and name not in _FRAMEWORK_OPTIONS
        }
        if stop is not None:
            given["stop"] = stop
        model = given.pop("model", None)
        params = SamplingParams.from_options(**{**self._sampling_options(), **given})
        return self._engine_for(model), params

    def _engine_for(self, model: str | None) -> GenerationEngine:
        """The engine of a model; None is the constructor's. May import MLX and read files."""
        if self.engine is not None and model in (None, self.engine.model_name):
            return self.engine
        return registry.get_engine(self._engine_config(model or self.model))

    def _engine_config(self, model: str | None) -> EngineConfig:
        return EngineConfig(
            model=model,
            # A revision belongs to the repository it was given for, an adapter to its model.
            revision=self.revision if model == self.model else None,
            adapter_path=self.adapter_path if model == self.model else None,
            device=self.device,
            dtype=self.dtype,
            max_model_len=self.max_model_len,
            cache=CacheConfig(kv_bits=self.kv_bits),
        )

    def _sampling_options(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in _SAMPLING_OPTIONS if hasattr(self, name)}
