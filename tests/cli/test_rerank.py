import json

import numpy as np
import pytest

from mlx_backends import Reranked, RerankerConfig, registry


class WordReranker:
    """Counts the words that query and document share."""

    config = RerankerConfig()

    def rerank(self, query, documents, *, top_n=None, on_progress=None):
        scores = [len({*query.split()} & {*document.split()}) for document in documents]
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
        {"index": 1, "score": 2.0, "text": "a black cat", "is_truncated": False},
        {"index": 0, "score": 1.0, "text": "a dog", "is_truncated": False},
        {"index": 2, "score": 1.0, "text": "the cat", "is_truncated": False},
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


@pytest.mark.parametrize("suffix", [".jsonl", ".npy", ".parquet"])
def test_results_are_written_as_the_name_says(run, configs, tmp_path, suffix):
    source, output = tmp_path / "in.jsonl", tmp_path / f"out{suffix}"
    source.write_text('{"id": 7, "text": "a dog"}\n{"id": "b", "text": "a cat"}\n', "utf-8")
    if suffix == ".parquet":
        source.write_text(source.read_text("utf-8").replace('"b"', "8"), "utf-8")
    assert run("rerank", "a cat", source, "--output", output).stdout == ""
    if suffix == ".npy":
        assert np.load(output).tolist() == [1.0, 2.0]
    elif suffix == ".jsonl":
        rows = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
        assert [(row["id"], row["score"]) for row in rows] == [("b", 2.0), (7, 1.0)]
    else:
        table = pytest.importorskip("pyarrow.parquet").read_table(output)
        assert table.column("text").to_pylist() == ["a cat", "a dog"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.jsonl", f"out{suffix}"]
