"""The sparsity benchmark's own arithmetic, and a small run of it."""

import json

import pytest

from mlx_backends.bench.__main__ import main
from mlx_backends.bench.sparsity import Point, break_even


def point(system: str, density: float, speed_up: float) -> Point:
    return Point(system, density, 1.0, 1.0, 1.0, speed_up, 0.0)


def test_break_even_lies_where_the_speed_up_crosses_one():
    points = [
        point("dense", 1.0, 1.0),
        *(point("csr", density, 0.1 / density) for density in (0.01, 0.05, 0.2, 0.5)),
        point("bsr", 0.1, 5.0),
        point("2:4", 0.5, 0.2),
    ]
    found = break_even(points)
    assert found == {"csr": pytest.approx(0.1), "bsr": 0.1, "2:4": 0.0}


def test_a_small_run_writes_figures_and_a_picture(tmp_path, capsys):
    arguments = ["--device", "cpu", "--size", "128", "--rounds", "1", "--density", "0.1"]
    paths = ["--json", str(tmp_path / "a.json"), "--plots", str(tmp_path)]
    assert main(["sparsity", *arguments, "--density", "0.5", *paths]) == 0
    figures = json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))
    systems = {entry["system"] for entry in figures["points"]}
    assert {"dense", "csr", "bsr", "2:4", "scipy csr"} <= systems
    assert max(entry["error"] for entry in figures["points"]) < 1e-5
    assert all(p["host_microseconds"] > 0 for p in figures["points"])
    assert set(figures["break_even"]) == systems - {"dense"}
    assert (tmp_path / "sparsity-1.png").stat().st_size > 10_000
    assert "as fast as dense" in capsys.readouterr().out
