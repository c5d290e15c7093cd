import dataclasses

import numpy as np
import pytest
from langchain_core.documents import Document
from pydantic import ValidationError

from mlx_backends import Reranked, RerankerConfig, registry
from mlx_backends.langchain import MLXCrossEncoder, MLXRerank

DOCUMENTS = [
    Document("The sky is blue.", metadata={"source": "a"}),
    Document("Why is the sea blue?", id="2"),
    Document("Dogs bark."),
    Document("Why the sky is blue at noon."),
]


class WordReranker:
    """Counts the words that query and document share."""

    def scores(self, pairs):
        counts = [len({*q.lower().split()} & {*d.lower().split()}) for q, d in pairs]
        return np.array(counts, np.float32)

    def rerank(self, query, documents, *, top_n=None):
        scores = self.scores([(query, document) for document in documents])
        order = np.argsort(-scores, kind="stable")[:top_n]
        return [Reranked(int(i), float(scores[i]), documents[i]) for i in order]

    async def arerank(self, query, documents, *, top_n=None):
        return self.rerank(query, documents, top_n=top_n)


async def test_the_best_documents_come_first_with_their_score():
    rerank = MLXRerank(reranker=WordReranker(), top_n=2)
    best = rerank.compress_documents(DOCUMENTS, "why is the sky blue")
    assert [document.page_content for document in best] == [
        "Why the sky is blue at noon.",
        "The sky is blue.",
    ]
    assert [document.metadata for document in best] == [
        {"relevance_score": 5.0},
        {"source": "a", "relevance_score": 3.0},
    ]
    assert best == await rerank.acompress_documents(DOCUMENTS, "why is the sky blue")


def test_what_was_given_stays_as_it_was():
    best = MLXRerank(reranker=WordReranker(), top_n=None).compress_documents(DOCUMENTS, "why sea")
    assert [document.metadata for document in DOCUMENTS] == [{"source": "a"}, {}, {}, {}]
    assert len(best) == 4
    assert best[0].id == "2"


def test_no_documents_give_none():
    assert MLXRerank(reranker=WordReranker()).compress_documents([], "why") == []


def test_pairs_become_python_floats():
    pairs = [("the sky", "The sky is blue."), ("dogs", "cats")]
    scores = MLXCrossEncoder(reranker=WordReranker()).score(pairs)
    assert scores == [2.0, 0.0]
    assert {type(score) for score in scores} == {float}


@pytest.mark.parametrize("adapter", [MLXRerank, MLXCrossEncoder])
async def test_options_name_the_shared_reranker(monkeypatch, adapter):
    configs = []

    def get_reranker(config):
        configs.append(config)
        return WordReranker()

    def ask(made):
        if adapter is MLXRerank:
            made.compress_documents(DOCUMENTS, "q")
        else:
            made.score([("q", "d")])

    monkeypatch.setattr(registry, "get_reranker", get_reranker)
    options = {
        "model": "some/reranker",
        "revision": "v1",
        "device": "cpu",
        "dtype": "float32",
        "max_batch_tokens": 100,
        "max_length": 50,
        "on_overflow": "truncate",
    }
    ask(adapter(**options))
    ask(adapter())
    monkeypatch.setenv("MLX_BACKENDS_RERANK_MODEL", "from/environment")
    ask(adapter())
    expected = [
        RerankerConfig(**options),
        RerankerConfig(),
        RerankerConfig(model="from/environment"),
    ]
    assert configs == expected


@pytest.mark.parametrize("adapter", [MLXRerank, MLXCrossEncoder])
def test_defaults_are_the_rerankers(adapter):
    for field in dataclasses.fields(RerankerConfig):
        assert adapter.model_fields[field.name].default == field.default


@pytest.mark.parametrize(
    "options", [{"modle": "a"}, {"on_overflow": "drop"}, {"max_length": 0}, {"top_n": 0}]
)
def test_a_bad_option_is_an_error(options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        MLXRerank(**options)


def test_a_reranker_has_its_own_options():
    with pytest.raises(ValidationError, match="device cannot be set together with reranker"):
        MLXCrossEncoder(reranker=WordReranker(), device="cpu")
