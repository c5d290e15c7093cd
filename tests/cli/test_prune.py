"""``mlx-backends prune`` on the bundled model."""

import json

from typer.testing import CliRunner

from mlx_backends.cli.app import app
from mlx_backends.models.loader import load_language_model


def invoke(*arguments: str):
    return CliRunner().invoke(app, ["prune", "bundled", *arguments])


def test_a_pruned_folder_is_written_and_loads(tmp_path):
    out, text = tmp_path / "sparse", tmp_path / "text.txt"
    text.write_text("The port is 8080. The server listens on it. " * 20, encoding="utf-8")
    done = invoke(
        "--out", str(out), "--method", "wanda", "--calibration", str(text),
        "--bits", "4", "--dequantize",
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "50% zeros in 70 layers, of which 70 are stored sparsely" in done.output
    config = json.loads((out / "config.json").read_text(encoding="utf-8"))
    assert config["quantization"] == {"group_size": 64, "bits": 4, "mode": "affine"}
    assert {entry["format"] for entry in config["sparsity"]["layers"].values()} == {"2:4"}
    assert (out / "model.safetensors").stat().st_size < 7_000_000
    load_language_model(out, device="cpu", dtype="auto", memory_limit_bytes=None)


def test_what_it_cannot_do_is_said_plainly(tmp_path):
    for arguments, message in (
        ([], "is quantized"),
        (["--dequantize", "--method", "wanda"], "needs --calibration"),
        (["--dequantize", "--sparsity", "0.3"], "give sparsity=0.5"),
    ):
        done = invoke("--out", str(tmp_path / "sparse"), *arguments)
        assert done.exit_code != 0
        assert message in done.output
        assert not (tmp_path / "sparse").exists()
