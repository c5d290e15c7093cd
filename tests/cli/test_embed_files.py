"""``mlx-backends embed`` with files: formats, JSON lines, and going on after an interruption."""

import json

import numpy as np
import pytest

from mlx_backends.cli import _embedding
from mlx_backends.cli._journal import Journal
from mlx_backends.errors import RequestError


@pytest.fixture
def lines(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("".join(f"text number {n}\n" for n in range(10)), encoding="utf-8")
    return path


@pytest.fixture
def few_at_once(monkeypatch):
    monkeypatch.setattr(_embedding, "_TEXTS_AT_ONCE", 4)


@pytest.fixture
def broken_off(run, lines, tmp_path, few_at_once, embedder, monkeypatch):
    """Runs a command that ends after two of three parts; returns its output's path."""

    def run_it(*options):
        whole, calls = embedder.embed_detailed, []

        def embed_detailed(texts, **kwargs):
            calls.append(len(texts))
            if len(calls) == 3:
                raise RequestError("broken off")
            return whole(texts, **kwargs)

        monkeypatch.setattr(embedder, "embed_detailed", embed_detailed)
        output = tmp_path / "out.npy"
        assert run("embed", lines, "--output", output, *options).exit_code == 1
        monkeypatch.setattr(embedder, "embed_detailed", whole)
        return output

    return run_it


@pytest.mark.parametrize("precision", ["float32", "int8", "binary"])
def test_numpy_holds_the_vectors(run, lines, tmp_path, embedder, precision):
    output = tmp_path / "out.npy"
    assert run("embed", lines, "--output", output, "--precision", precision).exit_code == 0
    texts = lines.read_text("utf-8").splitlines()
    expected = embedder.embed_detailed(texts, precision=precision).vectors
    np.testing.assert_array_equal(np.load(output), expected)
    assert np.load(output).dtype == expected.dtype


def test_json_lines_hold_a_row_for_each_text(run, lines, tmp_path, embedder, few_at_once):
    output = tmp_path / "out.jsonl"
    run("embed", lines, "--output", output)
    rows = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    assert [row["text"] for row in rows] == lines.read_text("utf-8").splitlines()
    assert rows[9]["vector"] == embedder.embed(["text number 9"])[0].tolist()


def test_parquet_holds_a_row_for_each_text(run, lines, tmp_path, embedder):
    parquet = pytest.importorskip("pyarrow.parquet")
    output = tmp_path / "out.parquet"
    run("embed", lines, "--output", output)
    rows = parquet.read_table(output).to_pylist()
    assert rows[3]["text"] == "text number 3"
    assert rows[3]["vector"] == embedder.embed(["text number 3"])[0].tolist()


def test_json_lines_are_read(run, tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_text('{"id": 1, "body": "a cat"}\n"a dog"\n', encoding="utf-8")
    rows = [json.loads(r) for r in run("embed", path, "--field", "body").stdout.splitlines()]
    assert [(row.get("id"), row["text"]) for row in rows] == [(1, "a cat"), (None, "a dog")]
    piped = run("embed", "--jsonl", stdin='{"text": "a cat"}\n').stdout
    assert json.loads(piped)["text"] == "a cat"


@pytest.mark.parametrize("line", ["{", "3", '{"title": "a"}', '{"text": 3}', "[" * 100_000])
def test_a_bad_line_is_named(run, tmp_path, line):
    path = tmp_path / "in.jsonl"
    path.write_text(f'"fine"\n{line}\n', encoding="utf-8")
    result = run("embed", path)
    assert result.exit_code == 1
    assert "in.jsonl:2" in result.stderr


def test_a_run_that_was_broken_off_goes_on(run, lines, broken_off, embedder, monkeypatch):
    output = broken_off()
    assert not output.exists()
    seen = []
    whole = embedder.embed_detailed
    monkeypatch.setattr(
        embedder, "embed_detailed", lambda texts, **kw: seen.extend(texts) or whole(texts, **kw)
    )
    result = run("embed", lines, "--output", output)
    assert "8 of 10 texts were embedded before" in result.stderr
    assert seen == ["text number 8", "text number 9"]
    texts = lines.read_text("utf-8").splitlines()
    np.testing.assert_array_equal(np.load(output), embedder.embed(texts))
    assert sorted(path.name for path in output.parent.iterdir()) == ["lines.txt", "out.npy"]


def test_other_inputs_do_not_go_on(run, lines, broken_off):
    output = broken_off()
    lines.write_text("another text\n", encoding="utf-8")
    result = run("embed", lines, "--output", output)
    assert result.exit_code == 1
    assert "other inputs or options" in result.stderr


def test_half_a_record_is_written_again(tmp_path):
    dtype = np.dtype([("vector", np.float32, (3,)), ("is_truncated", np.bool_)])
    journal = Journal(tmp_path / "out.npy", dtype, "key")
    journal.append(np.ones(2, dtype))
    with (tmp_path / "out.npy.part").open("ab") as file:
        file.write(b"half")
    again = Journal(tmp_path / "out.npy", dtype, "key")
    assert again.num_done == 2
    again.append(np.zeros(1, dtype))
    assert again.read()["vector"].tolist() == [[1.0] * 3, [1.0] * 3, [0.0] * 3]


@pytest.mark.parametrize("name", ["out.csv", "nowhere/out.npy"])
def test_an_output_that_cannot_be_written_is_refused_before_any_work(run, lines, tmp_path, name):
    result = run("embed", lines, "--output", tmp_path / name)
    assert result.exit_code == 1
    assert "--output" in result.stderr


def test_texts_that_were_cut_are_counted(run, tmp_path):
    path = tmp_path / "in.txt"
    path.write_text("a " * 101 + "\nshort\n", encoding="utf-8")
    result = run("embed", path, "--on-overflow", "truncate", "--output", tmp_path / "out.npy")
    assert "1 texts were cut to 100 tokens" in result.stderr


def test_nothing_to_embed_is_an_empty_output(run, tmp_path):
    empty = tmp_path / "in.txt"
    empty.write_text("\n", encoding="utf-8")
    run("embed", empty, "--output", tmp_path / "out.npy")
    assert np.load(tmp_path / "out.npy").shape == (0, 64)
