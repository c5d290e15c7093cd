"""Reads the small JSON files of a model folder, which is not trusted."""

import json
from pathlib import Path
from typing import Any, TypeVar

from mlx_backends.errors import ModelLoadError

T = TypeVar("T", dict, list)
# 6,000 added tokens make a tokenizer_config.json of 1 MB.
MAX_BYTES = 16 * 2**20


def read_bytes(path: Path, max_bytes: int = MAX_BYTES) -> bytes:
    """Content of a file, read no further than the limit.

    Raises:
        ModelLoadError: It is missing, unreadable or larger; the message names it.
    """
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except FileNotFoundError as error:
        raise ModelLoadError(f"{path.parent} is no model folder: it has no {path.name}.") from error
    except OSError as error:
        raise ModelLoadError(f"{path} cannot be read: {error}.") from error
    if len(content) > max_bytes:
        raise ModelLoadError(f"{path} is larger than {max_bytes:,} bytes.")
    return content


def read_json(path: Path, kind: type[T], *, default: T | None = None) -> T:
    """Content of a JSON file that holds an object (``dict``) or an array (``list``).

    Args:
        path: The file.
        kind: What it must hold.
        default: Stands for a missing file, if given.

    Raises:
        ModelLoadError: The file is missing, too large, no JSON or of another kind.
    """
    if default is not None and not path.exists():
        return default
    try:
        value: Any = json.loads(read_bytes(path))
    except (ValueError, RecursionError) as error:
        raise ModelLoadError(f"{path} is not valid JSON: {error}.") from error
    if not isinstance(value, kind):
        name = "object" if kind is dict else "array"
        raise ModelLoadError(f"{path} does not hold a JSON {name}.")
    return value
