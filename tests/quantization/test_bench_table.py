"""The quality table's record, table and picture, without a measurement."""

import json

import pytest

from mlx_backends.bench import __main__ as command
from mlx_backends.bench.quantization_plot import draw


def row(exact_match, bits=None):
    figures = {"exact_match": exact_match, "answer_perplexity": 1.01, "perplexity": 6.0,
               "divergence": 0.1}  # fmt: skip
    return figures if bits is None else figures | {"bits_per_weight": bits, "num_bytes": 4e6}


ROWS = {
    "bf16": row(0.97, 16.0),
    "4 bits, to nearest": row(0.96, 4.5),
    "2 bits, to nearest": row(0.0, 2.7),
    "2 bits, QAT": row(0.94, 2.7),
    "int8 KV": row(0.96),
}


@pytest.fixture
def parts(tmp_path):
    """Two records of parts of the table, and where to draw."""
    names = list(ROWS)
    files = []
    for index, chosen in enumerate((names[:2], names[2:])):
        file = tmp_path / f"{index}.json"
        file.write_text(json.dumps({"items": 1000, "rows": {n: ROWS[n] for n in chosen}}))
        files.append(str(file))
    return files


def test_parts_of_the_table_are_put_together(parts, tmp_path, capsys):
    together, picture = tmp_path / "all.json", tmp_path / "all.png"
    options = ["--read", *parts, "--json", str(together), "--plot", str(picture)]
    assert command.main(["quantization", *options]) == 0
    assert json.loads(together.read_text())["rows"] == ROWS
    assert picture.read_bytes().startswith(b"\x89PNG")
    lines = capsys.readouterr().out.splitlines()
    assert "| 2 bits, QAT | 4.00 | 2.70 | 0.940 | 1.0100 | 6.000 | 0.10000 |" in lines
    assert "| int8 KV | - | - | 0.960 | 1.0100 | 6.000 | 0.10000 |" in lines


def test_parts_measured_on_other_items_are_refused(parts, tmp_path, capsys):
    other = tmp_path / "other.json"
    other.write_text(json.dumps({"items": 8, "rows": {}}))
    assert command.main(["quantization", "--read", *parts, str(other)]) == 2
    assert "other items" in capsys.readouterr().out


def test_a_file_that_is_no_record_is_refused(parts, tmp_path, capsys):
    assert command.main(["quantization", "--read", *parts, str(tmp_path / "none.json")]) == 2
    assert "cannot be read" in capsys.readouterr().out


def test_a_picture_of_rows_that_are_not_rounded(tmp_path):
    assert draw({"fp32": row(0.97, 32.0)}, tmp_path / "one.png").is_file()
