"""The embedding benchmarks run, compare and write; no time is checked."""

import argparse
import json
import sys

import numpy as np
import pytest

from mlx_backends.bench import embed, recall
from mlx_backends.bench.embed_measurement import Measurement
from mlx_backends.bench.embed_plot import draw
from mlx_backends.bench.embed_process import Clock, SystemProcess
from mlx_backends.bench.embed_workload import mixed_texts
from mlx_backends.errors import EngineError

PNG = b"\x89PNG"


def options(*arguments):
    parser = argparse.ArgumentParser()
    embed.add_arguments(parser)
    return parser.parse_args(list(map(str, arguments)))


def test_systems_are_measured_and_a_missing_peer_is_named(tmp_path):
    report = []
    path = tmp_path / "embed.json"
    common = ["--device", "cpu", "--model", "bundled", "--rounds", 1, "--json", path]
    arguments = options(
        *common, "--texts", 4, 6, "--alone", 9, "--peer-python", "python-that-is-not-there"
    )
    assert embed.run(arguments, report.append) == 0
    assert any(line.startswith("left out: sentence-transformers") for line in report)
    rows = json.loads(path.read_text("utf-8"))["results"]
    assert [row["num_texts"] for row in rows] == [4, 6, 9]
    assert all(row["texts_per_s"] > 0 and row["ratio"] == 1 for row in rows)


def test_a_system_that_does_not_answer_is_an_error(tmp_path):
    system = SystemProcess("mlx-backends", sys.executable, tmp_path / "nowhere", {})
    with pytest.raises(EngineError, match="mlx-backends: "):
        system.wait(60)
    system.close()
    slow = SystemProcess("mlx-backends", sys.executable, tmp_path, {})
    with pytest.raises(EngineError, match="no answer within 0 s"):
        slow.wait(0)
    slow.close()


class FakeSystem:
    """Answers at once; fails from the call on that it is told."""

    def __init__(self, name, fails_at=99):
        self.name, self.facts, self._calls, self._fails_at = name, {}, 0, fails_at

    def embed(self, texts, vectors, timeout):
        self._calls += 1
        if self._calls >= self._fails_at:
            raise EngineError(f"{self.name}: broken")
        np.save(vectors, np.eye(2, dtype=np.float32))
        return {"seconds": 1.0, "processor_s": 1.0, "peak_bytes": 1}


def test_a_peer_that_fails_costs_no_other_its_figures(tmp_path):
    report = []
    systems = [FakeSystem("ours"), FakeSystem("good"), FakeSystem("bad", fails_at=3)]
    measure = Measurement(systems, ["a", "b"], tmp_path, report.append, is_gpu=False)
    assert len(list(measure.rounds(3, Clock(60)))) == 3
    assert report == ["left out: bad: broken"]
    assert [len(outcome.seconds) for outcome in measure.outcomes] == [3, 3]
    assert measure.outcomes[1].cosine == 1.0
    failing = Measurement([FakeSystem("ours", 2)], ["a"], tmp_path, report.append, is_gpu=False)
    with pytest.raises(EngineError, match="ours: broken"):
        list(failing.rounds(1, Clock(60)))


def test_texts_are_the_same_each_time():
    texts = mixed_texts(50)
    assert texts == mixed_texts(50)
    lengths = sorted(len(text.split()) for text in texts)
    assert lengths[0] < 10
    assert lengths[-1] > 100


@pytest.mark.parametrize("counts", [(10,), (10, 100)])
def test_pictures_are_drawn(tmp_path, counts):
    points = [(system, count, 5.0) for system in ("ours", "theirs") for count in counts]
    assert draw(points, tmp_path / "plots" / "embed.png").read_bytes().startswith(PNG)


def test_recall_of_quantized_encoders_is_reported(tmp_path):
    figures = recall.measure("bundled", 12, "cpu")
    assert len(figures) == 3 * len(recall.VARIANTS)
    whole = figures[0].weight_bytes
    for figure in figures:
        assert (figure.weight_bytes < whole / 2) == ("weights" in figure.variant)
        assert figure.first <= figure.among_ten
        if figure.variant in ("8-bit weights", "int8 vectors"):
            assert figure.cosine > 0.999
            assert abs(figure.lost) <= 0.1
