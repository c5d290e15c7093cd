"""Vectors after the encoder: windows of long texts, shorter vectors, projections, int8 and bits."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from mlx_backends.errors import ConfigError, ModelLoadError, RequestError, UnsupportedModelError
from mlx_backends.pooling.description import read_description
from mlx_backends.pooling.vectors import as_precision, mean_of_windows, normalize

LONG = "the cat sat on the mat . a dog ran , the old river and a new bright tree . x y z"


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


# ---------------------------------------------------------------- long texts


def test_a_long_text_is_the_mean_of_its_windows(encoder, make_embedder):
    embedder = make_embedder(encoder.folder, on_overflow="mean", max_length=10)
    found = embedder.embed_detailed([LONG, "a dog"])
    words = LONG.split()  # one token each; windows of 8 overlap by 1
    windows = [words[start : start + 8] for start in range(0, len(words) - 1, 7)]
    whole = make_embedder(encoder.folder).embed([" ".join(window) for window in windows])
    weights = np.array([len(windows[0]), *(len(window) - 1 for window in windows[1:])])
    expected = unit((whole * weights[:, None]).sum(0, keepdims=True))
    np.testing.assert_allclose(found.vectors[:1], expected, atol=1e-6)
    np.testing.assert_allclose(found.vectors[1:], embedder.embed(["a dog"]), atol=1e-6)
    assert found.num_windows.tolist() == [len(windows), 1]
    assert not found.is_truncated.any()


def test_windows_hold_every_token_of_the_text(encoder, make_embedder):
    embedder = make_embedder(encoder.folder, on_overflow="mean", max_length=10)
    rows = embedder._tokenizer.encode([LONG])[0]
    plain = [row[1:-1].tolist() for row in rows.windows]
    joined = plain[0] + [token for row in plain[1:] for token in row[1:]]
    assert joined == encoder.tokenizer.encode(LONG, add_special_tokens=False).ids[:8] + joined[8:]
    assert len(joined) == len(LONG.split())
    assert sum(rows.weights) == len(joined)


def test_a_cut_text_is_flagged(encoder, make_embedder):
    found = make_embedder(encoder.folder, on_overflow="truncate", max_length=10).embed_detailed(
        [LONG, "a dog", "the cat sat on the mat . a"]
    )
    assert found.is_truncated.tolist() == [True, False, False]
    assert found.num_tokens.tolist() == [10, 4, 10]


def test_an_unknown_policy_is_refused(encoder, make_embedder):
    with pytest.raises(ConfigError, match="on_overflow"):
        make_embedder(encoder.folder, on_overflow="split")


# ---------------------------------------------------------------- length of vectors


def test_vectors_are_cut_and_of_unit_length_again(encoder, make_embedder):
    embedder = make_embedder(encoder.folder, dimensions=8)
    whole = make_embedder(encoder.folder).embed(["the cat", "a dog"])
    assert embedder.dimensions == 8
    np.testing.assert_allclose(embedder.embed(["the cat", "a dog"]), unit(whole[:, :8]), atol=1e-6)


def test_the_files_may_cut_vectors(encoder, files, make_embedder):
    files.write_json(encoder.folder / "config_sentence_transformers.json", {"truncate_dim": 16})
    assert make_embedder(encoder.folder).embed(["the cat"]).shape == (1, 16)
    assert make_embedder(encoder.folder, dimensions=32).embed(["the cat"]).shape == (1, 32)


def test_dimensions_go_by_the_models_list(encoder, files, make_embedder):
    files.write_json(
        encoder.folder / "config.json", {**encoder.config, "matryoshka_dimensions": [8, 16]}
    )
    assert make_embedder(encoder.folder, dimensions=16).dimensions == 16
    with pytest.raises(ConfigError, match=r"12; .* 8, 16 and 32"):
        make_embedder(encoder.folder, dimensions=12).embed(["the cat"])


def test_more_dimensions_than_there_are_is_refused(encoder, make_embedder):
    with pytest.raises(ConfigError, match=r"33; .* 32"):
        make_embedder(encoder.folder, dimensions=33).embed(["the cat"])


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("config_sentence_transformers.json", {"truncate_dim": 33}),
        ("config_sentence_transformers.json", {"truncate_dim": "8"}),
        ("config.json", {"matryoshka_dimensions": [64]}),
        ("config.json", {"matryoshka_dimensions": 8}),
    ],
)
def test_malformed_lengths_are_named(encoder, files, file, content):
    config = encoder.config if file == "config.json" else {}
    files.write_json(encoder.folder / file, {**config, **content})
    with pytest.raises(ModelLoadError, match=file.replace(".", r"\.")):
        read_description(encoder.folder)


def test_the_tokenizers_limit_serves_where_no_other_is_stated(encoder, files):
    files.write_json(encoder.folder / "tokenizer_config.json", {"model_max_length": 20})
    assert read_description(encoder.folder).max_length == 20
    files.write_json(encoder.folder / "tokenizer_config.json", {"model_max_length": int(1e30)})
    assert read_description(encoder.folder).max_length == 24


# ---------------------------------------------------------------- projections


@pytest.fixture
def projected(encoder, files):
    """An encoder whose pooled vectors pass two Dense steps; returns what they compute."""
    files.write_modules(encoder.folder, "Transformer", "Pooling", "Dense", "Normalize")
    modules = [
        {"type": f"x.{name}", "path": path}
        for name, path in (
            ("Transformer", ""),
            ("Pooling", "1_Pooling"),
            ("Dense", "2_Dense"),
            ("Dense", "3_Dense"),
            ("Normalize", "4_Normalize"),
        )
    ]
    files.write_json(encoder.folder / "modules.json", modules)
    draw = np.random.default_rng(2)
    first, second = draw.normal(size=(24, 32)), draw.normal(size=(8, 24))
    bias = draw.normal(size=24)
    for path, weights, config in (
        ("2_Dense", {"linear.weight": first, "linear.bias": bias}, (32, 24, True, "Tanh")),
        ("3_Dense", {"linear.weight": second}, (24, 8, False, "modules.linear.Identity")),
    ):
        folder = encoder.folder / path
        folder.mkdir(exist_ok=True)
        save_file(
            {k: v.astype(np.float32) for k, v in weights.items()}, folder / "model.safetensors"
        )
        names = ("in_features", "out_features", "bias", "activation_function")
        files.write_json(folder / "config.json", dict(zip(names, config, strict=True)))
    return lambda pooled: np.tanh(pooled @ first.T + bias) @ second.T


def test_dense_steps_project_the_pooled_vector(encoder, make_embedder, projected):
    encoder.tokenizer.no_truncation()
    encoder.tokenizer.no_padding()
    ids = [encoder.tokenizer.encode(text).ids for text in ("the cat sat", "a dog")]
    pooled = [encoder.reference(encoder.weights, encoder.config, row).mean(axis=0) for row in ids]
    embedder = make_embedder(encoder.folder)
    assert embedder.dimensions == 8
    np.testing.assert_allclose(
        embedder.embed(["the cat sat", "a dog"]), unit(projected(np.array(pooled))), atol=1e-5
    )


@pytest.mark.parametrize(
    ("changes", "error", "match"),
    [
        ({"in_features": 31}, ModelLoadError, "31"),
        ({"out_features": 0}, ModelLoadError, "out_features"),
        ({"activation_function": "x.Softmax"}, UnsupportedModelError, "Softmax"),
        ({"use_residual": True}, UnsupportedModelError, "use_residual"),
    ],
)
def test_bad_projections_are_named(encoder, files, projected, changes, error, match):
    config = {"in_features": 32, "out_features": 24, **changes}
    files.write_json(encoder.folder / "2_Dense" / "config.json", config)
    with pytest.raises(error, match=match):
        read_description(encoder.folder)


@pytest.mark.parametrize(
    "steps",
    [("Transformer",), ("Pooling", "Transformer"), ("Transformer", "Pooling", "Pooling")],
)
def test_steps_in_no_sensible_order_are_refused(encoder, files, steps):
    files.write_modules(encoder.folder, *steps)
    with pytest.raises(UnsupportedModelError, match="supported are one"):
        read_description(encoder.folder)


# ---------------------------------------------------------------- types of vectors

VECTORS = np.array([[0.5, -0.25, 0.125, 0.0] * 2, [-1.0, 1.0, -1.0, 1.0] * 2], np.float32)


def test_int8_keeps_directions():
    quantized = as_precision(VECTORS, "int8")
    assert quantized.dtype == np.int8
    cosine = (unit(quantized.astype(float)) * unit(VECTORS)).sum(1)
    assert cosine.min() > 0.9999
    assert as_precision(np.zeros((1, 8), np.float32), "int8").tolist() == [[0] * 8]


def test_binary_keeps_signs():
    packed = as_precision(VECTORS, "binary")
    assert packed.dtype == np.uint8
    assert np.unpackbits(packed, axis=1).tolist() == (VECTORS > 0).astype(int).tolist()


def test_the_embedder_gives_every_type(encoder, make_embedder):
    embedder = make_embedder(encoder.folder)
    whole = embedder.embed(["the cat", "a dog"])
    for precision in ("int8", "binary"):
        found = embedder.embed(["the cat", "a dog"], precision=precision)
        np.testing.assert_array_equal(found, as_precision(whole, precision))
    assert embedder.embed([], precision="binary").shape == (0, 4)


@pytest.mark.parametrize(("precision", "dimensions"), [("binary", 12), ("float16", 32)])
def test_what_cannot_be_made_is_refused_before_any_work(
    encoder, make_embedder, precision, dimensions
):
    (encoder.folder / "model.safetensors").unlink()
    with pytest.raises(RequestError, match=r"8 divides|precision"):
        make_embedder(encoder.folder, dimensions=dimensions).embed(["a"], precision=precision)


def test_means_of_windows_weigh_by_tokens():
    vectors = np.array([[1.0], [3.0], [5.0]], np.float32)
    assert mean_of_windows(vectors, [[3, 1], [2]]).tolist() == [[1.5], [5.0]]
    assert normalize(np.zeros((1, 2), np.float32)).tolist() == [[0.0, 0.0]]
