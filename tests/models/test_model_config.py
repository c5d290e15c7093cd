"""config.json is checked before anything is built from it."""

import json

import pytest

from mlx_backends.errors import ModelLoadError, UnsupportedModelError
from mlx_backends.models.model_config import read_model_config

GOOD = {"model_type": "llama", "vocab_size": 100, "max_position_embeddings": 64}


def write(folder, config):
    text = config if isinstance(config, str) else json.dumps(config)
    (folder / "config.json").write_text(text)
    return folder


def test_reads_what_the_engine_needs(tmp_path):
    config = read_model_config(write(tmp_path, GOOD))
    assert (config.model_type, config.vocab_size, config.context_window) == ("llama", 100, 64)


def test_reads_the_text_part_of_a_multimodal_config(tmp_path):
    nested = {"model_type": "gemma3", "text_config": {"vocab_size": 9, "n_positions": 32}}
    config = read_model_config(write(tmp_path, nested))
    assert (config.vocab_size, config.context_window) == (9, 32)


@pytest.mark.parametrize(
    "changes",
    [
        {"model_type": None},
        {"model_type": "../../etc/passwd"},
        {"model_type": ["llama"]},
        {"num_hidden_layers": 10**6},
        {"hidden_size": -1},
        {"hidden_size": "64"},
        {"hidden_size": 1e3},
        {"vocab_size": 10**12},
        {"vocab_size": True},
        {"text_config": [1]},
        {"text_config": {"num_hidden_layers": 10**6}},
        {"quantization": {"bits": 4, "group_size": 7}},
        {"quantization": {"bits": 99, "group_size": 64}},
        {"quantization": "4bit"},
        {"intermediate_size": [128, 10**9]},
    ],
)
def test_values_out_of_bounds_are_refused(tmp_path, changes):
    with pytest.raises(ModelLoadError):
        read_model_config(write(tmp_path, {**GOOD, **changes}))


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"x"', "[" * 100_000, '{"a": NaN'])
def test_malformed_json_is_refused(tmp_path, text):
    with pytest.raises(ModelLoadError):
        read_model_config(write(tmp_path, text))


def test_code_in_the_folder_is_never_run(tmp_path):
    (tmp_path / "model.py").write_text("raise SystemExit('code of the model ran')")
    with pytest.raises(UnsupportedModelError, match="never runs code"):
        read_model_config(write(tmp_path, {**GOOD, "model_file": "model.py"}))


def test_a_folder_without_config_says_what_is_missing(tmp_path):
    with pytest.raises(ModelLoadError, match=r"has no config\.json"):
        read_model_config(tmp_path)
