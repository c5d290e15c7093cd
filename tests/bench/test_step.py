"""``bench step``: counts are exact, times are there."""

import json

import mlx.core as mx
import pytest
from typer.testing import CliRunner

from mlx_backends.bench import step
from mlx_backends.bench.__main__ import main
from mlx_backends.bench.graph_counter import counted_graphs
from mlx_backends.cli.app import app
from mlx_backends.engine.graph_size import operations_of


def test_counts_operations_and_evaluations():
    x = mx.arange(4).astype(mx.float32)
    mx.eval(x)
    with counted_graphs() as counts:
        mx.eval(mx.exp(x) + mx.exp(x), {"a": [x]})
        mx.async_eval(mx.sin(x))
        mx.eval(x)  # nothing to do
    assert counts.waits == counts.starts == 1
    assert counts.operations == {"Exp": 2, "Add": 1, "Sin": 1}
    assert counts.num_operations == 4


def test_counts_what_compile_fused():
    x = mx.ones(4)
    mx.eval(x)
    fused = mx.compile(lambda x: mx.exp(x) * 2 + 1)(x)
    (name,) = operations_of(fused)
    assert name.startswith("Compiled")
    assert operations_of([mx.exp(x) * 2 + 1]).total() > 1


def test_an_evaluation_after_the_count_is_mlx_own():
    before = mx.eval
    with counted_graphs():
        assert mx.eval is not before
    assert mx.eval is before


@pytest.fixture(scope="module")
def report(tiny_lm):
    return step.profile(str(tiny_lm), device="cpu", num_tokens=16, rounds=1)


def test_a_step_evaluates_once_and_compile_makes_it_smaller(report):
    assert report.plain.waits == report.compiled.waits == 1
    assert report.compiled.operations < report.plain.operations
    assert report.plain.fused == 0 < report.compiled.fused
    assert report.plain.by_name["Matmul"] == report.compiled.by_name["Matmul"] > 2 * 7
    assert report.compiled.step_ms > 0
    assert report.compiled.host_ms > 0


def test_the_command_writes_a_table_and_json(tiny_lm, tmp_path):
    path = tmp_path / "step.json"
    arguments = ["profile", str(tiny_lm), "--device", "cpu", "--rounds", "1", "--json", str(path)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    assert "operations a step" in done.stdout
    assert json.loads(path.read_text())["compiled"]["waits"] == 1


def test_an_unknown_model_is_one_line(tmp_path):
    done = CliRunner().invoke(app, ["profile", str(tmp_path / "nothing")])
    assert done.exit_code == 1
    assert done.stderr.startswith("error: ")


def test_all_sequences_decode_in_one_step(tmp_path):
    path = tmp_path / "step.json"
    options = ["--shape", "tiny", "--batch", "3", "--tokens", "12", "--rounds", "1"]
    assert main(["step", *options, "--device", "cpu", "--json", str(path)]) == 0
    found = json.loads(path.read_text())
    assert found["model"] == "tiny"
    assert found["batch"] == 3
    assert found["compiled"]["waits"] == 1
