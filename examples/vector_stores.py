"""One embedder under two vector stores that run in this process: Qdrant and FAISS."""

import faiss
from langchain_core.documents import Document
from langchain_qdrant import QdrantVectorStore
from llama_index.core import StorageContext, VectorStoreIndex
from llama_index.core.schema import TextNode
from llama_index.vector_stores.faiss import FaissVectorStore

from mlx_backends.langchain import MLXEmbeddings
from mlx_backends.llama_index import MLXEmbedding

FACTS = [
    "The default port of the server is 8080.",
    "The cache holds 4 gigabytes.",
    "A request times out after 30 seconds.",
]
QUESTION = "How large is the cache?"


def main(embed_model: str = "bundled") -> list[str]:
    found = [with_qdrant(MLXEmbeddings(model=embed_model))]
    found.append(with_faiss(MLXEmbedding(model=embed_model)))  # the same weights, loaded once
    print(*found, sep="\n")
    return found


def with_qdrant(embeddings: MLXEmbeddings) -> str:
    store = QdrantVectorStore.from_documents(
        [Document(fact) for fact in FACTS],
        embeddings,
        location=":memory:",
        collection_name="facts",
    )
    best = store.similarity_search(QUESTION, k=1)[0].page_content
    store.client.close()
    return best


def with_faiss(embed_model: MLXEmbedding) -> str:
    size = len(embed_model.get_query_embedding(QUESTION))
    store = FaissVectorStore(faiss_index=faiss.IndexFlatIP(size))
    index = VectorStoreIndex(
        [TextNode(text=fact) for fact in FACTS],
        storage_context=StorageContext.from_defaults(vector_store=store),
        embed_model=embed_model,
    )
    return index.as_retriever(similarity_top_k=1).retrieve(QUESTION)[0].text


if __name__ == "__main__":
    main()
