"""Names of models lead to folders, or to errors that say what to do."""

import pytest

from mlx_backends import bundled
from mlx_backends.errors import ModelNotFoundError, UnsupportedModelError
from mlx_backends.models.source import DemonstrationModelWarning, model_folder


def test_a_local_folder_is_taken_as_it_is(tmp_path):
    assert model_folder(str(tmp_path), "lm") == tmp_path


def test_a_missing_folder_is_not_looked_up_on_the_hub(tmp_path):
    with pytest.raises(ModelNotFoundError, match="There is no model folder"):
        model_folder(str(tmp_path / "none"), "lm")


def test_not_found_is_also_a_file_not_found_error(tmp_path):
    with pytest.raises(FileNotFoundError):
        model_folder(str(tmp_path / "none"), "lm")


@pytest.mark.parametrize("name", ["a b", "a/b/c", "owner/na me", "-x/y", "x" * 300])
def test_names_that_are_no_hub_ids_are_refused_without_network(name):
    with pytest.raises(ModelNotFoundError):
        model_folder(name, "lm")


def test_gguf_is_refused_before_it_is_opened(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF" + b"\xff" * 64)
    for name in (str(tmp_path / "model.gguf"), str(tmp_path)):
        with pytest.raises(UnsupportedModelError, match="GGUF"):
            model_folder(name, "lm")


def test_the_environment_names_the_default(tmp_path, monkeypatch):
    monkeypatch.setenv("MLX_BACKENDS_MODEL", str(tmp_path))
    assert model_folder(None, "lm") == tmp_path


def test_with_no_name_the_bundled_model_serves_and_says_so(monkeypatch):
    monkeypatch.delenv("MLX_BACKENDS_MODEL", raising=False)
    with pytest.warns(DemonstrationModelWarning, match="demonstration"):
        assert model_folder(None, "lm") == bundled.path("lm")


def test_an_unreachable_hub_is_a_typed_error(monkeypatch):
    from huggingface_hub.errors import LocalEntryNotFoundError

    def offline(*_args, **_kwargs):
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr("huggingface_hub.snapshot_download", offline)
    with pytest.raises(ModelNotFoundError, match="could not be fetched"):
        model_folder("owner/name", "lm")
