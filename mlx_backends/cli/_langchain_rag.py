"""Question answering as a LangChain chain: retriever | prompt | ChatMLX | parser."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from langchain_core.callbacks import BaseCallbackHandler, CallbackManagerForRetrieverRun
from langchain_core.documents import Document
from langchain_core.embeddings import Embeddings
from langchain_core.messages import AIMessage, BaseMessage, convert_to_messages
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import ChatGeneration, LLMResult
from langchain_core.retrievers import BaseRetriever
from langchain_core.runnables import Runnable, RunnableLambda, RunnablePassthrough
from pydantic import SkipValidation

from mlx_backends.cli._record import Record
from mlx_backends.engine.interface import GenerationEngine
from mlx_backends.langchain import ChatMLX, MLXEmbeddings
from mlx_backends.pooling.embedder import Embedder
from mlx_backends.retrieval.hybrid_index import Hit, HybridIndex
from mlx_backends.text.grounding import grounded_messages


class HybridRetriever(BaseRetriever):
    """Finds chunks by words and meaning."""

    index: SkipValidation[HybridIndex]
    embeddings: Embeddings
    top_k: int
    record: SkipValidation[Record]

    def _get_relevant_documents(
        self, query: str, *, run_manager: CallbackManagerForRetrieverRun
    ) -> list[Document]:
        with self.record.timed_retrieval():
            vector = np.array(self.embeddings.embed_query(query), np.float32)
            self.record.hits = self.index.search(query, vector, self.top_k)
        return [_to_document(hit) for hit in self.record.hits]


class _FiguresHandler(BaseCallbackHandler):
    """Takes the figures from the model's message, which the parser drops."""

    def __init__(self, record: Record) -> None:
        self._record = record

    def on_llm_end(self, response: LLMResult, **_: Any) -> None:
        generation = response.generations[0][0]
        if not isinstance(generation, ChatGeneration):
            return
        message = generation.message
        self._record.timings = message.response_metadata.get("timings", {})
        if isinstance(message, AIMessage) and message.usage_metadata is not None:
            self._record.prompt_tokens = message.usage_metadata["input_tokens"]
            self._record.completion_tokens = message.usage_metadata["output_tokens"]


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
    retriever = HybridRetriever(
        index=index, embeddings=MLXEmbeddings(embedder=embedder), top_k=top_k, record=record
    )
    chain = build_chain(retriever, ChatMLX(engine=engine, temperature=0.0, max_tokens=max_tokens))
    yield from chain.stream(question, config={"callbacks": [_FiguresHandler(record)]})


def build_chain(retriever: BaseRetriever, llm: ChatMLX) -> Runnable[str, str]:
    """The chain, from a question to the text of its answer."""
    return (
        {"passages": retriever, "question": RunnablePassthrough()}
        | RunnableLambda(_to_messages)
        | llm
        | StrOutputParser()
    )


def _to_messages(inputs: dict[str, Any]) -> list[BaseMessage]:
    passages = [document.page_content for document in inputs["passages"]]
    return convert_to_messages(grounded_messages(inputs["question"], passages))


def _to_document(hit: Hit) -> Document:
    chunk = hit.chunk
    metadata = {
        "source": chunk.path,
        "start_line": chunk.start_line,
        "end_line": chunk.end_line,
        "heading": chunk.heading,
        "score": hit.score,
    }
    return Document(page_content=chunk.passage, metadata=metadata)
