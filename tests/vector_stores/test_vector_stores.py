"""The embedder under real vector stores that run in process: Qdrant and FAISS."""

from collections.abc import Iterator

import faiss
import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_qdrant import QdrantVectorStore
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.schema import TextNode
from llama_index.vector_stores.faiss import FaissVectorStore
from qdrant_client import QdrantClient
from qdrant_client.models import Distance, VectorParams

from mlx_backends import Embedder, EmbedderConfig, registry
from mlx_backends.langchain import MLXEmbeddings
from mlx_backends.llama_index import MLXEmbedding

FACTS = {
    "The default port of the server is 8080.": "Which port does the server listen on?",
    "The cache holds 4 gigabytes.": "How large is the cache?",
    "The log is written to server.log.": "Where is the log written?",
    "A request times out after 30 seconds.": "When does a request time out?",
    "The licence of the project is Apache 2.0.": "What licence does the project have?",
    "Backups are made every night.": "How often are backups made?",
}


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    registry.close_all()


def test_qdrant_finds_what_answers():
    embeddings = MLXEmbeddings(model="bundled")
    client = QdrantClient(":memory:")
    size = len(embeddings.embed_query("any"))
    client.create_collection("facts", VectorParams(size=size, distance=Distance.COSINE))
    store = QdrantVectorStore(client, "facts", embeddings)
    store.add_documents([Document(fact) for fact in FACTS])
    found = {query: store.similarity_search(query, k=1)[0].page_content for query in FACTS.values()}
    assert found == {query: fact for fact, query in FACTS.items()}
    client.close()


async def test_qdrant_works_from_an_event_loop():
    embeddings = MLXEmbeddings(model="bundled", dimensions=128)
    store = await QdrantVectorStore.afrom_texts(
        list(FACTS), embeddings, location=":memory:", collection_name="facts"
    )
    found = await store.asimilarity_search("How large is the cache?", k=1)
    assert found[0].page_content == "The cache holds 4 gigabytes."
    store.client.close()


def test_faiss_finds_what_answers():
    embed_model = MLXEmbedding(model="bundled")
    index = faiss.IndexFlatIP(len(embed_model.get_query_embedding("any")))
    storage = StorageContext.from_defaults(vector_store=FaissVectorStore(faiss_index=index))
    nodes = [TextNode(text=fact) for fact in FACTS]
    retriever = VectorStoreIndex(
        nodes, storage_context=storage, embed_model=embed_model
    ).as_retriever(similarity_top_k=1)
    found = {query: retriever.retrieve(query)[0].text for query in FACTS.values()}
    assert found == {query: fact for fact, query in FACTS.items()}


def test_faiss_searches_binary_vectors():
    """A 32nd of the bytes, compared by Hamming distance."""
    embedder = Embedder(EmbedderConfig(model="bundled"))
    documents = embedder.embed(list(FACTS), precision="binary")
    index = faiss.IndexBinaryFlat(8 * documents.shape[1])
    index.add(documents)
    queries = embedder.embed(list(FACTS.values()), kind="query", precision="binary")
    _, nearest = index.search(queries, 1)
    assert np.mean(nearest[:, 0] == np.arange(len(FACTS))) >= 5 / 6
    embedder.close()
