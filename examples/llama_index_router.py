"""LlamaIndex: a router that sends each question to the index that can answer it."""

from llama_index.core import SummaryIndex
from llama_index.core.query_engine import RetrieverQueryEngine, RouterQueryEngine
from llama_index.core.schema import TextNode
from llama_index.core.selectors import EmbeddingSingleSelector
from llama_index.core.tools import QueryEngineTool

from mlx_backends.llama_index import MLXLLM, GroundedSynthesizer, MLXEmbedding

SHELVES = {
    "Ports that the servers listen on.": [
        "The default port of Alder is 8000.",
        "The default port of Birch is 8007.",
    ],
    "How long log files are kept.": [
        "Log files of Alder are kept for 14 days.",
        "Log files of Birch are kept for 30 days.",
    ],
}

QUESTIONS = ("What is the default port of Birch?", "How long does Alder keep its log files?")


def main(model: str = "bundled", embed_model: str = "bundled") -> list[str]:
    llm = MLXLLM(model=model, temperature=0, max_tokens=48)
    tools = [
        QueryEngineTool.from_defaults(
            RetrieverQueryEngine(
                retriever=SummaryIndex([TextNode(text=text) for text in texts]).as_retriever(),
                response_synthesizer=GroundedSynthesizer(llm),
            ),
            description=description,
        )
        for description, texts in SHELVES.items()
    ]
    selector = EmbeddingSingleSelector.from_defaults(MLXEmbedding(model=embed_model))
    router = RouterQueryEngine(selector=selector, query_engine_tools=tools, llm=llm)
    answers = []
    for question in QUESTIONS:
        answers.append(str(router.query(question)))
        print(f"{question}\n  {answers[-1]}")
    return answers


if __name__ == "__main__":
    main()
