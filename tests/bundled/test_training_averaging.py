"""A model between two runs: each tensor by its share, or an error that says what does not fit."""

from pathlib import Path
from typing import Any

import mlx.core as mx
import pytest

from mlx_backends.bundled.training.averaging import average


def _save(folder: Path, **tensors: mx.array) -> Path:
    folder.mkdir()
    mx.save_safetensors(str(folder / "lm-0.safetensors"), tensors)
    return folder


def test_each_tensor_lies_between_by_its_share(tmp_path: Path) -> None:
    before = _save(tmp_path / "before", a=mx.array([0.0, 8.0], mx.bfloat16), b=mx.zeros((2, 2)))
    after = _save(tmp_path / "after", a=mx.array([4.0, 4.0], mx.bfloat16), b=mx.ones((2, 2)))
    average(before, after, tmp_path / "mixed", share=0.75)
    mixed: Any = mx.load(str(tmp_path / "mixed" / "lm-0.safetensors"))
    assert mixed["a"].dtype == mx.bfloat16
    assert mixed["a"].tolist() == [3.0, 5.0]
    assert mixed["b"].tolist() == [[0.75, 0.75], [0.75, 0.75]]


def test_other_shapes_are_named(tmp_path: Path) -> None:
    before = _save(tmp_path / "before", a=mx.zeros((2, 3)))
    after = _save(tmp_path / "after", a=mx.zeros((3, 3)))
    with pytest.raises(ValueError, match=r"lm-0.*other tensors"):
        average(before, after, tmp_path / "mixed", share=0.5)


def test_missing_weights_and_impossible_shares_are_refused(tmp_path: Path) -> None:
    after = _save(tmp_path / "after", a=mx.zeros(2))
    (tmp_path / "before").mkdir()
    with pytest.raises(ValueError, match="need the same"):
        average(tmp_path / "before", after, tmp_path / "mixed", share=0.5)
    with pytest.raises(ValueError, match=r"1\.5"):
        average(after, after, tmp_path / "mixed", share=1.5)
