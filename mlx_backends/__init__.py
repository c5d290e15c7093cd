"""One MLX engine for LangChain and LlamaIndex.

Public names load at first use, so that ``import mlx_backends`` is fast and brings neither a
framework nor a model library with it.
"""

import importlib
from typing import TYPE_CHECKING, Any

from mlx_backends import fast_blas
from mlx_backends._version import __version__

if TYPE_CHECKING:
    from mlx_backends.config import EmbedderConfig, EngineConfig, RerankerConfig
    from mlx_backends.core import (
        FinishReason,
        Logprob,
        Request,
        RequestMetrics,
        SamplingParams,
        TokenLogprobs,
        TokenOutput,
        Usage,
    )
    from mlx_backends.engine.engine import Engine
    from mlx_backends.engine.mock import MockEngine
    from mlx_backends.errors import (
        ChatTemplateError,
        ConfigError,
        ContextLengthError,
        EngineClosedError,
        EngineError,
        ForkedProcessError,
        GrammarBudgetError,
        GrammarError,
        MemoryLimitError,
        MissingExtraError,
        MLXBackendsError,
        ModelError,
        ModelLoadError,
        ModelNotFoundError,
        NumericalError,
        OutputError,
        OverloadedError,
        QuantizationError,
        RequestError,
        ShaderArgumentError,
        ShaderError,
        ShaderFaultError,
        ShaderMismatchError,
        ShaderSyntaxError,
        TokenIdError,
        UnsupportedModelError,
    )
    from mlx_backends.grammar.spec import Grammar
    from mlx_backends.pooling.embedder import Embedded, Embedder
    from mlx_backends.pooling.reranker import Reranked, Reranker
    from mlx_backends.quantization.config import QuantizationConfig
    from mlx_backends.quantization.folder import quantize_model
    from mlx_backends.registry import load

_MODULES = {
    "config": ("EmbedderConfig", "EngineConfig", "RerankerConfig"),
    "core": (
        "FinishReason",
        "Logprob",
        "Request",
        "RequestMetrics",
        "SamplingParams",
        "TokenLogprobs",
        "TokenOutput",
        "Usage",
    ),
    "engine.engine": ("Engine",),
    "engine.mock": ("MockEngine",),
    "errors": (
        "ChatTemplateError",
        "ConfigError",
        "ContextLengthError",
        "EngineClosedError",
        "EngineError",
        "ForkedProcessError",
        "GrammarBudgetError",
        "GrammarError",
        "MLXBackendsError",
        "MemoryLimitError",
        "MissingExtraError",
        "ModelError",
        "ModelLoadError",
        "ModelNotFoundError",
        "NumericalError",
        "OutputError",
        "OverloadedError",
        "QuantizationError",
        "RequestError",
        "ShaderArgumentError",
        "ShaderError",
        "ShaderFaultError",
        "ShaderMismatchError",
        "ShaderSyntaxError",
        "TokenIdError",
        "UnsupportedModelError",
    ),
    "grammar.spec": ("Grammar",),
    "pooling.embedder": ("Embedded", "Embedder"),
    "pooling.reranker": ("Reranked", "Reranker"),
    "quantization.config": ("QuantizationConfig",),
    "quantization.folder": ("quantize_model",),
    "registry": ("load",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}

__all__ = [
    "ChatTemplateError",
    "ConfigError",
    "ContextLengthError",
    "Embedded",
    "Embedder",
    "EmbedderConfig",
    "Engine",
    "EngineClosedError",
    "EngineConfig",
    "EngineError",
    "FinishReason",
    "ForkedProcessError",
    "Grammar",
    "GrammarBudgetError",
    "GrammarError",
    "Logprob",
    "MLXBackendsError",
    "MemoryLimitError",
    "MissingExtraError",
    "MockEngine",
    "ModelError",
    "ModelLoadError",
    "ModelNotFoundError",
    "NumericalError",
    "OutputError",
    "OverloadedError",
    "QuantizationConfig",
    "QuantizationError",
    "Request",
    "RequestError",
    "RequestMetrics",
    "Reranked",
    "Reranker",
    "RerankerConfig",
    "SamplingParams",
    "ShaderArgumentError",
    "ShaderError",
    "ShaderFaultError",
    "ShaderMismatchError",
    "ShaderSyntaxError",
    "TokenIdError",
    "TokenLogprobs",
    "TokenOutput",
    "UnsupportedModelError",
    "Usage",
    "__version__",
    "load",
    "quantize_model",
]

# MLX binds its BLAS when it is first imported, so a faster one has to be in place before that.
fast_blas.preload()


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
