"""Sparse arrays as safetensors files."""

import json
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

import mlx.core as mx
from safetensors import SafetensorError, safe_open

from mlx_backends.errors import ConfigError, ModelLoadError
from mlx_backends.sparsity.format import Format

_KEY = "sparse_array"


def save(path: str | PathLike[str], stored: Format, is_transposed: bool) -> None:
    """Write a matrix; ``.safetensors`` is added to the name where it is missing."""
    facts = {"format": stored.name, "shape": stored.shape, "is_transposed": is_transposed}
    mx.save_safetensors(fspath(path), stored.arrays(), {_KEY: json.dumps(facts)})


def load(path: str | PathLike[str], classes: Mapping[str, Any]) -> tuple[Format, bool]:
    """The matrix, and whether it stands for its transpose.

    Raises:
        ModelLoadError: The file is malformed or holds no sparse array.
    """
    name = fspath(path)
    try:
        arrays, metadata = _read(name)
        facts = json.loads(metadata[_KEY])
        rows, columns = (int(side) for side in facts["shape"])
        stored = classes[facts["format"]].from_arrays((rows, columns), arrays)
        return stored, bool(facts["is_transposed"])
    except KeyError as error:
        raise ModelLoadError(f"{name} holds no sparse array: {error} is missing.") from error
    except (ConfigError, OSError, RuntimeError, SafetensorError, TypeError, ValueError) as error:
        raise ModelLoadError(f"{name} holds no sparse array: {error!s:.500}") from error


def _read(name: str) -> tuple[dict[str, mx.array], Mapping[str, Any]]:
    with safe_open(name, "numpy"):
        pass  # checks the header, which MLX does not
    loaded: Any = mx.load(name, return_metadata=True)
    arrays, metadata = loaded
    mx.eval(arrays)
    return arrays, metadata
