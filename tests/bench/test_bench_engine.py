"""The engine's benchmark: that it measures what its columns say."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from mlx_backends.bench import engine, facts, plots
from mlx_backends.bench.__main__ import main
from mlx_backends.bench.peers import MLXLM, MLXBackends
from mlx_backends.bench.process import SystemProcess, SystemSpec
from mlx_backends.bench.random_model import SHAPES, make_model
from mlx_backends.bench.record import Comparison, Record
from mlx_backends.bench.run import Run, Timing, medians, percentile
from mlx_backends.bench.workload import batch, decode, ragged, seen
from mlx_backends.cli.app import app
from mlx_backends.errors import EngineError


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("tiny")
    make_model(SHAPES["tiny"], path)
    return path


class TestMetrics:
    RUN = Run(
        [Timing(1.0, 3.0, 5), Timing(2.0, 4.0, 3)], prompt_tokens=100, peak_memory_bytes=2**30
    )

    def test_of_a_run(self):
        metrics = self.RUN.metrics()
        assert metrics["time to first token, s"] == 1.5
        assert metrics["p95 time to first token, s"] == 2.0
        assert metrics["prefill, tokens/s"] == 50.0
        assert metrics["decode of a stream, tokens/s"] == 6 / 4
        assert metrics["all tokens out, tokens/s"] == 2.0
        assert metrics["whole job, s"] == 4.0
        assert metrics["peak memory, GiB"] == 1.0

    def test_median_of_rounds(self):
        runs = [Run([Timing(0.1, total, 2)], 1, 0) for total in (9.0, 2.0, 3.0)]
        assert medians(runs)["whole job, s"] == 3.0

    def test_percentile_is_a_value_that_was_seen(self):
        values = list(range(1, 33))
        assert percentile(values, 95) == 31
        assert percentile([7.0], 95) == 7.0

    def test_ratios_divide_the_first_system(self):
        comparison = Comparison("s", "w", {"a": {"x": 6.0, "own": 1.0}, "b": {"x": 2.0}})
        assert comparison.ratios() == {"b": {"x": 3.0}}
        assert "(x3.00)" in comparison.table()


class TestWorkloads:
    def test_lengths(self):
        assert decode(512, 8).lengths == (512,)
        assert batch(4, 10, 1).lengths == (10,) * 4
        lengths = ragged(32, 100, 8_000, 64).lengths
        assert (len(lengths), min(lengths), max(lengths)) == (32, 100, 8_000)

    def test_each_round_has_prompts_of_its_own_and_always_the_same(self):
        workload = decode(64, 1)
        assert workload.prompts(0, 1_000) == workload.prompts(0, 1_000)
        assert workload.prompts(0, 1_000) != workload.prompts(1, 1_000)


@pytest.mark.parametrize("make", [lambda f: MLXBackends(f, "cpu", None), lambda f: MLXLM(f, "cpu")])
def test_a_system_times_every_request(make, folder):
    system = make(folder)
    for workload in (decode(40, 4), ragged(3, 5, 40, 3)):
        result = system.generate(workload.prompts(0, 1_000), workload.num_tokens)
        assert [timing.num_tokens for timing in result.timings] == [workload.num_tokens] * len(
            workload.lengths
        )
        assert all(0 < timing.first_token_s <= timing.total_s for timing in result.timings)
        assert result.prompt_tokens == sum(workload.lengths)
        assert result.peak_memory_bytes > 0


def test_a_seen_prefix_comes_from_the_cache(folder):
    system = MLXBackends(folder, "cpu", None)
    workload = seen(64)
    prompts = workload.prompts(0, 1_000)
    assert system.generate(prompts, 2).details["cached prompt tokens"] == 0
    assert system.generate(prompts, 2).details["cached prompt tokens"] == 63


def test_a_system_that_fails_says_why(tmp_path):
    spec = SystemSpec("gone", "mlx-lm", {"device": "cpu"})
    with pytest.raises(EngineError, match="gone: FileNotFoundError"):
        SystemProcess(spec, tmp_path / "nothing").load()


class FakeSystem:
    """A system that answers at once, or fails."""

    def __init__(self, name: str, *, fails: bool) -> None:
        self.name = name
        self.fails = fails
        self.load_s = 0.0

    def start_round(self) -> None:
        pass

    def generate(self, prompts, num_tokens) -> Run:
        if self.fails:
            raise EngineError("out of memory")
        return Run([Timing(1.0, 2.0, num_tokens)], 1, 0)


def test_a_peer_that_fails_is_left_out_and_named():
    systems: Any = [FakeSystem(engine.OURS, fails=False), FakeSystem("peer", fails=True)]
    lines = []
    progress = engine.Progress(lines.append)
    runs, failures = engine._runs(decode(8, 2), 100, systems, 2, progress)
    assert any("peer failed: out of memory" in line for line in lines)
    assert failures == {"peer": "out of memory"}
    assert {name: len(of_system) for name, of_system in runs.items()} == {engine.OURS: 2}
    results = {name: medians(of_system) for name, of_system in runs.items()}
    assert "peer failed: out of memory" in Comparison("s", "w", results, failures).table()


def test_a_failure_of_our_own_leaves_no_comparison():
    class Failing(FakeSystem):
        def close(self) -> None:
            lines.append("closed")

    lines: list[str] = []
    systems: Any = [Failing(engine.OURS, fails=True)]
    target = engine.Target("t", Path(), 100)
    progress = engine.Progress(lines.append)
    assert list(engine._compare(target, systems, [decode(8, 2)], 1, progress)) == []
    assert "mlx-backends failed: out of memory" in lines[0]
    assert lines[-1] == "closed"


def test_no_round_begins_after_the_time():
    systems: Any = [FakeSystem(engine.OURS, fails=False)]
    progress = engine.Progress(lambda _: None, seconds=0)
    assert engine._runs(decode(8, 2), 100, systems, 3, progress) == ({engine.OURS: []}, {})


def test_a_workload_that_fills_the_memory_has_it_for_itself():
    events = []

    class Noting(FakeSystem):
        def unload(self) -> None:
            events.append(f"{self.name} unloads")

        def generate(self, prompts, num_tokens) -> Run:
            events.append(f"{self.name} runs")
            return super().generate(prompts, num_tokens)

    systems: Any = [Noting("a", fails=False), Noting("b", fails=False)]
    workload = ragged(2, 3, 5, 2, is_alone=True)
    engine._runs(workload, 100, systems, 1, engine.Progress(lambda _: None))
    assert events == ["b unloads", "a runs"] * 2 + ["a unloads", "b runs"] * 2


def test_a_system_loads_again_after_it_was_unloaded(folder):
    system = SystemProcess(
        SystemSpec("a", "mlx-backends", {"device": "cpu", "pool_bytes": None}), folder
    )
    system.unload()
    first = system.generate([[1, 2, 3]], 2)
    system.unload()
    again = system.generate([[1, 2, 3]], 2)
    assert first.prompt_tokens == again.prompt_tokens == 3
    system.close()


def test_facts_are_measured_on_any_device(monkeypatch):
    small = {"_PRODUCTS": ((64, 128),), "_ROWS": (1, 2), "_STACKED": (64, (64, 64)),
             "_LENGTHS": ((8, 8),), "_CALLS": 2, "_REPEATS": 2}  # fmt: skip
    for name, value in small.items():
        monkeypatch.setattr(facts, name, value)
    measured = list(facts.measure())
    assert [fact["fact"] for fact in measured][:2] == ["product", "product"]
    assert all(value > 0 for fact in measured for key, value in fact.items() if " " in key)


@pytest.mark.slow
def test_first_use_goes_through_its_steps(folder, tmp_path):
    output = tmp_path / "out.json"
    arguments = ["--device", "cpu", "--model", str(folder), "--json", str(output)]
    assert main(["first-use", *arguments]) == 0
    steps = json.loads(output.read_text())
    assert steps[0]["step"] == "load"
    assert steps[-1]["step"] == "close"
    assert all(step["seconds"] > 0 for step in steps)


def test_the_command_line_passes_its_arguments_on():
    result = CliRunner().invoke(app, ["bench", "engine", "--help"])
    assert result.exit_code == 0
    assert "--rounds" in result.output


@pytest.mark.slow
def test_smoke(tmp_path, folder, capsys):
    output = tmp_path / "out.json"
    arguments = ["--device", "cpu", "--suite", "smoke", "--model", str(folder), "--rounds", "1"]
    assert main(["engine", *arguments, "--json", str(output)]) == 0
    content = json.loads(output.read_text())
    assert len(content["comparisons"]) == 4
    for comparison in content["comparisons"]:
        assert set(comparison["ratios"]) == set(comparison["results"]) - {engine.OURS}
    assert content["environment"]["mlx-lm"]
    printed = capsys.readouterr().out
    assert "64, all but 16 seen" in printed
    assert "64, all seen" in printed


def test_plots(tmp_path):
    pytest.importorskip("matplotlib")
    series = [
        Comparison("s", f"batch of {n}", {"a": {"all tokens out, tokens/s": float(n)}})
        for n in (1, 2, 4)
    ]
    (path,) = plots.draw(Record({}, series), tmp_path)
    assert path.read_bytes().startswith(b"\x89PNG")
