"""Checks safetensors files before MLX reads them.

``mx.load`` accepts negative shapes, overlapping tensors and duplicate names, and a tensor whose
bytes lie outside the file must never be read. So the header is checked here first, in plain Python.

Source: the format's own rules, https://github.com/huggingface/safetensors#format.
"""

import json
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

from mlx_backends.errors import ModelLoadError

MAX_HEADER_BYTES = 100_000_000
MAX_DIMENSIONS = 16
_ITEM_BITS = {
    "BOOL": 8,
    "U8": 8,
    "I8": 8,
    "F8_E4M3": 8,
    "F8_E5M2": 8,
    "F8_E8M0": 8,
    "U16": 16,
    "I16": 16,
    "F16": 16,
    "BF16": 16,
    "U32": 32,
    "I32": 32,
    "F32": 32,
    "U64": 64,
    "I64": 64,
    "F64": 64,
    "C64": 64,
}
_FLOATS = ("F16", "BF16", "F32", "F64")


@dataclass(frozen=True, slots=True)
class TensorSize:
    """How large a tensor is, by the header.

    Attributes:
        num_items: Numbers in it.
        num_bytes: What they take.
        is_float: Whether they are floats of 16, 32 or 64 bits.
    """

    num_items: int
    num_bytes: int
    is_float: bool


def validate(path: Path) -> None:
    """Check that a safetensors file is well-formed and whole.

    Raises:
        ModelLoadError: It is not; the message names the file, the tensor and the fault.
    """
    _checked_header(path)


def sizes(path: Path) -> list[TensorSize]:
    """Size of each tensor of a file, which is checked as by ``validate``.

    Raises:
        ModelLoadError: As there.
    """
    return [
        TensorSize(
            math.prod(entry["shape"]),
            math.prod(entry["shape"]) * _ITEM_BITS[entry["dtype"]] // 8,
            entry["dtype"] in _FLOATS,
        )
        for entry in _checked_header(path).values()
    ]


def _checked_header(path: Path) -> dict[str, Any]:
    try:
        with path.open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            header_size = int.from_bytes(file.read(8), "little")
            if size < 8 or header_size > min(MAX_HEADER_BYTES, size - 8):
                raise ModelLoadError(
                    f"{path.name}: the header claims {header_size:,} bytes in a file of {size:,}; "
                    "the file is truncated or is no safetensors file."
                )
            header = _parse_header(path, file.read(header_size))
    except OSError as error:
        raise ModelLoadError(f"{path.name} cannot be read: {error}.") from error
    spans = [_tensor_span(path, name, entry) for name, entry in header.items()]
    _check_spans(path, spans, size - 8 - header_size)
    return header


def _parse_header(path: Path, raw: bytes) -> dict[str, Any]:
    try:
        header = json.loads(raw, object_pairs_hook=lambda pairs: _unique(path, pairs))
    except (ValueError, RecursionError) as error:
        raise ModelLoadError(f"{path.name}: the header is not valid JSON: {error}.") from error
    if not isinstance(header, dict):
        raise ModelLoadError(f"{path.name}: the header is not a JSON object.")
    header.pop("__metadata__", None)
    return header


def _unique(path: Path, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) != len(pairs):
        raise ModelLoadError(f"{path.name}: the header names a tensor or a field twice.")
    return entries


def _tensor_span(path: Path, name: str, entry: Any) -> tuple[int, int]:
    """Check one tensor's entry; returns where its bytes begin and end after the header."""
    where = f"{path.name}, tensor {name!r:.200}"
    if not isinstance(entry, dict):
        raise ModelLoadError(f"{where}: the entry is not a JSON object.")
    bits = _ITEM_BITS.get(str(entry.get("dtype")))
    if bits is None:
        raise ModelLoadError(f"{where}: the dtype {entry.get('dtype')!r:.40} is not known.")
    shape, offsets = entry.get("shape"), entry.get("data_offsets")
    if not _are_sizes(shape) or len(shape) > MAX_DIMENSIONS:
        raise ModelLoadError(f"{where}: the shape {shape!r:.80} is not a list of sizes.")
    if not _are_sizes(offsets) or len(offsets) != 2:
        raise ModelLoadError(f"{where}: the data offsets {offsets!r:.80} are not two positions.")
    begin, end = offsets
    if end - begin != math.prod(shape) * bits // 8:
        raise ModelLoadError(
            f"{where}: {end - begin:,} bytes are given for {entry['dtype']} of shape {shape}."
        )
    return begin, end


def _are_sizes(values: Any) -> TypeGuard[list[int]]:
    return isinstance(values, list) and all(
        isinstance(value, int) and not isinstance(value, bool) and value >= 0 for value in values
    )


def _check_spans(path: Path, spans: Iterable[tuple[int, int]], data_size: int) -> None:
    """Tensors must fill the data section without gaps or overlaps."""
    position = 0
    for begin, end in sorted(spans):
        if begin != position:
            fault = "overlap" if begin < position else "leave a gap"
            raise ModelLoadError(f"{path.name}: tensors {fault} at byte {begin:,} of the data.")
        position = end
    if position != data_size:
        raise ModelLoadError(
            f"{path.name}: the tensors take {position:,} bytes, but the file holds {data_size:,}; "
            "it is truncated or has bytes that no tensor names."
        )
