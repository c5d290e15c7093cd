"""LangChain's interfaces over MLX: chat models, LLMs, embeddings and rerankers.

The classes load at first use; importing this package imports neither LangChain nor MLX.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from mlx_backends.errors import MissingExtraError

if TYPE_CHECKING:
    from mlx_backends.langchain.chat_models import ChatMLX
    from mlx_backends.langchain.embeddings import MLXEmbeddings
    from mlx_backends.langchain.llms import MLXLLM
    from mlx_backends.langchain.rerank import MLXCrossEncoder, MLXRerank

_HOME = {
    "ChatMLX": "chat_models",
    "MLXCrossEncoder": "rerank",
    "MLXEmbeddings": "embeddings",
    "MLXLLM": "llms",
    "MLXRerank": "rerank",
}

__all__ = ["MLXLLM", "ChatMLX", "MLXCrossEncoder", "MLXEmbeddings", "MLXRerank"]

# Here, because every module of this package passes here first, however it is imported.
if importlib.util.find_spec("langchain_core") is None:
    raise MissingExtraError("langchain-core", "langchain")


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})
