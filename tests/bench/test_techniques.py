"""``bench techniques``: that each row is measured on the model that it names."""

import json

import pytest

from mlx_backends import bundled
from mlx_backends.bench import sample_text
from mlx_backends.bench.__main__ import main
from mlx_backends.bench.techniques import measure_all
from mlx_backends.bench.techniques_bench import Options
from mlx_backends.bench.techniques_table import BASELINE, Row, line_of, table
from mlx_backends.errors import ConfigError


def by_variant(rows):
    return {row.variant: row for row in rows}


@pytest.fixture(scope="module")
def rows():
    """The bundled model: every technique but those that take long."""
    asked = Options(device="cpu", rounds=1, only=("memory", "compilation", "training"))
    return list(measure_all(asked))


def test_the_model_itself_diverges_from_itself_by_nothing(rows):
    baseline = by_variant(rows)[BASELINE].figures
    assert baseline["divergence, nats"] == pytest.approx(0, abs=1e-6)
    assert baseline["perplexity"] > 1
    assert baseline["weights, MB"] == pytest.approx(31.7, rel=0.05)  # 15.8 M of 16 bits
    assert rows[-1].variant == f"{BASELINE}, again"


def test_compile_means_fewer_operations(rows):
    found = by_variant(rows)
    on, off = (found[f"mx.compile {state}"].figures for state in ("on", "off"))
    assert on["operations a token"] < off["operations a token"]


def test_a_prompt_that_was_seen_answers_sooner(rows):
    found = by_variant(rows)
    new, seen = (
        found[f"blocks of keys and values: {which}"].figures["first token, ms"]
        for which in ("a prompt that is new", "the same prompt again")
    )
    assert seen < new


def test_rounded_keys_and_values_take_fewer_bytes(rows):
    found = by_variant(rows)
    exact, eight, four = (
        found[f"keys and values {how}"].figures["bytes a token's keys and values take"]
        for how in ("not rounded", "in 8 bits", "in 4 bits")
    )
    assert four < eight < exact / 3.5  # a CPU computes in float32


def test_what_was_not_run_is_said(rows):
    assert by_variant(rows)["3 bits"].note.startswith("not run")


def test_the_table_and_the_picture(rows, tmp_path):
    pytest.importorskip("matplotlib")
    from mlx_backends.bench.techniques_plot import draw

    text = table(rows)
    assert "memory: when prompts that begin alike" in text
    assert draw(rows, tmp_path / "t.png").stat().st_size > 10_000


def test_the_text_of_the_package_is_prose_and_a_file_is_read(tmp_path):
    assert len(sample_text.read(None)) > 5_000
    path = tmp_path / "text.txt"
    path.write_text("One line.", encoding="utf-8")
    assert sample_text.read(path) == "One line."
    with pytest.raises(ConfigError, match="cannot be read as text"):
        sample_text.read(tmp_path / "nowhere")


def test_a_variant_that_cannot_be_made_is_a_row_that_says_so():
    assert "not measured" in line_of(Row("memory", "x", {}, "not measured: why"), 10)


@pytest.mark.slow
@pytest.mark.timeout(1_200)
def test_every_technique_on_the_bundled_model(tmp_path):
    path = tmp_path / "techniques.json"
    model = str(bundled.path("lm"))
    arguments = ["techniques", model, "--device", "cpu", "--rounds", "1", "--json", str(path)]
    assert main([*arguments, "--qat-steps", "2"]) == 0
    found = {row["variant"]: row for row in json.loads(path.read_text())["rows"]}
    assert not [row["note"] for row in found.values() if row["note"]]
    lost = {name: row["figures"].get("divergence, nats") for name, row in found.items()}
    assert 0 < lost["weights 8 bits"] < lost["weights 4 bits"] < lost["weights 3 bits, rounded"]
    sizes = {name: row["figures"].get("weights, MB") for name, row in found.items()}
    assert sizes["weights 4 bits"] < sizes["weights 8 bits"] < sizes[BASELINE]
    assert sizes["half in blocks of 32, Wanda"] < sizes[BASELINE]
