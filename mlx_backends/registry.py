"""One engine, embedder or reranker per configuration in a process, shared by all that ask.

Adapters get their engines here, so a chain and a query engine that name the same model hold its
weights once.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from mlx_backends.config import (
    EmbedderConfig,
    EngineConfig,
    RerankerConfig,
    model_from_environment,
)

if TYPE_CHECKING:
    from mlx_backends.engine.engine import Engine
    from mlx_backends.pooling.embedder import Embedder
    from mlx_backends.pooling.reranker import Reranker

T = TypeVar("T", "Engine", "Embedder", "Reranker")
_lock = threading.Lock()
_engines: dict[EngineConfig, "Engine"] = {}
_embedders: dict[EmbedderConfig, "Embedder"] = {}
_rerankers: dict[RerankerConfig, "Reranker"] = {}


def get_engine(config: EngineConfig) -> "Engine":
    """The shared engine of this configuration; weights load at its first request."""
    from mlx_backends.engine.engine import Engine

    config = replace(config, model=config.model or model_from_environment("lm"))
    return _get(_engines, config, lambda: Engine(config))


def load(model: str | None = None, **options: Any) -> "Engine":
    """Load a language model and return its shared engine.

    Args:
        model: Local folder or Hub id.
        **options: Further fields of ``EngineConfig``.

    Raises:
        ConfigError: An option has a value out of its range.
        ModelError: The model cannot be found or loaded.
    """
    engine = get_engine(EngineConfig(model=model, **options))
    engine.load()
    return engine


def get_embedder(config: EmbedderConfig) -> "Embedder":
    """The shared embedder of this configuration; weights load at its first text."""
    from mlx_backends.pooling.embedder import Embedder

    config = replace(config, model=config.model or model_from_environment("encoder"))
    return _get(_embedders, config, lambda: Embedder(config))


def get_reranker(config: RerankerConfig) -> "Reranker":
    """The shared reranker of this configuration; weights load at its first pair."""
    from mlx_backends.pooling.reranker import Reranker

    config = replace(config, model=config.model or model_from_environment("reranker"))
    return _get(_rerankers, config, lambda: Reranker(config))


def close_all() -> None:
    """Close all shared engines, embedders and rerankers and free their memory."""
    with _lock:
        closing: list[Engine | Embedder | Reranker]
        closing = [*_engines.values(), *_embedders.values(), *_rerankers.values()]
        for pool in (_engines, _embedders, _rerankers):
            pool.clear()
    for shared in closing:
        shared.close()


def _get(
    pool: dict, config: EngineConfig | EmbedderConfig | RerankerConfig, make: Callable[[], T]
) -> T:
    with _lock:
        shared = pool.get(config)
        if shared is None or shared.is_closed:
            shared = pool[config] = make()
        return shared


def _replace_lock() -> None:
    global _lock
    _lock = threading.Lock()


os.register_at_fork(after_in_child=_replace_lock)
