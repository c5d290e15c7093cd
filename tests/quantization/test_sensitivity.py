"""Sensitivities of layers, block by block: the same as from gradients of all weights."""

import dataclasses

import mlx.core as mx
import mlx.nn as nn
import pytest
from mlx_lm.quant.dynamic_quant import estimate_sensitivities

from mlx_backends import QuantizationConfig
from mlx_backends.bench.random_model import SHAPES, make_model
from mlx_backends.errors import QuantizationError
from mlx_backends.models.loader import read_model
from mlx_backends.quantization.layers import arrays
from mlx_backends.quantization.methods import quantize
from mlx_backends.quantization.sensitivity import sensitivities

CONFIG = QuantizationConfig(weight_bits=2, high_bits=4, target_bits=3.5, algorithm="mixed")


@pytest.mark.parametrize("is_tied", [True, False])
def test_they_are_those_of_the_whole_gradient(tmp_path, ids, is_tied):
    shape = SHAPES["tiny"]
    config = {**shape.config, "intermediate_size": 384, "tie_word_embeddings": is_tied}
    make_model(dataclasses.replace(shape, config=config), tmp_path / "m")
    model, _ = read_model(tmp_path / "m")
    model.set_dtype(mx.float32)
    before = {name: mx.array(array) for name, array in arrays(model)}
    wanted = dict(estimate_sensitivities(model, ids, 2, 64, 4, 64, batch_size=len(ids)))
    found = sensitivities(model, ids, CONFIG)
    assert found == pytest.approx(wanted, rel=1e-3, abs=1e-4 * max(map(abs, wanted.values())))
    assert all(mx.array_equal(before[name], array) for name, array in arrays(model))


def test_rows_in_several_batches_count_alike(tiny, ids, monkeypatch):
    tiny.set_dtype(mx.float32)
    at_once = sensitivities(tiny, ids, CONFIG)
    monkeypatch.setattr(
        "mlx_backends.quantization.sensitivity._BATCH_TOKENS", {"cpu": 3 * ids.shape[1]}
    )
    assert sensitivities(tiny, ids, CONFIG) == pytest.approx(at_once, rel=1e-3, abs=1e-5)


def test_blocks_that_are_read_again_are_the_same(tiny, tiny_folder, ids, monkeypatch):
    held = sensitivities(tiny, ids, CONFIG)
    reads = []

    def read():
        reads.append(read_model(tiny_folder)[0])
        return reads[-1]

    fresh, _ = read_model(tiny_folder)
    monkeypatch.setattr("mlx_backends.quantization.sensitivity._BATCH_TOKENS", {"cpu": 128})
    found = sensitivities(fresh, ids, CONFIG, read)
    assert found == pytest.approx(held, rel=1e-3, abs=1e-5)
    assert len(reads) == 3 * 2  # three passes over each of two batches
    exact = dict(arrays(tiny))
    assert all(mx.array_equal(exact[name], array) for name, array in arrays(fresh))


def test_what_is_no_language_model_is_refused():
    network = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    config = dataclasses.replace(CONFIG, calibration_data=mx.zeros((2, 64), mx.int32))
    with pytest.raises(QuantizationError, match="language model"):
        quantize(network, config)
