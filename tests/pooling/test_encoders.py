"""Every architecture against what Hugging Face's code computes for the same random weights."""

import dataclasses

import mlx.core as mx
import numpy as np
import pytest

from mlx_backends.errors import ModelLoadError, UnsupportedModelError
from mlx_backends.models.encoders.architectures import encoder_architecture, reranker_architecture
from mlx_backends.models.encoders.loader import load_encoder
from tests.pooling.hugging_face import padded, stored_models, summary, write_model

STORED = stored_models()
ENCODERS = [name for name in STORED if "reranker" not in name]
RERANKERS = [name for name in STORED if "reranker" in name]


@pytest.fixture
def load(tmp_path):
    def load(name: str, **options):
        stored = STORED[name]
        write_model(tmp_path / "model", stored["config"], stored["shapes"])
        if name in ENCODERS:
            architecture = encoder_architecture(stored["config"])
        else:
            architecture = reranker_architecture(stored["config"])
            if hasattr(architecture.config, "yes_id"):
                known = dataclasses.replace(architecture.config, no_id=7, yes_id=11)
                architecture = dataclasses.replace(architecture, config=known)
        options = {"device": "cpu", "dtype": "float32", **options}
        return load_encoder(tmp_path / "model", architecture, **options)[0]

    return load


def run(model, rows: list[list[int]], width: int = 0) -> np.ndarray:
    ids, mask = padded(rows)
    more = max(0, width - ids.shape[1])
    ids, mask = (np.pad(array, [(0, 0), (0, more)]) for array in (ids, mask))
    return np.array(model(mx.array(ids), mx.array(mask)).astype(mx.float32))


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


@pytest.mark.parametrize("name", ENCODERS)
def test_vectors_match_hugging_face(load, name):
    rows, expected = STORED[name]["rows"], np.array(STORED[name]["outputs"])
    np.testing.assert_allclose(summary(run(load(name), rows), rows), expected, atol=1e-5)


@pytest.mark.parametrize("name", RERANKERS)
def test_scores_match_hugging_face(load, name):
    rows, expected = STORED[name]["rows"], np.array(STORED[name]["outputs"])
    np.testing.assert_allclose(run(load(name), rows), expected, atol=1e-5)


@pytest.mark.parametrize("name", ENCODERS)
def test_a_batch_gives_what_single_texts_give(load, name):
    model, rows = load(name), STORED[name]["rows"]
    pooled = 1 if name == "qwen3" else 2  # last token, mean
    singles = np.concatenate([summary(run(model, [row]), [row]) for row in rows])[:, pooled]
    batched = unit(summary(run(model, rows), rows)[:, pooled])
    np.testing.assert_allclose(batched, unit(singles), atol=1e-6)


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
@pytest.mark.parametrize("name", ENCODERS)
def test_no_mix_of_lengths_gives_nan(load, name, dtype):
    """Padding that sees nothing within its window once turned whole texts into NaN."""
    model = load(name, dtype=dtype)
    draw = np.random.default_rng(5)
    for width in (1, 8, 32, 33, 96, 128):
        rows = [draw.integers(3, 99, n).tolist() for n in {1, 2, width // 2, width} if n]
        assert np.isfinite(run(model, rows, width)).all()


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", ENCODERS)
def test_quantized_weights_compute_what_their_values_say(load, name, bits):
    rows, whole, quantized = STORED[name]["rows"], load(name), load(name, weight_bits=bits)
    layers = dict(whole.named_modules())
    packed = [(path, m) for path, m in quantized.named_modules() if "scales" in m]
    assert len(packed) >= 2 * len(STORED[name]["config"].get("layer_types", "ab"))
    for path, layer in packed:
        layers[path].weight = mx.dequantize(
            layer.weight, layer.scales, layer.biases, group_size=layer.group_size, bits=bits
        )
    expected = unit(summary(run(whole, rows), rows))
    np.testing.assert_allclose(unit(summary(run(quantized, rows), rows)), expected, atol=1e-5)


@pytest.mark.parametrize("name", ENCODERS)
@pytest.mark.parametrize("key", ["hidden_size", "num_hidden_layers", "vocab_size"])
@pytest.mark.parametrize("value", [None, 0, -1, 10**9, "32", True])
def test_bad_sizes_are_refused_before_anything_is_built(name, key, value):
    with pytest.raises(ModelLoadError, match=key):
        encoder_architecture({**STORED[name]["config"], key: value})


@pytest.mark.parametrize(
    ("name", "changes", "match"),
    [
        ("modernbert", {"hidden_activation": "swish"}, "swish"),
        ("modernbert", {"layer_types": ["full_attention"] * 3 + ["linear"]}, "linear"),
        ("modernbert", {"rope_scaling": {"type": "yarn"}}, "rope_scaling"),
        ("nomic_bert", {"hidden_act": "gelu"}, "gelu"),
        ("nomic_bert", {"qkv_proj_bias": True}, "qkv_proj_bias"),
        ("qwen3", {"use_sliding_window": True}, "use_sliding_window"),
        ("gemma3_text", {"use_bidirectional_attention": False}, "use_bidirectional_attention"),
        ("bert", {"model_type": "t5"}, "'t5'"),
    ],
)
def test_variants_that_are_not_implemented_are_named(name, changes, match):
    with pytest.raises(UnsupportedModelError, match=match):
        encoder_architecture({**STORED[name]["config"], **changes})


@pytest.mark.parametrize(
    ("name", "changes", "match"),
    [
        ("modernbert", {"layer_types": ["full_attention"]}, "list of 4"),
        ("modernbert", {"rope_parameters": 3}, "rope_parameters"),
        ("qwen3", {"rope_parameters": None}, "rope_theta"),
        ("qwen3", {"num_key_value_heads": 3}, "does not divide"),
        ("gemma3_text", {"layer_types": ["full_attention"] * 6}, "layer_types"),
        ("xlm-roberta", {"pad_token_id": 131}, "pad_token_id"),
    ],
)
def test_configs_that_contradict_themselves_are_refused(name, changes, match):
    with pytest.raises(ModelLoadError, match=match):
        encoder_architecture({**STORED[name]["config"], **changes})


def test_positions_of_roberta_begin_after_the_paddings_id():
    assert encoder_architecture(STORED["xlm-roberta"]["config"]).config.max_length == 130


def test_both_namings_of_nomic_bert_describe_one_model():
    config = STORED["nomic_bert"]["config"]
    old = {
        "model_type": "nomic_bert",
        "vocab_size": 99,
        "n_embd": 32,
        "n_layer": 2,
        "n_head": 4,
        "n_inner": 48,
        "n_positions": 130,
        "activation_function": "swiglu",
        "layer_norm_epsilon": 1e-12,
        "rotary_emb_base": 1000,
    }
    assert encoder_architecture(old).config == encoder_architecture(config).config


def test_nomic_bert_takes_no_more_than_it_was_trained_with():
    config = {**STORED["nomic_bert"]["config"], "max_trained_positions": 64}
    assert encoder_architecture(config).config.max_length == 64
