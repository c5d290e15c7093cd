import json

import pytest

from mlx_backends import Reranked, registry


class WordReranker:
    """Counts the words that query and document share."""

    def rerank(self, query, documents, *, top_n=None, on_progress=None):
        scores = [len({*query.split()} & {*document.split()}) for document in documents]
        on_progress(len(documents), len(documents))
        order = sorted(range(len(scores)), key=lambda i: -scores[i])[:top_n]
        return [Reranked(i, float(scores[i]), documents[i]) for i in order]


@pytest.fixture
def configs(monkeypatch):
    """The configurations that were asked for."""
    asked = []
    monkeypatch.setattr(
        registry, "get_reranker", lambda config: asked.append(config) or WordReranker()
    )
    return asked


def test_lines_come_back_best_first(run, configs, tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("a dog\n\na black cat\nthe cat\n", encoding="utf-8")
    rows = [json.loads(line) for line in run("rerank", "a cat", path).stdout.splitlines()]
    assert rows == [
        {"index": 1, "score": 2.0, "text": "a black cat"},
        {"index": 0, "score": 1.0, "text": "a dog"},
        {"index": 2, "score": 1.0, "text": "the cat"},
    ]
    assert configs[0].on_overflow == "error"


def test_the_best_of_the_standard_input(run, configs):
    out = run("rerank", "a cat", "--top-n", 1, "--truncate", stdin="a dog\na cat\n").stdout
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["a cat"]
    assert configs[0].on_overflow == "truncate"


def test_a_file_that_cannot_be_read_is_one_line(run, configs, tmp_path):
    result = run("rerank", "a cat", tmp_path / "nowhere")
    assert (result.exit_code, result.stderr[:6]) == (1, "error:")


def test_the_bundled_model_puts_the_answer_first(run):
    lines = "Dogs bark at night.\nThe log is server.log.\nThe default port is 8080.\n"
    out = run("rerank", "What is the default port?", "--model", "bundled", stdin=lines).stdout
    best, *others = (json.loads(line) for line in out.splitlines())
    assert best["text"] == "The default port is 8080."
    assert best["score"] > 0.5 > max(other["score"] for other in others)
    registry.close_all()
