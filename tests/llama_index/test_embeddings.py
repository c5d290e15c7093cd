"""``MLXEmbedding``: batches, kinds of text, and its options."""

import pickle

import numpy as np
import pytest
from llama_index.core.ingestion import IngestionPipeline
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import Document, TextNode
from pydantic import ValidationError

from mlx_backends import registry
from mlx_backends.config import EmbedderConfig
from mlx_backends.llama_index import MLXEmbedding


def test_query_and_document_are_told_apart(embed_model, embedder):
    embed_model.get_query_embedding("q")
    embed_model.get_text_embedding("t")
    assert embedder.calls == [("query", ["q"]), ("document", ["t"])]


async def test_async_gives_what_blocking_gives(embed_model, embedder):
    assert await embed_model.aget_query_embedding("q") == embed_model.get_query_embedding("q")
    assert await embed_model.aget_text_embedding("t") == embed_model.get_text_embedding("t")
    texts = ["a b", "c", ""]
    blocking = embed_model.get_text_embedding_batch(texts)
    assert await embed_model.aget_text_embedding_batch(texts) == blocking
    assert [kind for kind, _ in embedder.calls] == ["query"] * 2 + ["document"] * 4


def test_vectors_are_lists_of_python_floats_in_order(embed_model, embedder):
    texts = ["one", "two", "three"]
    vectors = embed_model.get_text_embedding_batch(texts)
    assert all(type(value) is float for vector in vectors for value in vector)
    np.testing.assert_array_equal(np.array(vectors, np.float32), embedder.embed(texts))


async def test_a_batch_is_one_call(embedder):
    embed_model = MLXEmbedding(embedder=embedder, embed_batch_size=4)
    texts = [str(n) for n in range(10)]
    embed_model.get_text_embedding_batch(texts)
    assert [batch for _, batch in embedder.calls] == [texts[:4], texts[4:8], texts[8:]]
    embedder.calls.clear()
    await embed_model.aget_text_embedding_batch(texts)
    assert sorted(batch for _, batch in embedder.calls) == [texts[:4], texts[4:8], texts[8:]]


def test_no_texts_no_call(embed_model, embedder):
    assert embed_model.get_text_embedding_batch([]) == []
    assert embedder.calls == []


def test_options_name_the_shared_embedder(monkeypatch, tmp_path, embedder):
    configs = []
    monkeypatch.setattr(registry, "get_embedder", lambda config: configs.append(config) or embedder)
    MLXEmbedding().get_text_embedding("t")
    MLXEmbedding(
        model=tmp_path,
        revision="v1",
        device="cpu",
        dtype="float32",
        max_batch_tokens=64,
        max_length=32,
        on_overflow="truncate",
    ).get_text_embedding("t")
    assert configs == [
        EmbedderConfig(),
        EmbedderConfig(
            model=str(tmp_path),
            revision="v1",
            device="cpu",
            dtype="float32",
            max_batch_tokens=64,
            max_length=32,
            on_overflow="truncate",
        ),
    ]


def test_model_name_is_another_word_for_model(monkeypatch):
    assert MLXEmbedding(model_name="a/b").model == "a/b"
    assert MLXEmbedding(model="a/b").model_name == "a/b"
    assert MLXEmbedding(model="a/b", model_name="a/b").model == "a/b"
    with pytest.raises(ValidationError, match="give one of them"):
        MLXEmbedding(model="a/b", model_name="c/d")
    monkeypatch.setenv("MLX_BACKENDS_EMBED_MODEL", "from/environment")
    assert MLXEmbedding().model == MLXEmbedding().model_name == "from/environment"


@pytest.mark.parametrize(
    "options", [{"batchsize": 1}, {"max_length": 0}, {"on_overflow": "cut"}, {"device": "tpu"}]
)
def test_bad_option_is_an_error(options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        MLXEmbedding(**options)


def test_embedder_and_model_together_are_an_error(embedder):
    with pytest.raises(ValidationError, match="leave out embedder"):
        MLXEmbedding(embedder=embedder, max_length=8)
    assert MLXEmbedding(embedder=embedder, model_name="label").to_payload()["model_name"] == "label"


def test_dictionary_makes_the_same_model_again():
    embed_model = MLXEmbedding(model="a/b", max_length=8, embed_batch_size=3)
    data = embed_model.to_dict()
    assert data["class_name"] == "MLXEmbedding"
    assert MLXEmbedding.from_dict(data).to_dict() == data
    assert pickle.loads(pickle.dumps(embed_model)).to_dict() == data
    unnamed = MLXEmbedding().to_dict()
    assert MLXEmbedding.from_dict(unnamed).to_dict() == unnamed
    assert "embedder" not in MLXEmbedding.model_json_schema()["properties"]


async def test_it_is_a_step_of_an_ingestion_pipeline(embed_model, embedder):
    splitter = SentenceSplitter(chunk_size=64, chunk_overlap=0, tokenizer=lambda text: [*text])
    pipeline = IngestionPipeline(transformations=[splitter, embed_model])
    document = Document(text="The engine is copper. The boat is cedar. The sky is grey. It rains.")
    nodes = pipeline.run(documents=[document])
    assert len(nodes) == 2
    assert [batch for _, batch in embedder.calls] == [[node.get_content() for node in nodes]]
    assert all(len(node.embedding) == embedder.dimensions for node in nodes)
    again = await IngestionPipeline(transformations=[splitter, embed_model]).arun(
        documents=[document]
    )
    assert [node.embedding for node in again] == [node.embedding for node in nodes]


def test_cached_ingestion_embeds_again_when_the_model_changes(embedder):
    nodes = [TextNode(text="t", id_="1")]
    pipeline = IngestionPipeline(transformations=[MLXEmbedding(embedder=embedder)])
    pipeline.run(nodes=nodes)
    pipeline.run(nodes=nodes)
    assert len(embedder.calls) == 1
    pipeline.transformations = [MLXEmbedding(embedder=embedder, model_name="other")]
    pipeline.run(nodes=nodes)
    assert len(embedder.calls) == 2
