"""LlamaIndex: a conversation over documents, with a memory counted in the model's own tokens."""

from llama_index.core import VectorStoreIndex
from llama_index.core.chat_engine import ContextChatEngine
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.schema import TextNode

from mlx_backends.llama_index import MLXLLM, MLXEmbedding

PASSAGES = [
    "The default port of the server is 8080. It can be changed in the file server.toml.",
    "Log files are kept for 14 days. After that they are removed.",
    "The command `status` prints the load of every worker.",
]
QUESTIONS = ["What is the default port of the server?", "How long are log files kept?"]


def main(model: str = "bundled", embed_model: str = "bundled") -> tuple[list[str], int]:
    llm = MLXLLM(model=model, temperature=0, max_tokens=48)
    index = VectorStoreIndex(
        [TextNode(text=text) for text in PASSAGES], embed_model=MLXEmbedding(model=embed_model)
    )
    memory = ChatMemoryBuffer.from_defaults(token_limit=1_000, tokenizer_fn=llm.tokenize)
    engine = ContextChatEngine.from_defaults(
        index.as_retriever(similarity_top_k=1), llm=llm, memory=memory
    )
    answers = []
    for question in QUESTIONS:
        answers.append(str(engine.chat(question)))
        print(f"> {question}\n{answers[-1]}")
    return answers, len(memory.get_all())


if __name__ == "__main__":
    main()
