"""Model cards hold what was measured on the weights that ship."""

import dataclasses

import pytest

from mlx_backends import bundled
from mlx_backends.bundled import figures
from mlx_backends.bundled.figures import Figure, Figures
from mlx_backends.errors import ModelLoadError

ROW = Figure("4 facts", "right answers", 0.96, 1000, 0.95)
CARD = "# Card\n\n<!-- figures: begin -->\nold\n<!-- figures: end -->\n\nThe rest.\n"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    (tmp_path / "README.md").write_text(CARD, encoding="utf-8")
    return tmp_path


def measured(folder, *rows):
    return Figures("lm", figures.weights_digest(folder), list(rows))


def test_figures_survive_a_file(tmp_path):
    written = Figures("lm", "1234", [ROW, dataclasses.replace(ROW, gate=None, unquantized=0.97)])
    written.save(tmp_path / "figures.json")
    assert Figures.load(tmp_path / "figures.json") == written


@pytest.mark.parametrize("text", ["{}", '{"model": "lm", "weights": "", "rows": [{"nme": 1}]}'])
def test_a_file_of_something_else_is_a_typed_error(tmp_path, text):
    (tmp_path / "figures.json").write_text(text, encoding="utf-8")
    with pytest.raises(ModelLoadError, match="does not hold figures"):
        Figures.load(tmp_path / "figures.json")


@pytest.mark.parametrize(("value", "passes"), [(0.95, True), (0.9499, False)])
def test_a_gate_is_reached_or_not(value, passes):
    row = dataclasses.replace(ROW, value=value)
    assert row.passes is passes
    assert ("not reached" in Figures("lm", "", [row]).markdown()) is not passes


def test_the_table_compares_only_what_was_compared():
    assert "bfloat16" not in Figures("lm", "", [ROW]).markdown()
    both = Figures("lm", "", [ROW, dataclasses.replace(ROW, name="b", unquantized=0.97)])
    assert "| 0.970 | 0.010 |" in both.markdown()
    assert {line.count("|") for line in both.markdown().splitlines()} == {8}


def test_a_card_gets_the_table_and_keeps_its_text(folder):
    figures.update_card(folder, measured(folder, ROW))
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("# Card\n")
    assert card.endswith("\nThe rest.\n")
    assert "old" not in card
    assert "| 4 facts | right answers | 1,000 | 0.960 | 0.950 |" in card


def test_rows_of_the_same_weights_are_kept_and_replaced_by_name(folder):
    other = dataclasses.replace(ROW, name="project docs")
    figures.update_card(folder, measured(folder, ROW, other))
    figures.update_card(folder, measured(folder, dataclasses.replace(ROW, value=0.5)))
    rows = Figures.load(folder / figures.FILE).rows
    assert [(row.name, row.value) for row in rows] == [("4 facts", 0.5), ("project docs", 0.96)]


def test_rows_stand_in_the_order_of_the_report_whenever_they_were_measured(folder):
    order = ["1 fact", "4 facts", "tool call", "tool call, new schema"]
    names = ["tool call, new schema, with grammar", "project docs", "tool call", "1 fact"]
    for name in [*names, "tool call, new schema"]:
        figures.update_card(folder, measured(folder, dataclasses.replace(ROW, name=name)), order)
    rows = [row.name for row in Figures.load(folder / figures.FILE).rows]
    assert rows == [
        "1 fact",
        "tool call",
        "tool call, new schema",
        "tool call, new schema, with grammar",
        "project docs",
    ]


def test_rows_of_other_weights_go(folder):
    figures.update_card(folder, measured(folder, ROW))
    (folder / "model.safetensors").write_bytes(b"new weights")
    figures.update_card(folder, measured(folder, dataclasses.replace(ROW, name="new")))
    assert [row.name for row in Figures.load(folder / figures.FILE).rows] == ["new"]


def test_figures_of_other_weights_are_refused(folder):
    with pytest.raises(ModelLoadError, match="other weights"):
        figures.update_card(folder, Figures("lm", "0" * 64, [ROW]))
    assert not (folder / figures.FILE).exists()


def test_a_card_without_a_place_is_refused_before_anything_is_written(folder):
    (folder / "README.md").write_text("# Card\n", encoding="utf-8")
    with pytest.raises(ModelLoadError, match="figures: begin"):
        figures.update_card(folder, measured(folder, ROW))
    assert not (folder / figures.FILE).exists()


@pytest.mark.parametrize("kind", bundled.KINDS)
def test_the_shipped_card_shows_the_figures_of_the_shipped_weights(kind):
    folder = bundled.path(kind)
    shipped = Figures.load(folder / figures.FILE)
    assert shipped.model == kind
    assert shipped.weights == figures.weights_digest(folder), "measure the new weights"
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert figures.replace_table(card, shipped.markdown()) == card
