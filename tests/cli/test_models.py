import json
from pathlib import Path

from mlx_backends import bundled
from mlx_backends.bundled.figures import FILE, Figures


def test_models_lists_the_bundled_ones_with_their_figures(run):
    found = json.loads(run("models", "--json").stdout)
    assert set(found) == set(bundled.KINDS)
    for kind, about in found.items():
        folder = bundled.path(kind)
        assert about["weight_bytes"] == (folder / "model.safetensors").stat().st_size
        assert Path(about["card"]).is_file()
        rows = Figures.load(folder / FILE).rows
        assert [row["name"] for row in about["figures"]] == [row.name for row in rows]


def test_models_prints_a_table_for_people(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    out = run("models").stdout
    row = Figures.load(bundled.path("lm") / FILE).rows[0]
    assert any(row.name in line and f"{row.value:.3f}" in line for line in out.splitlines())
    assert "demonstration models" in out


def test_models_works_before_anything_was_measured(run, monkeypatch, tmp_path):
    (tmp_path / "README.md").write_text("# Card\n", encoding="utf-8")
    monkeypatch.setattr(bundled, "path", lambda kind: tmp_path)
    assert "No figures" in run("models").stdout
    assert json.loads(run("models", "--json").stdout)["lm"]["figures"] == []
