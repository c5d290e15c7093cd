"""Writes a model's arrays as safetensors files, with mlx-lm's names and index."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_backends.errors import OutputError

SHARD_BYTES = 2**30
OnProgress = Callable[[int, int], None]
_INDEX = "model.safetensors.index.json"
_KEPT_SUFFIXES = (".json", ".jinja", ".model", ".tiktoken", ".txt")
# Of the weights that were there before.
_NOT_KEPT = ("config.json", _INDEX, "figures.json")


def write_weights(
    weights: dict[str, mx.array], folder: Path, on_progress: OnProgress | None = None
) -> int:
    """Compute and write arrays, file by file, emptying ``weights``; returns their bytes.

    Args:
        weights: By name; at most one file's are held at once if nothing else holds them.
        folder: Gets ``model.safetensors``, or several files of 1 GiB and their index.
        on_progress: Called with the number of arrays computed, and of all.

    Raises:
        OutputError: A file could not be written whole.
    """
    shards = _shards(weights)
    places: dict[str, str] = {}
    num_bytes = 0
    for number, names in enumerate(shards, 1):
        stem = "model" if len(shards) == 1 else f"model-{number:05}-of-{len(shards):05}"
        shard: dict[str, mx.array] = {}
        for name in names:
            shard[name] = weights.pop(name)
            mx.eval(shard[name])
            places[name] = f"{stem}.safetensors"
            if on_progress:
                on_progress(len(places), len(places) + len(weights))
        _write_shard(folder / f"{stem}.safetensors", shard)
        num_bytes += sum(array.nbytes for array in shard.values())
    if len(shards) > 1:
        write_json(folder / _INDEX, {"metadata": {"total_size": num_bytes}, "weight_map": places})
    return num_bytes


def copy_small_files(source: Path, target: Path) -> None:
    """Copy tokenizer, templates and the like of a model folder; never code."""
    for path in source.iterdir():
        if path.is_file() and path.suffix in _KEPT_SUFFIXES and path.name not in _NOT_KEPT:
            shutil.copyfile(path, target / path.name)


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _shards(weights: dict[str, mx.array]) -> list[list[str]]:
    """Names of the arrays of each file, of up to ``SHARD_BYTES`` or one array."""
    shards: list[list[str]] = []
    size = SHARD_BYTES
    for name, array in weights.items():
        if size + array.nbytes > SHARD_BYTES and (not shards or shards[-1]):
            shards.append([])
            size = 0
        shards[-1].append(name)
        size += array.nbytes
    return shards


def _write_shard(path: Path, shard: dict[str, mx.array]) -> None:
    needed = sum(array.nbytes for array in shard.values())
    try:
        mx.save_safetensors(str(path), shard, metadata={"format": "mlx"})
    except RuntimeError as error:  # MLX does not tell a full disk apart
        raise OutputError(f"{path.name} could not be written whole: {error}") from error
    # MLX does not report every short write either; a header comes before the arrays.
    if path.stat().st_size <= needed:
        raise OutputError(f"{path.name} could not be written whole; the disk may be full.")
