"""Weights rounded after training: what is packed, and what it computes."""

from functools import partial

import mlx.core as mx
import mlx.nn as nn
import numpy as np
import pytest

from mlx_backends import QuantizationConfig
from mlx_backends.errors import ConfigError, QuantizationError
from mlx_backends.quantization import quantize
from mlx_backends.quantization.layers import describe, leaves
from mlx_backends.quantization.ptq import unpack


class Mixed(nn.Module):
    """Rows of 96 columns, which groups of 64 do not divide, beside rows of 128."""

    def __init__(self):
        super().__init__()
        self.a = nn.Linear(128, 96)
        self.b = nn.Linear(96, 128)

    def __call__(self, x):
        return self.b(nn.relu(self.a(x)))


def relative_error(model, twin, ids):
    exact, rounded = model(ids), twin(ids)
    return float(mx.linalg.norm(exact - rounded) / mx.linalg.norm(exact))


def test_fewer_bits_lose_more_and_the_model_itself_stays(tiny, ids):
    before = tiny(ids)
    errors = [
        relative_error(tiny, quantize(tiny, {"weight_bits": bits}), ids)
        for bits in (8, 6, 5, 4, 3, 2)
    ]
    assert errors == sorted(errors)
    assert errors[0] < 0.02
    assert errors[-1] > 0.2
    assert mx.array_equal(tiny(ids), before)


def test_round_to_nearest_is_mlx_s_own(tiny):
    layer = leaves(tiny)["model.layers.0.mlp.up_proj"]
    packed = leaves(quantize(tiny, {"weight_bits": 3, "group_size": 32}))[
        "model.layers.0.mlp.up_proj"
    ]
    codes, scales, biases = mx.quantize(layer.weight, bits=3, group_size=32)
    assert mx.array_equal(packed.weight, codes)
    assert mx.array_equal(packed.scales, scales)
    assert mx.array_equal(packed.biases, biases)


@pytest.mark.parametrize("mode", ["mxfp4", "mxfp8", "nvfp4"])
def test_block_formats(tiny, ids, mode):
    twin = quantize(tiny, {"mode": mode})
    assert relative_error(tiny, twin, ids) < 0.4
    assert describe(twin, QuantizationConfig(mode=mode))["mode"] == mode


def test_embeddings_may_keep_more_bits(tiny):
    config = QuantizationConfig(weight_bits=2, embedding_bits=4)
    twin = quantize(tiny, config)
    assert leaves(twin)["model.embed_tokens"].bits == 4
    assert leaves(twin)["model.layers.0.mlp.up_proj"].bits == 2
    section = describe(twin, config)
    assert section["model.embed_tokens"] == {"group_size": 64, "bits": 4, "mode": "affine"}
    assert [name for name in section if "proj" in name] == []


@pytest.mark.parametrize("bits", [2, 3, 4])
def test_searched_values_beat_rounding_to_nearest_without_data(tiny, ids, bits):
    config = {"weight_bits": bits, "embedding_bits": 8}
    plain = relative_error(tiny, quantize(tiny, config), ids)
    searched = quantize(tiny, config | {"algorithm": "search"})
    assert relative_error(tiny, searched, ids) < plain
    assert leaves(searched)["model.embed_tokens"].bits == 8


@pytest.mark.parametrize("algorithm", ["awq", "gptq"])
def test_calibrated_rounding_beats_rounding_to_nearest_on_what_it_saw(tiny, ids, algorithm):
    config = {"weight_bits": 2, "embedding_bits": 8, "group_size": 64}
    plain = relative_error(tiny, quantize(tiny, config), ids)
    better = quantize(tiny, config | {"algorithm": algorithm, "calibration_data": ids})
    assert relative_error(tiny, better, ids) < plain


def test_mixed_widths_use_the_budget_for_the_sensitive_layers(tiny, ids):
    config = QuantizationConfig(
        weight_bits=2, high_bits=8, target_bits=5.0, algorithm="mixed", calibration_data=ids
    )
    twin = quantize(tiny, config)
    widths = {layer.bits for layer in leaves(twin).values() if "scales" in layer}
    assert widths == {2, 8}
    low = relative_error(tiny, quantize(tiny, {"weight_bits": 2}), ids)
    assert relative_error(tiny, twin, ids) < low
    size = sum(a.nbytes for _, a in _arrays(twin)) * 8
    # Scales are in float32 here, twice what the budget counts.
    scales = sum(a.nbytes for n, a in _arrays(twin) if n.endswith(("scales", "biases"))) * 4
    norms = sum(a.nbytes for n, a in _arrays(twin) if "norm" in n) * 4
    weights = sum(a.size for _, a in _arrays(tiny))
    assert 4.0 < (size - scales - norms) / weights <= 5.0


@pytest.mark.parametrize("algorithm", ["rtn", "search", "awq", "gptq", "mixed"])
def test_what_an_architecture_asks_for_is_kept(tiny, ids, monkeypatch, algorithm):
    def own(self, path, layer):
        if path.endswith("k_proj"):
            return {"group_size": 64, "bits": 8}
        return not path.endswith("v_proj")

    monkeypatch.setattr(
        type(tiny), "quant_predicate", property(lambda self: partial(own, self)), raising=False
    )
    config = {"weight_bits": 2, "algorithm": algorithm, "embedding_bits": 4}
    config |= {} if algorithm in ("rtn", "search") else {"calibration_data": ids}
    config |= {"high_bits": 3, "target_bits": 3.4} if algorithm == "mixed" else {}
    found = leaves(quantize(tiny, config))
    assert "scales" not in found["model.layers.0.self_attn.v_proj"]
    assert found["model.layers.0.self_attn.k_proj"].bits == 8
    assert found["model.embed_tokens"].bits == 4
    assert found["model.layers.0.mlp.up_proj"].bits in (2, 3)


def _arrays(model):
    from mlx_backends.quantization.layers import arrays

    return list(arrays(model))


def test_groups_that_do_not_divide_a_layer_are_refused_by_name():
    with pytest.raises(QuantizationError, match=r"64 does not divide the 96 columns of 'b'.*32"):
        quantize(Mixed(), {"weight_bits": 4})
    assert "scales" in quantize(Mixed(), {"weight_bits": 4, "group_size": 32}).b
    kept = quantize(Mixed(), {"weight_bits": 4, "exclude": ("b",)})
    assert "scales" in kept.a
    assert "scales" not in kept.b


def test_a_quantized_model_is_refused_and_can_be_unpacked(tiny, ids):
    twin = quantize(tiny, {"weight_bits": 4})
    with pytest.raises(QuantizationError, match="quantized already"):
        quantize(twin, {"weight_bits": 3})
    unpack(twin)
    again = quantize(twin, {"weight_bits": 8})
    assert relative_error(twin, again, ids) < 0.02


def test_models_without_such_layers_are_refused():
    with pytest.raises(QuantizationError, match="no layer to quantize"):
        quantize(nn.LayerNorm(64), {"weight_bits": 4})


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (None, "texts, lists of ids or arrays"),
        ([], "empty"),
        (np.zeros((0, 16), np.int32), "not 0"),
        ("text", "no tokenizer"),
        (3, "texts, lists of ids or arrays"),
    ],
)
def test_bad_calibration_data_is_refused(tiny, data, said):
    with pytest.raises(ConfigError, match=said):
        quantize(tiny, {"weight_bits": 2, "algorithm": "gptq", "calibration_data": data})


def test_awq_names_the_architectures_it_knows(ids):
    with pytest.raises(QuantizationError, match=r"does not know the architecture None.*llama"):
        quantize(Mixed(), {"group_size": 32, "algorithm": "awq", "calibration_data": ids})
