"""Question answering as a LlamaIndex query engine: retriever, then synthesizer over MLXLLM."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.response.schema import StreamingResponse
from llama_index.core.callbacks import CallbackManager, CBEventType, EventPayload
from llama_index.core.callbacks.base_handler import BaseCallbackHandler
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from mlx_backends.cli._record import Record
from mlx_backends.engine.interface import GenerationEngine
from mlx_backends.llama_index import MLXLLM, GroundedSynthesizer, MLXEmbedding
from mlx_backends.pooling.embedder import Embedder
from mlx_backends.retrieval.hybrid_index import Hit, HybridIndex


class HybridRetriever(BaseRetriever):
    """Finds chunks by words and meaning."""

    def __init__(
        self, index: HybridIndex, embed_model: BaseEmbedding, top_k: int, record: Record
    ) -> None:
        super().__init__()
        self._index = index
        self._embed_model = embed_model
        self._top_k = top_k
        self._record = record

    def _retrieve(self, query_bundle: QueryBundle) -> list[NodeWithScore]:
        query = query_bundle.query_str
        with self._record.timed_retrieval():
            vector = np.array(self._embed_model.get_query_embedding(query), np.float32)
            self._record.hits = self._index.search(query, vector, self._top_k)
        return [_to_node(hit) for hit in self._record.hits]


class _FiguresHandler(BaseCallbackHandler):
    """Takes the figures from the model's last response, which the query engine drops."""

    def __init__(self, record: Record) -> None:
        super().__init__(event_starts_to_ignore=[], event_ends_to_ignore=[])
        self._record = record

    def on_event_start(
        self,
        event_type: CBEventType,
        payload: dict[str, Any] | None = None,
        event_id: str = "",
        parent_id: str = "",
        **_: Any,
    ) -> str:
        return event_id

    def on_event_end(
        self,
        event_type: CBEventType,
        payload: dict[str, Any] | None = None,
        event_id: str = "",
        **_: Any,
    ) -> None:
        response = (payload or {}).get(EventPayload.RESPONSE)
        if event_type != CBEventType.LLM or response is None:  # none after an error
            return
        raw = response.raw
        self._record.timings = raw["timings"]
        self._record.prompt_tokens = raw["usage"].get("prompt_tokens", 0)
        self._record.completion_tokens = raw["usage"].get("completion_tokens", 0)

    def start_trace(self, trace_id: str | None = None) -> None:
        pass

    def end_trace(self, *_: Any, **__: Any) -> None:
        pass


def stream_answer(
    question: str,
    *,
    index: HybridIndex,
    embedder: Embedder,
    engine: GenerationEngine,
    top_k: int,
    max_tokens: int | None,
    record: Record,
) -> Iterator[str]:
    """Answer from the best passages; fills the record on the way."""
    llm = MLXLLM(
        engine=engine,
        temperature=0.0,
        max_tokens=max_tokens,
        callback_manager=CallbackManager([_FiguresHandler(record)]),
    )
    retriever = HybridRetriever(index, MLXEmbedding(embedder=embedder), top_k, record)
    response = build_query_engine(retriever, llm, streaming=True).query(question)
    if not isinstance(response, StreamingResponse):
        raise TypeError(f"expected a streaming response, got {type(response).__name__}")
    yield from response.response_gen


def build_query_engine(
    retriever: BaseRetriever, llm: MLXLLM, *, streaming: bool
) -> RetrieverQueryEngine:
    """The query engine, from a question to its answer."""
    synthesizer = GroundedSynthesizer(llm, streaming=streaming, cites_only_given=False)
    return RetrieverQueryEngine(retriever=retriever, response_synthesizer=synthesizer)


def _to_node(hit: Hit) -> NodeWithScore:
    chunk = hit.chunk
    metadata = {
        "file_path": chunk.path,
        "start_line": chunk.start_line,
        "end_line": chunk.end_line,
        "heading": chunk.heading,
    }
    # The model reads the text as it stands, without LlamaIndex's list of metadata before it.
    hidden = list(metadata)
    node = TextNode(text=chunk.passage, metadata=metadata, excluded_llm_metadata_keys=hidden)
    return NodeWithScore(node=node, score=hit.score)
