"""The main job on the bundled models: questions over this project's documentation.

Ten easy ones go through both frameworks and the engine. Those of the model card are many and hard;
what is tested of them in every run is their data, their retrieval and their grading.
"""

from collections import Counter
from pathlib import Path

import pytest

from mlx_backends import bundled, registry
from mlx_backends.bundled.evaluation import docs_questions
from mlx_backends.bundled.evaluation.chat_model import ChatModel
from mlx_backends.bundled.figures import FILE, Figures
from mlx_backends.cli import _langchain_rag, _llama_index_rag
from mlx_backends.cli._library import build_library
from mlx_backends.cli._record import Record
from mlx_backends.config import EmbedderConfig, EngineConfig
from mlx_backends.retrieval.citation import cite
from mlx_backends.retrieval.splitter import Chunk
from mlx_backends.text.grounding import REFUSAL

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


# ---------------------------------------------------------------- the questions of the model card

CARD_QUESTIONS = Path(__file__).with_name("docs_questions.toml")


@pytest.fixture(scope="module")
def card_questions():
    return docs_questions.read_questions(CARD_QUESTIONS)


@pytest.mark.parametrize("name", ["docs_questions.toml", "docs_questions_held_back.toml"])
def test_every_expected_answer_still_stands_on_its_page(name):
    questions, unanswerable = docs_questions.read_questions(CARD_QUESTIONS.with_name(name))
    assert len(questions) >= 60
    assert unanswerable
    assert docs_questions.stale(questions, docs_questions.pages_of(ROOT)) == []


def test_no_question_is_in_both_sets(card_questions):
    questions, unanswerable = card_questions
    others, more = docs_questions.read_questions(
        CARD_QUESTIONS.with_name("docs_questions_held_back.toml")
    )
    asked = {item.ask for item in questions} | set(unanswerable)
    assert not asked & ({item.ask for item in others} | set(more))


def test_an_answer_that_left_its_page_is_noticed(tmp_path):
    (tmp_path / "a.md").write_text("The `port` is **80**.", encoding="utf-8")
    question = docs_questions.Question("Which port?", ["port is 80"], ["a.md"], "same")
    assert docs_questions.stale([question], [tmp_path / "a.md"]) == []
    (tmp_path / "a.md").write_text("The port is 81.", encoding="utf-8")
    assert "Which port?" in docs_questions.stale([question], [tmp_path / "a.md"])[0]
    assert docs_questions.stale([question], []) != []


def test_there_are_enough_different_questions_in_both_kinds_of_words(card_questions):
    questions, unanswerable = card_questions
    assert len({item.ask for item in questions}) == len(questions) >= 100
    assert len(set(unanswerable)) == len(unanswerable) >= 20
    words = Counter(item.words for item in questions)
    assert words.keys() == {"same", "other"}
    assert min(words.values()) >= len(questions) // 5


@pytest.fixture(scope="module")
def card_library(embedder):
    return docs_questions.build_docs_library(docs_questions.pages_of(ROOT), embedder)


def answered_by(reply, card_questions, card_library, embedder):
    """All questions, answered by a function of the question and its passages."""
    questions, unanswerable = card_questions

    def generate(prompts):
        return [reply(prompt.messages[-1]["content"]) for prompt in prompts]

    return docs_questions.answer_all(questions, unanswerable, card_library, embedder, generate)


def test_retrieval_finds_most_answers(card_questions, card_library, embedder):
    answered = answered_by(lambda _: REFUSAL, card_questions, card_library, embedder)
    found = [item.is_found for item in answered if item.question]
    assert sum(found) >= 0.85 * len(found)


def test_refusing_everything_is_right_only_where_nothing_is_said(
    card_questions, card_library, embedder
):
    answered = answered_by(lambda _: REFUSAL, card_questions, card_library, embedder)
    shares = {row.name: row.value for row in docs_questions.figures(answered)}
    assert shares["project docs"] == 0.0
    assert shares["project docs, unanswerable"] == 1.0


@pytest.mark.parametrize(
    ("answer", "is_right"),
    [
        ("[1] 80", True),
        ("[1] port `80`", True),
        ("[2] 80", False),  # another page
        ("[1, 2] 80", False),  # a right page and a wrong one
        ("80", False),  # no citation
        ("[3] 80", False),  # no such passage
        ("[1] 8080", False),
        (REFUSAL, False),
    ],
)
def test_an_answer_needs_the_words_and_the_page(answer, is_right):
    passages = [Chunk("The port is 80.", "docs/a.md", 1, 1, ""), Chunk("80", "b.md", 1, 1, "")]
    question = docs_questions.Question("Which port?", ["80"], ["a.md"], "same")
    answered = docs_questions.Answered(question.ask, question, passages, answer)
    assert answered.is_found
    assert answered.is_right is is_right


@pytest.mark.slow
def test_the_questions_of_the_card_are_answered_as_well_as_it_says(
    card_questions, card_library, embedder
):
    questions, unanswerable = card_questions
    model = ChatModel(bundled.path("lm"))
    answered = docs_questions.answer_all(
        questions, unanswerable, card_library, embedder, model.generate
    )
    card = {row.name: row.value for row in Figures.load(bundled.path("lm") / FILE).rows}
    for row in docs_questions.figures(answered):
        assert row.value >= card[row.name] - 0.04, row  # the pages change
