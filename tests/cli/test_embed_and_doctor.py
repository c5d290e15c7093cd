import json
import subprocess
import sys

import pytest

from mlx_backends import bundled


def test_lines_become_vectors(run, tmp_path):
    path = tmp_path / "lines.txt"
    path.write_text("a cat\n\na dog\n", encoding="utf-8")
    objects = [json.loads(line) for line in run("embed", path).stdout.splitlines()]
    assert [o["text"] for o in objects] == ["a cat", "a dog"]
    assert len(objects[0]["vector"]) == 64


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_the_standard_input_is_read(run, arguments):
    assert json.loads(run("embed", *arguments, stdin="a cat\n").stdout)["text"] == "a cat"


def test_a_file_that_cannot_be_read_is_one_line(run, tmp_path):
    result = run("embed", tmp_path / "nowhere")
    assert (result.exit_code, result.stderr[:6]) == (1, "error:")


def test_doctor_knows_this_machine(run):
    found = json.loads(run("doctor", "--json").stdout)
    assert found["versions"]["mlx"]
    assert found["platform"]["memory_bytes"] > 0
    assert found["platform"]["device"] in ("cpu", "gpu")
    assert set(found["bundled models"]) == set(bundled.KINDS) == {"lm", "encoder", "reranker"}


def test_doctor_looks_at_a_model(run, tiny_lm):
    found = json.loads(run("doctor", "--model", tiny_lm, "--json").stdout)["model"]
    assert found["model_type"] == "llama"
    assert found["weight_bytes"] == (tiny_lm / "model.safetensors").stat().st_size
    # 2 layers of 2 KV heads of 16, keys and values, 2 bytes each where the file names no type
    assert found["kv_bytes_per_1000_tokens"] == 2 * 2 * 2 * 16 * 2 * 1_000
    assert found["tiktoken"]


def test_doctor_speaks_plainly(run, tiny_lm):
    out = run("doctor", "--model", tiny_lm).stdout
    assert "blas_is_fast: " in out
    assert "context_window: 512" in out


def test_doctor_names_a_missing_model(run, tmp_path):
    result = run("doctor", "--model", tmp_path / "nowhere")
    assert (result.exit_code, result.stderr[:6]) == (1, "error:")


def test_the_version_is_printed(run):
    assert run("--version").stdout.strip()


def test_help_imports_neither_mlx_nor_a_framework():
    script = (
        "import sys; sys.argv = ['mlx-backends', '--help']\n"
        "from mlx_backends.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = ('mlx', 'numpy', 'langchain_core', 'llama_index', 'tokenizers', 'pydantic')\n"
        "found = [name for name in heavy if name in sys.modules]\n"
        "sys.exit(f'imported: {found}' if found else 0)\n"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.stderr == ""
    assert result.returncode == 0
