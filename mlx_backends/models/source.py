"""Turns the name of a model into a folder of files: a local folder, the Hub, or a bundled model."""

import os
import re
import warnings
from pathlib import Path

from mlx_backends import bundled
from mlx_backends.config import ModelKind, model_from_environment
from mlx_backends.errors import ModelNotFoundError, UnsupportedModelError

# Names the model that ships with the package, for those who mean it.
BUNDLED = "bundled"
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?")
# Data only: code that a repository may hold is not even downloaded.
_HUB_FILES = ["*.json", "*.safetensors", "*.jinja", "*.model", "*.tiktoken", "*.txt"]


class DemonstrationModelWarning(UserWarning):
    """No model was named, so a bundled demonstration model answers."""


def model_folder(name: str | None, kind: ModelKind, revision: str | None = None) -> Path:
    """Folder that holds the model's files, downloaded if need be.

    Args:
        name: Local folder, Hub id or ``bundled``; None is the environment's model, else the bundled
            one with a warning.
        kind: What the model is for; decides the default.
        revision: Hub branch, tag or commit.

    Raises:
        ModelNotFoundError: There is no such folder or repository, or the Hub cannot be reached.
        UnsupportedModelError: The name leads to a GGUF file.
    """
    name = name or model_from_environment(kind)
    if name is None:
        _warn_of_demonstration_model(kind)
        name = BUNDLED
    if name == BUNDLED:
        return bundled.path(kind)
    if _is_local(name):
        return _local_folder(Path(name).expanduser())
    return _hub_folder(name, revision)


def _warn_of_demonstration_model(kind: ModelKind) -> None:
    warnings.warn(
        f"No model was named, so the small bundled {kind} serves. It is a demonstration model; "
        "name a real one with model=, for example one of huggingface.co/mlx-community.",
        DemonstrationModelWarning,
        stacklevel=3,
    )


def _is_local(name: str) -> bool:
    looks_like_path = name.startswith(("/", ".", "~")) or name.lower().endswith(".gguf")
    return looks_like_path or os.path.exists(name)


def _local_folder(path: Path) -> Path:
    if path.suffix.lower() == ".gguf" or (path.is_dir() and _holds_only_gguf(path)):
        raise UnsupportedModelError(
            f"{str(path)!r} is a GGUF model. MLX models are folders with config.json and "
            "safetensors files; convert the original model with mlx_lm.convert."
        )
    if not path.is_dir():
        raise ModelNotFoundError(
            f"There is no model folder {str(path)!r}. Give a folder that holds config.json, "
            "tokenizer.json and *.safetensors, or a Hub id such as "
            "'mlx-community/Llama-3.2-1B-Instruct-4bit'."
        )
    return path


def _holds_only_gguf(folder: Path) -> bool:
    names = [entry.name.lower() for entry in folder.iterdir()]
    has_gguf = any(name.endswith(".gguf") for name in names)
    return has_gguf and not any(name.endswith(".safetensors") for name in names)


def _hub_folder(name: str, revision: str | None) -> Path:
    if _HUB_ID.fullmatch(name) is None:
        raise ModelNotFoundError(
            f"{name!r:.200} is neither an existing folder nor a Hub id of the form 'owner/name'."
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=_HUB_FILES))
    except (HFValidationError, HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise ModelNotFoundError(
            f"The model {name!r} could not be fetched from the Hub: {error}. Check the name and "
            "the connection, or give a local folder."
        ) from error
