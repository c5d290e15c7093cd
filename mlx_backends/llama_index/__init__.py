"""LlamaIndex's LLM, embedding and rerank interfaces over the shared MLX engine.

```python
from mlx_backends.llama_index import configure

configure(model="folder-or-hub-id", embed_model="folder-or-hub-id")
```

The classes convert and delegate; they hold no inference code and share engines with
``mlx_backends.langchain`` through ``mlx_backends.registry``.
"""

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from mlx_backends.errors import MissingExtraError

if TYPE_CHECKING:
    from mlx_backends.llama_index.embeddings import MLXEmbedding
    from mlx_backends.llama_index.llms import MLXLLM
    from mlx_backends.llama_index.packing import ContextPacker
    from mlx_backends.llama_index.rerank import MLXRerank
    from mlx_backends.llama_index.settings import (
        chat_prompt_helper,
        configure,
        prompt_helper,
        splitter_for,
    )
    from mlx_backends.llama_index.synthesizer import GroundedSynthesizer

_HOME = {
    "ContextPacker": "packing",
    "GroundedSynthesizer": "synthesizer",
    "MLXEmbedding": "embeddings",
    "MLXLLM": "llms",
    "MLXRerank": "rerank",
    "chat_prompt_helper": "settings",
    "configure": "settings",
    "prompt_helper": "settings",
    "splitter_for": "settings",
}

__all__ = [
    "MLXLLM",
    "ContextPacker",
    "GroundedSynthesizer",
    "MLXEmbedding",
    "MLXRerank",
    "chat_prompt_helper",
    "configure",
    "prompt_helper",
    "splitter_for",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})


def _require_llama_index() -> None:
    """Look for the package without importing it: an error inside it must stay its own."""
    try:
        spec = importlib.util.find_spec("llama_index.core")
    except ModuleNotFoundError:  # not even the namespace package ``llama_index`` is there
        spec = None
    if spec is None:
        raise MissingExtraError("llama-index-core", "llama-index")


_require_llama_index()
