"""Doubles and fixtures for the LlamaIndex adapter; nothing here loads a model."""

import asyncio
import hashlib
import re
from collections.abc import Iterator, Sequence
from typing import Any

import llama_index.core
import numpy as np
import pytest
from llama_index.core import Settings
from llama_index.core.instrumentation import get_dispatcher
from llama_index.core.instrumentation.event_handlers.base import BaseEventHandler
from llama_index.core.instrumentation.events.base import BaseEvent

from mlx_backends.core import Request, SamplingParams, TokenOutput
from mlx_backends.engine.handle import OutputChannel, RequestHandle
from mlx_backends.engine.mock import MockEngine
from mlx_backends.llama_index import MLXLLM, MLXEmbedding


class EndlessEngine(MockEngine):
    """Gives three words and then nothing more, so that a reader can only leave early.

    It keeps every handle: a request that is aborted here was aborted on purpose, not by the
    garbage collector.
    """

    def __init__(self) -> None:
        super().__init__()
        self.handles: list[RequestHandle] = []

    def submit(
        self,
        prompt_token_ids: Sequence[int],
        sampling_params: SamplingParams | None = None,
        **options: Any,
    ) -> RequestHandle:
        channel = OutputChannel()
        request = Request(request_id="endless", prompt_token_ids=tuple(prompt_token_ids))
        for index, word in enumerate(("one ", "two ", "three ")):
            channel.put(TokenOutput(request_id="endless", token_ids=(index,), text=word))
        self.handles.append(RequestHandle(request, channel))
        return self.handles[-1]

    @property
    def aborted(self) -> list[bool]:
        return [handle.is_aborted for handle in self.handles]


class FakeEmbedder:
    """Counts words by hash: texts that share words are near. Keeps what it was asked."""

    dimensions = 64
    max_length = 128

    def __init__(self) -> None:
        self.calls: list[tuple[str, list[str]]] = []

    def count(self, text: str, *, kind: str = "document") -> int:
        return 2 + len(re.findall(r"\w+|[^\w\s]", text))

    def embed(self, texts: Sequence[str], *, kind: str = "document") -> np.ndarray:
        self.calls.append((kind, list(texts)))
        vectors = np.full((len(texts), self.dimensions), 1e-3, np.float32)
        for row, text in enumerate(texts):
            for word in re.findall(r"\w+", text.lower()):
                vectors[row, hashlib.sha256(word.encode()).digest()[0] % self.dimensions] += 1
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)

    async def aembed(self, texts: Sequence[str], *, kind: str = "document") -> np.ndarray:
        return await asyncio.to_thread(self.embed, texts, kind=kind)


class EventRecorder(BaseEventHandler):
    """Keeps events, exceptions and their frames included."""

    events: list[BaseEvent] = []  # noqa: RUF012 - a pydantic field, copied for every instance

    def handle(self, event: BaseEvent, **kwargs: Any) -> None:
        self.events.append(event)

    @property
    def names(self) -> list[str]:
        return [event.class_name() for event in self.events]


@pytest.fixture
def engine() -> MockEngine:
    return MockEngine(["It holds a copper engine."])


@pytest.fixture
def llm(engine: MockEngine) -> MLXLLM:
    return MLXLLM(engine=engine)


@pytest.fixture
def endless() -> EndlessEngine:
    return EndlessEngine()


@pytest.fixture
def embedder() -> FakeEmbedder:
    return FakeEmbedder()


@pytest.fixture
def embed_model(embedder: FakeEmbedder) -> MLXEmbedding:
    return MLXEmbedding(embedder=embedder)


@pytest.fixture
def events() -> Iterator[EventRecorder]:
    root = get_dispatcher("root")
    recorder = EventRecorder()
    root.add_event_handler(recorder)
    yield recorder
    root.event_handlers.remove(recorder)


@pytest.fixture
def settings(monkeypatch: pytest.MonkeyPatch) -> type[Settings]:
    """LlamaIndex's global settings, as they were afterwards."""
    for name, value in vars(Settings).items():
        monkeypatch.setattr(Settings, name, value)
    monkeypatch.setattr(llama_index.core, "global_tokenizer", None)
    return Settings
