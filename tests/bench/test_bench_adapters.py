"""The adapters' benchmark: that its rows are what they say, not how large they are."""

import json

from mlx_backends.bench import adapters
from mlx_backends.bench.__main__ import main


def test_the_report(tmp_path, capsys):
    json_path = tmp_path / "adapters.json"
    arguments = ["--rounds", "1", "--tokens", "50", "--json", str(json_path)]
    assert main(["adapters", *arguments, "--plots", str(tmp_path)]) == 0
    written = json.loads(json_path.read_text())
    costs = [adapters.Cost(**row) for row in written["microseconds"]]
    assert [cost.line() for cost in costs] == capsys.readouterr().out.splitlines()
    limited = {cost.name for cost in costs if cost.limit_us}
    assert sum("constructor" in name for name in limited) == 7
    assert "ChatMLX over the engine, a token" in limited
    assert all(cost.us > 0 for cost in costs if "over the engine" not in cost.name)
    assert written["environment"]["mlx-backends"]
    assert (tmp_path / "adapters.png").stat().st_size > 1_000


def test_costs_are_medians_of_the_processors_time():
    calls = []
    spent = adapters._medians_us({"a": lambda: calls.append("a"), "b": lambda: None}, 3, count=10)
    assert len(calls) == 4  # one to warm up
    assert spent.keys() == {"a", "b"}
    assert spent["a"] < 1_000
