import pytest

from mlx_backends.errors import ModelLoadError, UnsupportedModelError
from mlx_backends.pooling.description import read_description


def test_a_plain_encoder_takes_the_mean_and_normalizes(encoder):
    description = read_description(encoder.folder)
    assert (description.pooling, description.is_normalized) == ("mean", True)
    assert description.max_length == 24
    assert dict(description.prompts) == {"query": "", "document": ""}


def test_steps_are_read_as_listed(encoder, files):
    pooling = {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    files.write_modules(encoder.folder, "Transformer", "Pooling", pooling=pooling, max_length=12)
    description = read_description(encoder.folder)
    assert (description.pooling, description.is_normalized) == ("cls", False)
    assert description.max_length == 12


@pytest.mark.parametrize(
    ("pooling", "expected"),
    [
        ({"pooling_mode_lasttoken": True}, "last_token"),
        ({"pooling_mode": "lasttoken"}, "last_token"),
        ({"pooling_mode": "mean"}, "mean"),
    ],
)
def test_both_spellings_of_pooling_are_read(encoder, files, pooling, expected):
    files.write_modules(encoder.folder, "Transformer", "Pooling", "Normalize", pooling=pooling)
    description = read_description(encoder.folder)
    assert (description.pooling, description.is_normalized) == (expected, True)


@pytest.mark.parametrize(
    "pooling",
    [
        {},
        {"pooling_mode_max_tokens": True},
        {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": True},
        {"pooling_mode": ["cls", "mean"]},
        {"pooling_mode": "mean", "include_prompt": False},
    ],
)
def test_other_poolings_are_refused(encoder, files, pooling):
    files.write_modules(encoder.folder, "Transformer", "Pooling", pooling=pooling)
    with pytest.raises(UnsupportedModelError, match="pooling"):
        read_description(encoder.folder)


def test_other_steps_are_refused(encoder, files):
    files.write_modules(encoder.folder, "Transformer", "Pooling", "WordWeights")
    with pytest.raises(UnsupportedModelError, match="'WordWeights'"):
        read_description(encoder.folder)


def test_other_architectures_are_refused(encoder, files):
    files.write_json(encoder.folder / "config.json", {**encoder.config, "model_type": "nomic"})
    with pytest.raises(UnsupportedModelError, match="'nomic'"):
        read_description(encoder.folder)


def test_prompts_go_by_kind(encoder, files):
    path = encoder.folder / "config_sentence_transformers.json"
    files.write_json(path, {"prompts": {"query": "query: ", "passage": "passage: "}})
    assert read_description(encoder.folder).prompts == {
        "query": "query: ",
        "document": "passage: ",
    }


def test_the_default_prompt_serves_kinds_without_one(encoder, files):
    path = encoder.folder / "config_sentence_transformers.json"
    files.write_json(path, {"prompts": {"sts": "same? "}, "default_prompt_name": "sts"})
    assert read_description(encoder.folder).prompts == {"query": "same? ", "document": "same? "}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("config.json", "{"),
        ("config.json", "[]"),
        ("config.json", "[" * 100_000),
        ("modules.json", "{}"),
        ("modules.json", "[1]"),
        ("modules.json", '[{"type": "x.Transformer", "path": "../../elsewhere"}]'),
        ("modules.json", '[{"type": "x.Transformer", "path": "/etc"}]'),
        ("sentence_bert_config.json", '{"max_seq_length": "12"}'),
        ("sentence_bert_config.json", '{"max_seq_length": 0}'),
        ("config_sentence_transformers.json", '{"prompts": {"query": 1}}'),
        ("config_sentence_transformers.json", '{"prompts": ["query"]}'),
    ],
)
def test_malformed_files_are_named(encoder, name, content):
    (encoder.folder / name).write_text(content, encoding="utf-8")
    with pytest.raises(ModelLoadError, match=name.replace(".", r"\.")):
        read_description(encoder.folder)


def test_a_folder_without_config_is_no_model(tmp_path):
    with pytest.raises(ModelLoadError, match=r"no config\.json"):
        read_description(tmp_path)
