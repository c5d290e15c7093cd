"""Question answering as a LlamaIndex query engine: retriever, then synthesizer over MLXLLM."""

from collections.abc import AsyncGenerator, Generator, Iterator, Sequence
from typing import Any

import numpy as np
from llama_index.core.base.base_retriever import BaseRetriever
from llama_index.core.base.embeddings.base import BaseEmbedding
from llama_index.core.base.llms.types import ChatMessage, ChatResponseAsyncGen, ChatResponseGen
from llama_index.core.base.response.schema import StreamingResponse
from llama_index.core.prompts.mixin import PromptDictType
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.response_synthesizers import BaseSynthesizer
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode
from llama_index.core.types import RESPONSE_TEXT_TYPE

from mlx_backends.cli._record import Record
from mlx_backends.engine.interface import GenerationEngine
from mlx_backends.llama_index import MLXLLM, MLXEmbedding
from mlx_backends.pooling.embedder import Embedder
from mlx_backends.retrieval.hybrid_index import Hit, HybridIndex
from mlx_backends.text.grounding import grounded_messages


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


class GroundedSynthesizer(BaseSynthesizer):
    """Shows the model all passages in one prompt, numbered, and streams its answer.

    LlamaIndex's own synthesizers join passages to one text and cut what does not fit; here they
    stay apart, so that the model can cite them, and a prompt that does not fit is an error.
    """

    def __init__(self, llm: MLXLLM, record: Record) -> None:
        super().__init__(llm=llm, streaming=True)
        self._record = record

    def get_response(
        self, query_str: str, text_chunks: Sequence[str], **_: Any
    ) -> RESPONSE_TEXT_TYPE:
        return self._deltas(self._llm.stream_chat(_to_messages(query_str, text_chunks)))

    async def aget_response(
        self, query_str: str, text_chunks: Sequence[str], **_: Any
    ) -> RESPONSE_TEXT_TYPE:
        return self._adeltas(await self._llm.astream_chat(_to_messages(query_str, text_chunks)))

    def _deltas(self, responses: ChatResponseGen) -> Generator[str, None, None]:
        for response in responses:
            _take_figures(self._record, response.raw)
            yield response.delta or ""

    async def _adeltas(self, responses: ChatResponseAsyncGen) -> AsyncGenerator[str, None]:
        async for response in responses:
            _take_figures(self._record, response.raw)
            yield response.delta or ""

    def _get_prompts(self) -> PromptDictType:
        return {}

    def _update_prompts(self, prompts_dict: PromptDictType) -> None:
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
    llm = MLXLLM(engine=engine, temperature=0.0, max_tokens=max_tokens)
    retriever = HybridRetriever(index, MLXEmbedding(embedder=embedder), top_k, record)
    response = build_query_engine(retriever, llm, record).query(question)
    if not isinstance(response, StreamingResponse):
        raise TypeError(f"expected a streaming response, got {type(response).__name__}")
    yield from response.response_gen


def build_query_engine(
    retriever: BaseRetriever, llm: MLXLLM, record: Record
) -> RetrieverQueryEngine:
    """The query engine, from a question to a streaming response."""
    return RetrieverQueryEngine(
        retriever=retriever, response_synthesizer=GroundedSynthesizer(llm, record)
    )


def _to_messages(question: str, passages: Sequence[str]) -> list[ChatMessage]:
    return [ChatMessage(**message) for message in grounded_messages(question, passages)]


def _take_figures(record: Record, raw: Any) -> None:
    """Only the last response has raw values."""
    if raw:
        record.timings = raw["timings"]
        record.prompt_tokens = raw["usage"].get("prompt_tokens", 0)
        record.completion_tokens = raw["usage"].get("completion_tokens", 0)


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
