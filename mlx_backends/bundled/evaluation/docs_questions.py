"""Questions over this project's documentation, from retrieval to the cited answer.

Retrieval, prompt and citations are those of ``mlx-backends ask``.
"""

import shutil
import tempfile
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mlx_backends.bundled.evaluation.chat_model import Generate, Prompt
from mlx_backends.bundled.evaluation.grading import holds, plain
from mlx_backends.bundled.figures import Figure
from mlx_backends.cli._library import Library, build_library
from mlx_backends.pooling.embedder import Embedder
from mlx_backends.retrieval.citation import cite
from mlx_backends.retrieval.splitter import Chunk
from mlx_backends.text.grounding import REFUSAL, grounded_messages

TOP_K = 4
MAX_TOKENS = 64
_GATE = 0.70
_METRIC = "answer and cited page"


@dataclass(frozen=True, slots=True)
class Question:
    """A question and what shows that an answer is right.

    Attributes:
        ask: As a user asks.
        answers: One of them stands in a right answer.
        pages: Names of the pages that say it; the answer cites one of them.
        words: ``same`` if the question uses the page's words, else ``other``.
    """

    ask: str
    answers: list[str]
    pages: list[str]
    words: str


@dataclass(frozen=True, slots=True)
class Answered:
    """What was asked, retrieved and answered; `question` is None where no page says it."""

    ask: str
    question: Question | None
    passages: list[Chunk]
    answer: str

    @property
    def is_found(self) -> bool:
        """Whether a retrieved passage of a right page holds an answer."""
        return self.question is not None and any(
            Path(chunk.path).name in self.question.pages
            and holds(chunk.passage, self.question.answers)
            for chunk in self.passages
        )

    @property
    def is_right(self) -> bool:
        """Whether the answer is right and cites a right page, or refuses where nothing is said."""
        if self.question is None:
            return self.answer.strip() == REFUSAL
        cited = {Path(item.path).name for item in cite(self.answer, self.passages).found}
        _, _, said = self.answer.partition("]")  # the citation comes first
        return (
            bool(cited) and cited <= {*self.question.pages} and holds(said, self.question.answers)
        )


def read_questions(path: Path) -> tuple[list[Question], list[str]]:
    """Read the answerable questions, and the unanswerable ones."""
    data = tomllib.loads(path.read_text("utf-8"))
    return [Question(**entry) for entry in data["question"]], data["unanswerable"]


def stale(questions: Sequence[Question], pages: Sequence[Path]) -> list[str]:
    """Say which answers no longer stand on a page that should hold one."""
    texts = {page.name: plain(page.read_text("utf-8")) for page in pages}
    return [
        f"{question.ask} {page} holds none of {question.answers}"
        for question in questions
        for page in question.pages
        if not any(plain(answer) in texts.get(page, "") for answer in question.answers)
    ]


def pages_of(project: Path) -> list[Path]:
    """The pages that the questions are about: docs/ and the README."""
    return [*sorted((project / "docs").glob("*.md")), project / "README.md"]


def build_docs_library(pages: Sequence[Path], embedder: Embedder) -> Library:
    """Index the pages as ``mlx-backends ask`` does."""
    with tempfile.TemporaryDirectory() as folder:
        for page in pages:
            shutil.copy(page, folder)
        return build_library(folder, embedder, chunk_tokens=None, on_progress=lambda *_: None)


def answer_all(
    questions: Sequence[Question],
    unanswerable: Sequence[str],
    library: Library,
    embedder: Embedder,
    generate: Generate,
) -> list[Answered]:
    """Retrieve for each question and answer."""
    asked = [(item.ask, item) for item in questions] + [(text, None) for text in unanswerable]
    vectors = embedder.embed([text for text, _ in asked], kind="query")
    found = [
        [hit.chunk for hit in library.index.search(text, vector, TOP_K)]
        for (text, _), vector in zip(asked, vectors, strict=True)
    ]
    prompts = [
        Prompt(grounded_messages(text, [chunk.passage for chunk in passages]), None, MAX_TOKENS)
        for (text, _), passages in zip(asked, found, strict=True)
    ]
    return [
        Answered(text, question, passages, answer)
        for (text, question), passages, answer in zip(asked, found, generate(prompts), strict=True)
    ]


def figures(answered: Sequence[Answered]) -> list[Figure]:
    """Sum up: all, by words, what retrieval found, and refusals."""
    answerable = [item for item in answered if item.question is not None]
    return [
        _share("project docs", _METRIC, [item.is_right for item in answerable], _GATE),
        *(
            _share(
                f"project docs, {name}",
                _METRIC,
                [i.is_right for i in answerable if i.question and i.question.words == words],
            )
            for words, name in (("same", "in the page's words"), ("other", "in other words"))
        ),
        _share(
            f"project docs, answer among {TOP_K} passages",
            "retrieved",
            [item.is_found for item in answerable],
        ),
        _share(
            "project docs, unanswerable",
            "refused",
            [item.is_right for item in answered if item.question is None],
        ),
    ]


def _share(name: str, metric: str, right: list[bool], gate: float | None = None) -> Figure:
    return Figure(name, metric, sum(right) / len(right), len(right), gate)
