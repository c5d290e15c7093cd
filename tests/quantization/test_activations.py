"""Inputs of linear layers rounded to 8 bits, with scales from each row or found beforehand."""

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from mlx_backends import QuantizationConfig
from mlx_backends.errors import ConfigError, ModelLoadError, QuantizationError
from mlx_backends.models import rounded_inputs
from mlx_backends.quantization import quantize
from mlx_backends.quantization.methods import product_of
from mlx_backends.quantization.ranges import find_scales


def integer_product(x, layer):
    """What integer arithmetic makes of a packed layer and rounded rows, in plain numpy."""
    levels = np.abs(x).max(-1, keepdims=True) / 127
    codes = np.round(x / levels).astype(np.int64)
    weights = np.array(layer.weight).view(np.uint8).astype(np.int64)
    group = layer.group_size
    scales, biases = np.array(layer.scales), np.array(layer.biases)
    out = np.zeros((len(x), len(weights)))
    for start in range(0, x.shape[1], group):
        part = codes[:, start : start + group]
        products = part @ weights[:, start : start + group].T
        index = start // group
        out += products * scales[:, index] + part.sum(-1, keepdims=True) * biases[:, index]
    return out * levels


def test_dynamic_rounding_is_the_integer_product():
    mx.random.seed(0)
    holder = nn.Sequential(nn.Linear(128, 64, bias=False))
    twin = quantize(holder, {"method": "dynamic", "weight_bits": 8, "activation_bits": 8})
    x = mx.random.normal((5, 128))
    expected = integer_product(np.array(x), twin.layers[0])
    np.testing.assert_allclose(np.array(twin(x)), expected, rtol=0, atol=2e-5)


def test_a_static_scale_clips_what_lies_beyond():
    x = mx.array([[0.0, 0.4, 1.0, -3.0]])
    rounded = rounded_inputs.round_to_int8(x, 1.0 / 127)
    np.testing.assert_allclose(np.array(rounded), [[0.0, 51 / 127, 1.0, -1.0]], rtol=1e-6)
    assert mx.array_equal(rounded_inputs.round_to_int8(mx.zeros((2, 8))), mx.zeros((2, 8)))


def test_observers_order_ranges_as_they_should(tiny, ids):
    ranges = {
        observer: find_scales(tiny, [ids], observer, 99.0)
        for observer in ("minmax", "percentile", "mse")
    }
    for name, largest in ranges["minmax"].items():
        assert 0 < ranges["percentile"][name] < largest
        assert 0 < ranges["mse"][name] <= largest * 1.0001
    assert type(tiny.model.layers[0].mlp.up_proj) is nn.Linear  # nothing stays behind


def test_calibration_on_wrong_data_is_worse(tiny, ids):
    def error(data):
        twin = quantize(
            tiny,
            {"method": "static", "weight_bits": 8, "calibration_data": data, "observer": "minmax"},
        )
        return float(mx.abs(twin(ids) - tiny(ids)).mean())

    one_token = mx.zeros((1, 4), mx.int32)
    assert error([ids]) < error([one_token])


def test_static_and_dynamic_stay_close(tiny, ids):
    exact = tiny(ids)
    for options in ({"method": "dynamic"}, {"method": "static", "calibration_data": [ids]}):
        twin = quantize(tiny, {"weight_bits": 8, "activation_bits": 8, **options})
        error = float(mx.linalg.norm(twin(ids) - exact) / mx.linalg.norm(exact))
        assert error < 0.05
        assert product_of(twin) == "simulated in floating point"
    assert product_of(tiny) == "full activations"


@pytest.mark.parametrize("mode", ["mxfp8", "nvfp4"])
def test_formats_say_how_they_were_multiplied(tiny, ids, mode):
    twin = quantize(tiny, {"method": "dynamic", "mode": mode})
    is_native = rounded_inputs.has_native_product(mode)
    assert product_of(twin) == (
        "low-precision product (mx.qqmm)" if is_native else "simulated in floating point"
    )
    assert bool(mx.isfinite(twin(ids)).all())


def test_empty_calibration_data_is_refused(tiny):
    for data in (None, [], [np.zeros((0, 4), np.int32)], "text"):
        with pytest.raises(ConfigError):
            quantize(tiny, {"method": "static", "weight_bits": 8, "calibration_data": data})


def test_data_on_which_the_model_gives_zero_is_refused():
    model = nn.Sequential(nn.Linear(64, 64, bias=False), nn.ReLU(), nn.Linear(64, 64))
    config = QuantizationConfig(method="static", weight_bits=8, calibration_data=mx.zeros((2, 64)))
    with pytest.raises(QuantizationError, match="give data on which the model works"):
        quantize(model, config)


@pytest.mark.parametrize(
    "section",
    [
        [],
        {"bits": 4, "method": "dynamic"},
        {"bits": 8, "method": "static"},
        {"bits": 8, "method": "static", "scales": {"a": -1.0}},
        {"bits": 8, "method": "static", "scales": {"a": "1"}},
    ],
)
def test_a_malformed_section_is_refused(tiny, section):
    with pytest.raises(ModelLoadError, match="activation_quantization"):
        rounded_inputs.install_from_config(tiny, {rounded_inputs.KEY: section})
