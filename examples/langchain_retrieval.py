"""LangChain: a retrieval chain over a few passages, streamed, with its source."""

from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore

from mlx_backends.langchain import ChatMLX, MLXEmbeddings
from mlx_backends.text.grounding import grounded_messages

PASSAGES = [
    "The default port of the server is 8080. It can be changed in the file server.toml.",
    "Log files are kept for 14 days. After that they are removed.",
    "The command `status` prints the load of every worker.",
]


def main(model: str = "bundled", embed_model: str = "bundled") -> str:
    store = InMemoryVectorStore(MLXEmbeddings(model=embed_model))
    store.add_texts(PASSAGES)
    retriever = store.as_retriever(search_kwargs={"k": 2})

    def prompt(question: str) -> list:
        return grounded_messages(question, [d.page_content for d in retriever.invoke(question)])

    chain = RunnableLambda(prompt) | ChatMLX(model=model, temperature=0, max_tokens=48)
    answer = ""
    for chunk in chain.stream("What is the default port of the server?"):
        print(chunk.content, end="", flush=True)
        answer += chunk.content
    print()
    return answer


if __name__ == "__main__":
    main()
