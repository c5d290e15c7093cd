import dataclasses

import numpy as np
import pytest
from pydantic import ValidationError

from mlx_backends import EmbedderConfig, registry
from mlx_backends.langchain import MLXEmbeddings


class CountingEmbedder:
    """Vectors of a text's length and of its kind; reports its progress."""

    def embed(self, texts, *, kind="document", on_progress=None):
        if on_progress is not None:
            on_progress(len(texts), len(texts))
        rows = [[len(text), kind == "query", 0.5] for text in texts]
        return np.array(rows, dtype=np.float32).reshape(-1, 3)

    async def aembed(self, texts, *, kind="document", on_progress=None):
        return self.embed(texts, kind=kind, on_progress=on_progress)


async def test_texts_become_lists_of_python_floats():
    embeddings = MLXEmbeddings(embedder=CountingEmbedder())
    documents = embeddings.embed_documents(["a", "bcd"])
    assert documents == await embeddings.aembed_documents(["a", "bcd"])
    assert documents == [[1.0, 0.0, 0.5], [3.0, 0.0, 0.5]]
    query = embeddings.embed_query("ab")
    assert query == await embeddings.aembed_query("ab") == [2.0, 1.0, 0.5]
    assert {type(value) for value in [*query, *documents[0]]} == {float}
    assert embeddings.embed_documents([]) == []


async def test_options_name_the_shared_embedder(monkeypatch):
    configs = []

    def get_embedder(config):
        configs.append(config)
        return CountingEmbedder()

    monkeypatch.setattr(registry, "get_embedder", get_embedder)
    options = {
        "model": "some/encoder",
        "revision": "v1",
        "device": "cpu",
        "dtype": "float32",
        "max_batch_tokens": 100,
        "max_length": 50,
        "on_overflow": "truncate",
    }
    MLXEmbeddings(**options).embed_query("a")
    await MLXEmbeddings().aembed_documents(["a"])
    assert configs == [EmbedderConfig(**options), EmbedderConfig()]


def test_defaults_are_the_embedders():
    fields = MLXEmbeddings.model_fields
    for field in dataclasses.fields(EmbedderConfig):
        assert fields[field.name].default == field.default


@pytest.mark.parametrize("options", [{"modle": "a"}, {"on_overflow": "drop"}, {"max_length": 0}])
def test_a_bad_option_is_an_error(options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        MLXEmbeddings(**options)


def test_an_embedder_has_its_own_options():
    with pytest.raises(ValidationError, match="device cannot be set together with embedder"):
        MLXEmbeddings(embedder=CountingEmbedder(), device="cpu")


def test_progress_is_shown(capsys):
    embeddings = MLXEmbeddings(embedder=CountingEmbedder(), show_progress=True)
    embeddings.embed_documents(["a", "b"])
    assert "Embedding" in capsys.readouterr().out
