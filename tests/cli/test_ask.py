import json
import os

import pytest

from mlx_backends import EngineConfig, registry
from mlx_backends.errors import EngineClosedError
from mlx_backends.text.grounding import REFUSAL

FRAMEWORKS = pytest.mark.parametrize("framework", ["langchain", "llama-index"])
QUESTION = "How many bytes does a block hold?"


@FRAMEWORKS
def test_the_answer_comes_with_its_lines(run, docs, framework):
    result = run("ask", docs, QUESTION, "--framework", framework)
    assert result.exit_code == 0
    lines = result.stdout.splitlines()
    assert lines[:4] == [
        "[1] 71 bytes",
        "",
        f"[1] {os.path.join(docs, 'blocks.md')}:8",
        "    71 bytes of data.",
    ]
    assert lines[-1].startswith("3 chunks of 2 files | retrieval ")
    assert lines[-1].endswith(" ms | first token 1 ms | 1000.0 tokens/s | peak memory 0 MB")


@FRAMEWORKS
def test_json_is_one_object(run, docs, framework):
    result = run("ask", docs, QUESTION, "--framework", framework, "--json", "--top-k", "2")
    found = json.loads(result.stdout)
    assert found["answer"] == "[1] 71 bytes"
    assert found["citations"] == [
        {
            "number": 1,
            "path": str(docs / "blocks.md"),
            "start_line": 8,
            "end_line": 8,
            "quote": "71 bytes of data.",
            "is_narrowed": True,
        }
    ]
    assert len(found["passages"]) == 2
    assert found["passages"][0]["heading"] == "Blocks > Size"
    names = (found["framework"], found["model"], found["embed_model"])
    assert names == (framework, "mock", "hash")
    figures = found["figures"]
    assert (figures["files"], figures["chunks"]) == (2, 3)
    assert figures["completion_tokens"] == 3
    assert figures["prompt_tokens"] > 100
    assert figures["time_to_first_token_s"] == 0.001


def test_both_frameworks_ask_the_model_the_same(run, docs, engine):
    for framework in ("langchain", "llama-index"):
        run("ask", docs, QUESTION, "--framework", framework, "--max-tokens", "7")
    first, second = engine.calls
    assert first == second
    assert first.sampling_params.max_tokens == 7
    assert "[1] Blocks\n## Size\n\nA block holds\n71 bytes of data.\n[2] " in first.prompt
    assert first.prompt.endswith(f"Question: {QUESTION}\nassistant: ")


@FRAMEWORKS
def test_a_refusal_is_an_answer(run, docs, engine, framework):
    engine._reply = lambda _prompt: REFUSAL
    result = run("ask", docs, QUESTION, "--framework", framework)
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{REFUSAL}\n\n\n3 chunks")
    refused = run("ask", docs, QUESTION, "--framework", framework, "--json")
    assert json.loads(refused.stdout)["is_refusal"]


def test_answers_without_a_usable_citation_say_so(run, docs, engine):
    engine._reply = lambda _prompt: "It is 71 bytes [9]."
    out = run("ask", docs, QUESTION).stdout
    assert "[9] is not the number of a passage." in out
    assert "cites no passage" in out


@FRAMEWORKS
def test_engine_errors_are_one_line(run, docs, engine, framework):
    engine._reply = lambda _prompt: EngineClosedError("The engine\nwas closed.")
    result = run("ask", docs, QUESTION, "--framework", framework)
    assert result.exit_code == 1
    assert result.stderr == "error: The engine was closed.\n"


def test_a_missing_path_is_one_line(run, tmp_path):
    result = run("ask", tmp_path / "nowhere", QUESTION)
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("error: There is no file or folder")


def test_chunks_that_the_embedding_model_cannot_take_are_refused(run, docs):
    result = run("ask", docs, QUESTION, "--chunk-tokens", "101")
    assert (result.exit_code, result.stderr[:6]) == (1, "error:")
    assert "101" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ["ask"],
        ["ask", "docs"],
        ["ask", "docs", "question", "--framework", "haystack"],
        ["ask", "docs", "question", "--top-k", "0"],
        ["ask", "docs", "question", "--chunk-tokens", "3"],
        ["nonsense"],
        ["ask", "docs", "question", "--no-such-option"],
    ],
)
def test_bad_usage_has_the_exit_code_2(run, arguments):
    assert run(*arguments).exit_code == 2


def test_skipped_files_are_listed(run, docs):
    (docs / "broken.md").write_bytes(b"\xff")
    assert f"Skipped {docs / 'broken.md'}: not UTF-8" in run("ask", docs, QUESTION).stdout


def test_the_model_named_is_used(run, docs, monkeypatch):
    named = []
    engine = registry.get_engine(EngineConfig())
    monkeypatch.setattr(registry, "get_engine", lambda config: named.append(config) or engine)
    run("ask", docs, QUESTION, "--model", "some/model")
    assert named == [EngineConfig(model="some/model")]
