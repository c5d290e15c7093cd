"""Malformed safetensors files are refused with a typed error, well-formed ones pass."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from mlx_backends.errors import ModelLoadError
from mlx_backends.models.safetensors import validate


def write(path: Path, header: object, data: bytes = b"", size: int | None = None) -> Path:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    length = len(raw) if size is None else size
    path.write_bytes(length.to_bytes(8, "little") + raw + data)
    return path


def tensor(shape: list, begin: int, end: int, dtype: str = "F32") -> dict:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


def test_files_of_the_reference_writer_pass(tmp_path):
    arrays = {
        "a": np.zeros((3, 4), np.float32),
        "b": np.zeros((0, 5), np.int8),
        "c": np.array(1.0, np.float16),
    }
    save_file(arrays, tmp_path / "a.safetensors", metadata={"format": "mlx"})
    validate(tmp_path / "a.safetensors")


BAD = {
    "negative shape": ({"a": tensor([-4, -8], 0, 128)}, 128),
    "overlap": ({"a": tensor([4], 0, 16), "b": tensor([4], 8, 24)}, 24),
    "gap": ({"a": tensor([4], 0, 16), "b": tensor([4], 20, 36)}, 36),
    "past the end": ({"a": tensor([400], 0, 1600)}, 16),
    "trailing bytes": ({"a": tensor([4], 0, 16)}, 17),
    "wrong size for the dtype": ({"a": tensor([4], 0, 15)}, 15),
    "unknown dtype": ({"a": tensor([4], 0, 16, "F31")}, 16),
    "dtype of the wrong type": ({"a": tensor([4], 0, 16, ["F32"])}, 16),
    "shape is no list": ({"a": tensor("44", 0, 16)}, 16),
    "shape of booleans": ({"a": tensor([True, 4], 0, 16)}, 16),
    "huge shape": ({"a": tensor([2**62, 4], 0, 16)}, 16),
    "too many dimensions": ({"a": tensor([1] * 40, 0, 4)}, 4),
    "three offsets": ({"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 8, 16]}}, 16),
    "entry is no object": ({"a": [1, 2]}, 0),
    "header is no object": ([1, 2], 0),
}


@pytest.mark.parametrize("case", BAD)
def test_malformed_headers_are_refused(tmp_path, case):
    header, size = BAD[case]
    with pytest.raises(ModelLoadError, match=r"bad\.safetensors"):
        validate(write(tmp_path / "bad.safetensors", header, bytes(size)))


def test_duplicate_names_are_refused(tmp_path):
    entry = json.dumps(tensor([4], 0, 16))
    raw = f'{{"a": {entry}, "a": {entry}}}'.encode()
    with pytest.raises(ModelLoadError, match="twice"):
        validate(write(tmp_path / "bad.safetensors", raw, bytes(16)))


@pytest.mark.parametrize("raw", [b"", b"\x00" * 7, b"\xff" * 8, b"{" * 100_000, b"\xff\xfe{}"])
def test_garbage_is_refused(tmp_path, raw):
    (tmp_path / "bad.safetensors").write_bytes(raw)
    with pytest.raises(ModelLoadError):
        validate(tmp_path / "bad.safetensors")


def test_deep_nesting_is_refused(tmp_path):
    with pytest.raises(ModelLoadError):
        validate(write(tmp_path / "bad.safetensors", b"[" * 500_000 + b"]" * 500_000))


def test_every_truncation_is_refused(tmp_path):
    save_file({"a": np.arange(12, dtype=np.float32)}, tmp_path / "a.safetensors")
    whole = (tmp_path / "a.safetensors").read_bytes()
    for length in range(len(whole)):
        (tmp_path / "cut.safetensors").write_bytes(whole[:length])
        with pytest.raises(ModelLoadError):
            validate(tmp_path / "cut.safetensors")


def test_random_damage_is_refused_or_harmless(tmp_path):
    """Flipped bytes of the header never raise anything but the typed error."""
    save_file({"a": np.zeros((4, 4), np.float32)}, tmp_path / "a.safetensors")
    whole = bytearray((tmp_path / "a.safetensors").read_bytes())
    rng = random.Random(0)
    refused = 0
    for _ in range(2_000):
        damaged = bytearray(whole)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(whole) - 64)] = rng.randrange(256)
        (tmp_path / "b.safetensors").write_bytes(damaged)
        try:
            validate(tmp_path / "b.safetensors")
        except ModelLoadError:
            refused += 1
    assert refused > 1_500


def test_a_missing_file_is_a_load_error(tmp_path):
    with pytest.raises(ModelLoadError, match="cannot be read"):
        validate(tmp_path / "none.safetensors")
