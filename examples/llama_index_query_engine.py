"""LlamaIndex: a query engine over a few documents."""

from llama_index.core import Document, VectorStoreIndex

from mlx_backends.llama_index import MLXLLM, MLXEmbedding

PASSAGES = [
    "The default port of the server is 8080. It can be changed in the file server.toml.",
    "Log files are kept for 14 days. After that they are removed.",
    "The command `status` prints the load of every worker.",
]


def main(model: str = "bundled", embed_model: str = "bundled") -> str:
    index = VectorStoreIndex.from_documents(
        [Document(text=passage) for passage in PASSAGES],
        embed_model=MLXEmbedding(model=embed_model),
    )
    llm = MLXLLM(model=model, temperature=0, max_tokens=48)
    response = index.as_query_engine(llm=llm, similarity_top_k=2).query(
        "What is the default port of the server?"
    )
    print(response)
    return str(response)


if __name__ == "__main__":
    main()
