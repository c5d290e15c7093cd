"""The main job on the bundled models: questions over this project's docs/, through both frameworks.

Each answer is one sentence of docs/. A run passes with 8 of 10 right: the value, and a citation of
the page that holds it. What docs/ does not say must be refused.
"""

from pathlib import Path

import pytest

from mlx_backends import registry
from mlx_backends.cli import _langchain_rag, _llama_index_rag
from mlx_backends.cli._library import build_library
from mlx_backends.cli._record import Record
from mlx_backends.config import EmbedderConfig, EngineConfig
from mlx_backends.retrieval.citation import cite

ROOT = Path(__file__).parents[2]
FRAMEWORKS = {"langchain": _langchain_rag, "llama-index": _llama_index_rag}
QUESTIONS = [
    ("What is the default prefill chunk size?", "512", "engine.md"),
    ("How many sequences does the engine run at once?", "32", "engine.md"),
    ("What is the default temperature?", "0", "engine.md"),
    (
        "Which environment variable sets the memory budget?",
        "MLX_BACKENDS_MEMORY_LIMIT",
        "models.md",
    ),
    ("What is the default cache folder?", "~/.cache/mlx_backends", "models.md"),
    ("How many stop strings are allowed per request?", "64", "supported.md"),
    ("Which extra brings MLX for NVIDIA GPUs?", "cuda13", "quickstart.md"),
    ("Which Python version does the package need?", "3.11", "quickstart.md"),
    ("Which library downloads Hub models?", "huggingface_hub", "models.md"),
    ("What is the default embedding batch?", "256", "llama_index.md"),
]
NOT_IN_THE_DOCS = [
    "Who is the founder of the company?",
    "What is the price of a licence?",
    "What is the capital of Norway?",
]
REFUSAL = "The context does not say."


@pytest.fixture(scope="module")
def embedder():
    yield registry.get_embedder(EmbedderConfig(model="bundled"))
    registry.close_all()


@pytest.fixture(scope="module")
def library(embedder):
    docs = str(ROOT / "docs")
    return build_library(docs, embedder, chunk_tokens=None, on_progress=lambda *_: None)


@pytest.fixture(params=FRAMEWORKS)
def ask(request, library, embedder, event_loop_of_blocking_calls):
    """Function from a question to the answer and the pages that it cites."""

    def ask(question: str) -> tuple[str, list[str]]:
        record = Record()
        answer = "".join(
            FRAMEWORKS[request.param].stream_answer(
                question,
                index=library.index,
                embedder=embedder,
                engine=registry.get_engine(EngineConfig(model="bundled")),
                top_k=4,
                max_tokens=64,
                record=record,
            )
        )
        cited = cite(answer, [hit.chunk for hit in record.hits])
        return answer, [Path(citation.path).name for citation in cited.found]

    return ask


def test_eight_of_ten_answers_are_right_and_cite_their_page(ask):
    wrong = []
    for question, value, page in QUESTIONS:
        answer, pages = ask(question)
        _, _, said = answer.partition("]")  # the citation comes first
        if value not in said or pages != [page]:
            wrong.append((question, answer, pages))
    assert len(wrong) <= 2, wrong


@pytest.mark.parametrize("question", NOT_IN_THE_DOCS)
def test_what_the_docs_do_not_say_is_refused(ask, question):
    assert ask(question)[0].strip() == REFUSAL
