"""The same questions over this project's documentation through both frameworks.

Each pipeline is the one of ``mlx-backends ask``, asked for all questions at once.
"""

import asyncio
from pathlib import Path

import pytest

from mlx_backends import registry
from mlx_backends.bundled.evaluation import docs_questions
from mlx_backends.bundled.evaluation.docs_questions import MAX_TOKENS, TOP_K, Answered
from mlx_backends.cli import _langchain_rag, _llama_index_rag
from mlx_backends.cli._record import Record
from mlx_backends.config import EmbedderConfig, EngineConfig
from mlx_backends.langchain import ChatMLX, MLXEmbeddings
from mlx_backends.llama_index import MLXLLM, MLXEmbedding

ROOT = Path(__file__).parents[2]
OPTIONS = {"model": "bundled", "temperature": 0, "max_tokens": MAX_TOKENS}


@pytest.fixture(scope="module")
def library():
    embedder = registry.get_embedder(EmbedderConfig(model="bundled"))
    yield docs_questions.build_docs_library(docs_questions.pages_of(ROOT), embedder)
    registry.close_all()


@pytest.fixture(scope="module")
def asked():
    path = Path(__file__).with_name("docs_questions.toml")
    questions, unanswerable = docs_questions.read_questions(path)
    return [(item.ask, item) for item in questions] + [(text, None) for text in unanswerable]


async def by_langchain(question, library) -> tuple[str, Record]:
    record = Record()
    retriever = _langchain_rag.HybridRetriever(
        index=library.index, embeddings=MLXEmbeddings(model="bundled"), top_k=TOP_K, record=record
    )
    return await _langchain_rag.build_chain(retriever, ChatMLX(**OPTIONS)).ainvoke(question), record


async def by_llama_index(question, library) -> tuple[str, Record]:
    record = Record()
    embed_model = MLXEmbedding(model="bundled")
    retriever = _llama_index_rag.HybridRetriever(library.index, embed_model, TOP_K, record)
    query_engine = _llama_index_rag.build_query_engine(
        retriever, MLXLLM(**OPTIONS), streaming=False
    )
    return str(await query_engine.aquery(question)), record


async def answers(ask, asked, library) -> list[Answered]:
    found = await asyncio.gather(*(ask(question, library) for question, _ in asked))
    return [
        Answered(text, question, [hit.chunk for hit in record.hits], answer)
        for (text, question), (answer, record) in zip(asked, found, strict=True)
    ]


async def compared(asked, library) -> dict[str, list[Answered]]:
    return {
        "LangChain": await answers(by_langchain, asked, library),
        "LlamaIndex": await answers(by_llama_index, asked, library),
    }


def right(answered: list[Answered]) -> int:
    return sum(item.is_right for item in answered)


async def test_some_questions_get_the_same_answers(asked, library):
    both = await compared(asked[::14], library)
    assert [item.answer for item in both["LangChain"]] == [
        item.answer for item in both["LlamaIndex"]
    ]
    assert right(both["LlamaIndex"]) > 0


@pytest.mark.slow
async def test_llama_index_answers_no_worse_than_langchain(asked, library):
    """All 165 questions."""
    both = await compared(asked, library)
    for name, answered in both.items():
        told = [item for item in answered if item.question]
        print(f"\n{name}: {right(told)} of {len(told)} right", end="")
        print(f", {right(answered) - right(told)} of {len(answered) - len(told)} refused")
    assert right(both["LlamaIndex"]) >= right(both["LangChain"])
    stats = registry.get_engine(EngineConfig(model="bundled")).stats()
    assert stats.largest_batch > 8  # short answers to long prompts: few generate at once
