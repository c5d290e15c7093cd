"""The embedding rows of langchain-tests, under their names, for ``MLXEmbedding``."""

import numpy as np
import pytest
from llama_index.core.embeddings.utils import resolve_embed_model

TEXTS = ["The default port is 8080.", "Logs are kept for 14 days.", "x " * 200]
QUESTION = "What is the default port?"


def test_embed_query(embed_model):
    vector = embed_model.get_query_embedding(QUESTION)
    _check_vectors([vector])
    assert embed_model.get_query_embedding(QUESTION) == vector


def test_embed_documents(embed_model):
    vectors = embed_model.get_text_embedding_batch(TEXTS)
    _check_vectors(vectors)
    one_by_one = [embed_model.get_text_embedding(text) for text in TEXTS]
    np.testing.assert_allclose(vectors, one_by_one, atol=1e-5)
    scores = [
        embed_model.similarity(embed_model.get_query_embedding(QUESTION), vector)
        for vector in vectors[:2]
    ]
    assert scores[0] > scores[1]


async def test_aembed_query(embed_model):
    vector = await embed_model.aget_query_embedding(QUESTION)
    _check_vectors([vector])
    np.testing.assert_allclose(vector, embed_model.get_query_embedding(QUESTION), atol=1e-6)


async def test_aembed_documents(embed_model):
    vectors = await embed_model.aget_text_embedding_batch(TEXTS)
    _check_vectors(vectors)
    np.testing.assert_allclose(vectors, embed_model.get_text_embedding_batch(TEXTS), atol=1e-6)


def _check_vectors(vectors):
    assert all(type(vector) is list for vector in vectors)
    assert all(type(value) is float for vector in vectors for value in vector)
    assert len({len(vector) for vector in vectors}) == 1
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


def test_resolve_embed_model_takes_it(embed_model):
    assert resolve_embed_model(embed_model) is embed_model


@pytest.mark.parametrize("size", [1, 3])
async def test_batch_size_does_not_change_the_vectors(embed_model, size):
    whole = embed_model.get_text_embedding_batch(TEXTS)
    embed_model.embed_batch_size = size
    np.testing.assert_allclose(embed_model.get_text_embedding_batch(TEXTS), whole, atol=1e-5)
    np.testing.assert_allclose(await embed_model.aget_text_embedding_batch(TEXTS), whole, atol=1e-5)
