"""The embedding benchmarks run, compare and write; no time is checked."""

import argparse
import json
import sys

import pytest

from mlx_backends.bench import embed, recall
from mlx_backends.bench.embed_plot import draw
from mlx_backends.bench.embed_process import SystemProcess
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
    assert len(figures) == 2 * len(recall.VARIANTS)
    for figure in figures:
        assert figure.first <= figure.among_ten
        if figure.variant in ("8-bit weights", "int8 vectors"):
            assert figure.cosine > 0.999
            assert figure.first >= 0.9
