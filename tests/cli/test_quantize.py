"""``mlx-backends quantize``."""

import dataclasses
import json

import pytest

from mlx_backends import bundled
from mlx_backends.bench.random_model import SHAPES, make_model
from mlx_backends.quantization.texts import read_items
from mlx_backends.text.grounding import grounded_messages
from mlx_backends.text.tokenizer import Tokenizer


@pytest.fixture(scope="module")
def tiny_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    shape = SHAPES["tiny"]
    make_model(
        dataclasses.replace(shape, config={**shape.config, "intermediate_size": 384}), folder
    )
    return folder


def test_a_model_is_quantized(run, tiny_folder, tmp_path):
    result = run("quantize", tiny_folder, "--bits", 4, "--out", tmp_path / "out")
    assert result.exit_code == 0
    assert "4.5" in result.stdout
    assert "bits a weight" in result.stdout
    again = run("quantize", tiny_folder, "--bits", 4, "--out", tmp_path / "out")
    assert again.exit_code == 1
    assert "exists already" in again.stderr
    assert run("quantize", tiny_folder, "--out", tmp_path / "out", "--force").exit_code == 0


def test_calibration_files(run, tiny_folder, tmp_path):
    lines = tmp_path / "lines.jsonl"
    lines.write_text('{"text": "w1 w2 w3 w4"}\n\n{"text": "w5 w6"}\n')
    options = ("--method", "static", "--bits", 8, "--calibration")
    result = run("quantize", tiny_folder, *options, lines, "--out", tmp_path / "out")
    assert result.exit_code == 0
    lines.write_text('{"txt": 1}\n')
    bad = run("quantize", tiny_folder, *options, lines, "--out", tmp_path / "bad")
    assert bad.exit_code == 1
    assert "line 1" in bad.stderr


def test_training_goes_on_from_its_checkpoint(run, tiny_folder, tmp_path):
    text = tmp_path / "text.txt"
    text.write_text(" ".join(f"w{i % 1000}" for i in range(1_100)))
    options = ("--method", "qat", "--bits", 2, "--calibration", text, "--batch-size", 1)
    state = ("--checkpoint", tmp_path / "state.safetensors")
    first = run("quantize", tiny_folder, *options, *state, "--steps", 2, "--out", tmp_path / "a")
    assert first.exit_code == 0, first.stderr
    assert (tmp_path / "state.safetensors").exists()
    again = run("quantize", tiny_folder, *options, *state, "--steps", 2, "--out", tmp_path / "b")
    assert again.exit_code == 0
    a, b = ((tmp_path / name / "model.safetensors").read_bytes() for name in "ab")
    assert a == b


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--bits", 7), "weight_bits must be one of"),
        (("--method", "static", "--bits", 8), "calibration_data must be"),
        (("--calibration", "no-such-file.txt"), "cannot be read"),
    ],
)
def test_bad_input_is_one_line(run, tiny_folder, tmp_path, options, said):
    result = run("quantize", tiny_folder, *options, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert said in result.stderr
    assert not (tmp_path / "out").exists()


def test_items_are_chats_with_their_right_answers(run, tmp_path):
    chats = [
        [
            *grounded_messages("What is the default port?", [f"The default port is {port}."]),
            {"role": "assistant", "content": f"[1] {port}"},
        ]
        for port in (8001, 8002)
    ]
    items = tmp_path / "items.jsonl"
    items.write_text("\n".join(json.dumps({"messages": chat}) for chat in chats))
    found = read_items(items, "bundled")
    tokenizer = Tokenizer.from_folder(bundled.path("lm"))
    answers = [tokenizer.decode(i.ids[i.start :], skip_special_tokens=False) for i in found]
    assert answers == ["[1] 8001<|im_end|>", "[1] 8002<|im_end|>"]
    refused = run("quantize", "bundled", "--report", "--items", items)
    assert refused.exit_code == 1
    assert "quantized itself" in refused.stderr
    assert "--items FILE.jsonl" in run("quantize", "bundled", "--report").stderr


def test_a_place_is_needed(run, tiny_folder):
    result = run("quantize", tiny_folder)
    assert result.exit_code == 1
    assert "--out FOLDER" in result.stderr
