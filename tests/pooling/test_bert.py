import math

import mlx.core as mx
import numpy as np
import pytest

from mlx_backends.config import DType
from mlx_backends.errors import ModelLoadError, UnsupportedModelError
from mlx_backends.models.encoders.activations import gelu
from mlx_backends.models.encoders.architectures import Architecture
from mlx_backends.models.encoders.bert import Bert, BertConfig
from mlx_backends.models.encoders.loader import load_encoder


def run(model: Bert, rows: list[list[int]]) -> np.ndarray:
    longest = max(map(len, rows))
    ids = mx.array([row + [0] * (longest - len(row)) for row in rows])
    mask = mx.array([[i < len(row) for i in range(longest)] for row in rows])
    return np.array(model(ids, mask))


@pytest.fixture
def load():
    def load(made, dtype: DType = "auto") -> Bert:
        architecture = Architecture(Bert, BertConfig.from_dict(made.config))
        return load_encoder(made.folder, architecture, device="cpu", dtype=dtype)[0]

    return load


def test_matches_the_reference(encoder, load):
    rows = [[2, 5, 6, 7, 3], [2, 9, 3], [2, *range(4, 25), 3]]
    hidden = run(load(encoder), rows)
    for row, got in zip(rows, hidden, strict=True):
        expected = encoder.reference(encoder.weights, encoder.config, row)
        np.testing.assert_allclose(got[: len(row)], expected, atol=1e-5)


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_prefix_and_pooler_are_tolerated(tmp_path, files, load, prefix):
    made = files.write_encoder(tmp_path / "model", prefix=prefix)
    expected = made.reference(made.weights, made.config, [2, 5, 3])
    np.testing.assert_allclose(run(load(made), [[2, 5, 3]])[0], expected, atol=1e-5)


@pytest.mark.parametrize("dtype", [mx.float32, mx.float16, mx.bfloat16])
def test_gelu_is_exact(dtype):
    x = mx.linspace(-12, 12, 10_001).astype(dtype)
    with mx.stream(mx.cpu):
        value = gelu(x)
    exact = [v * 0.5 * (1 + math.erf(v / math.sqrt(2))) for v in np.array(x.astype(mx.float32))]
    assert value.dtype == dtype
    tolerance = 3e-6 if dtype == mx.float32 else float(mx.finfo(dtype).eps)
    np.testing.assert_allclose(
        np.array(value.astype(mx.float32)), exact, atol=tolerance, rtol=tolerance
    )


def test_a_row_of_padding_is_finite(encoder, load):
    model = load(encoder)
    hidden = model(mx.array([[2, 5, 3], [0, 0, 0]]), mx.array([[True] * 3, [False] * 3]))
    assert mx.isfinite(hidden).all()


def test_half_precision_masks_stay_finite(encoder, load):
    hidden = load(encoder, dtype="float16")(
        mx.array([[2, 5, 3], [2, 3, 0]]), mx.array([[True] * 3, [True, True, False]])
    )
    assert hidden.dtype == mx.float16
    assert mx.isfinite(hidden).all()


def test_cpu_computes_in_float32_whatever_the_file_holds(tmp_path, files, load):
    made = files.write_encoder(tmp_path / "half", dtype=np.float16)
    assert load(made).embeddings.word_embeddings.weight.dtype == mx.float32


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_size", None),
        ("hidden_size", "32"),
        ("hidden_size", True),
        ("num_hidden_layers", 10**9),
        ("num_hidden_layers", 0),
        ("vocab_size", -1),
        ("num_attention_heads", 5),
        ("layer_norm_eps", float("nan")),
        ("layer_norm_eps", "small"),
    ],
)
def test_bad_sizes_are_refused_before_anything_is_built(encoder, name, value):
    with pytest.raises(ModelLoadError, match=name):
        BertConfig.from_dict({**encoder.config, name: value})


@pytest.mark.parametrize(
    ("name", "value"), [("hidden_act", "swish"), ("position_embedding_type", "relative_key")]
)
def test_variants_that_are_not_implemented_are_named(encoder, name, value):
    with pytest.raises(UnsupportedModelError, match=str(value)):
        BertConfig.from_dict({**encoder.config, name: value})


def test_weights_of_another_shape_are_refused(encoder, load):
    encoder.config["intermediate_size"] = 64
    with pytest.raises(ModelLoadError, match="do not fit"):
        load(encoder)


def test_a_missing_layer_is_refused(encoder, load):
    encoder.config["num_hidden_layers"] = 3
    with pytest.raises(ModelLoadError, match=r"encoder\.layer\.2"):
        load(encoder)


def test_a_truncated_file_is_refused(encoder, load):
    path = encoder.folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ModelLoadError, match="truncated"):
        load(encoder)


def test_a_folder_without_weights_is_refused(encoder, load):
    (encoder.folder / "model.safetensors").unlink()
    with pytest.raises(ModelLoadError, match="no model"):
        load(encoder)
