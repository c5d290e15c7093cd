"""The two pipelines, awaited as an application would."""

import pytest
from llama_index.core.base.response.schema import AsyncStreamingResponse

from mlx_backends.cli import _langchain_rag, _llama_index_rag
from mlx_backends.cli._record import Record
from mlx_backends.langchain import ChatMLX, MLXEmbeddings
from mlx_backends.llama_index import MLXLLM, MLXEmbedding
from mlx_backends.retrieval.documents import Document
from mlx_backends.retrieval.hybrid_index import HybridIndex
from mlx_backends.retrieval.splitter import Splitter


@pytest.fixture
def index(embedder):
    text = "# Cats\n\nCats sleep by day.\n\n# Dogs\n\nDogs bark at night."
    chunks = Splitter(embedder.count, chunk_tokens=16).split([Document("a.md", text)])
    return HybridIndex(chunks, embedder.embed([chunk.text for chunk in chunks]))


async def test_the_langchain_chain_can_be_awaited(index, embedder, engine):
    record = Record()
    retriever = _langchain_rag.HybridRetriever(
        index=index, embeddings=MLXEmbeddings(embedder=embedder), top_k=1, record=record
    )
    chain = _langchain_rag.build_chain(retriever, ChatMLX(engine=engine))
    assert await chain.ainvoke("When do dogs bark?") == "[1] 71 bytes"
    assert [hit.chunk.heading for hit in record.hits] == ["Dogs"]
    documents = await retriever.ainvoke("When do dogs bark?")
    assert documents[0].page_content == "# Dogs\n\nDogs bark at night."
    assert documents[0].metadata["start_line"] == 5


async def test_the_llama_index_query_engine_can_be_awaited(index, embedder, engine):
    record = Record()
    retriever = _llama_index_rag.HybridRetriever(index, MLXEmbedding(embedder=embedder), 1, record)
    query_engine = _llama_index_rag.build_query_engine(
        retriever, MLXLLM(engine=engine), streaming=True
    )
    response = await query_engine.aquery("When do dogs bark?")
    assert isinstance(response, AsyncStreamingResponse)
    assert "".join([piece async for piece in response.response_gen]) == "[1] 71 bytes"
    source = response.source_nodes[0]
    assert source.text == "# Dogs\n\nDogs bark at night."
    assert source.metadata["start_line"] == 5
