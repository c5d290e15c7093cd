"""The suites that LangChain has for other interfaces, mirrored for its two of rerank.

Runs on the bundled reranker; how options reach it is in test_rerank.py.
"""

import asyncio
import math
from collections.abc import Iterator

import numpy as np
import pytest
from langchain_core.cross_encoders import BaseCrossEncoder
from langchain_core.documents import BaseDocumentCompressor, Document
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore
from pydantic import ValidationError

from mlx_backends import ModelError, RequestError, registry
from mlx_backends.langchain import MLXCrossEncoder, MLXEmbeddings, MLXRerank

QUERY = "What is the default port of the server?"
TEXTS = [
    "Log files are kept for 14 days.",
    "The default port of the server is 8080.",
    "The command status prints the load of every worker.",
    "Größe und Gewicht: 日本語 🎉",
]
DOCUMENTS = [
    Document(text, id=f"id-{i}", metadata={"source": f"{i}.md"}) for i, text in enumerate(TEXTS)
]


@pytest.fixture(scope="module")
def rerank() -> Iterator[MLXRerank]:
    yield MLXRerank(model="bundled", top_n=None)
    registry.close_all()


@pytest.fixture
def cross_encoder() -> MLXCrossEncoder:
    return MLXCrossEncoder(model="bundled")


def scores_of(documents) -> list[float]:
    return [document.metadata["relevance_score"] for document in documents]


def test_init(rerank, cross_encoder):
    assert isinstance(rerank, BaseDocumentCompressor)
    assert isinstance(cross_encoder, BaseCrossEncoder)
    with pytest.raises(ValidationError):
        MLXRerank(top_n=0)
    with pytest.raises(ValidationError):
        MLXCrossEncoder(modle="bundled")


@pytest.mark.parametrize("cls", [MLXRerank, MLXCrossEncoder])
def test_init_from_env(cls, monkeypatch):
    monkeypatch.setenv("MLX_BACKENDS_RERANK_MODEL", "from/env")
    assert cls().model == "from/env"


def test_compress_documents(rerank):
    best = rerank.compress_documents(DOCUMENTS, QUERY)
    assert best[0].page_content == TEXTS[1]
    assert scores_of(best) == sorted(scores_of(best), reverse=True)
    assert all(type(score) is float and 0 <= score <= 1 for score in scores_of(best))
    assert {document.id for document in best} == {document.id for document in DOCUMENTS}


async def test_acompress_documents(rerank):
    best = await rerank.acompress_documents(DOCUMENTS, QUERY)
    assert best == rerank.compress_documents(DOCUMENTS, QUERY)


def test_documents_are_copied(rerank):
    """What comes back is the caller's to change."""
    best = rerank.compress_documents(DOCUMENTS, QUERY)
    for document in best:
        document.metadata["source"] = "changed"
    assert [document.metadata for document in DOCUMENTS] == [
        {"source": f"{i}.md"} for i in range(len(DOCUMENTS))
    ]


@pytest.mark.parametrize("top_n", [1, 2, 4, 100])
def test_top_n(rerank, top_n):
    best = MLXRerank(model="bundled", top_n=top_n).compress_documents(DOCUMENTS, QUERY)
    assert best == rerank.compress_documents(DOCUMENTS, QUERY)[:top_n]


async def test_no_documents(rerank, cross_encoder):
    assert rerank.compress_documents([], QUERY) == []
    assert await rerank.acompress_documents([], QUERY) == []
    assert cross_encoder.score([]) == await cross_encoder.ascore([]) == []


def test_order_of_the_documents_does_not_matter(rerank):
    one, other = (
        rerank.compress_documents(documents, QUERY) for documents in (DOCUMENTS, DOCUMENTS[::-1])
    )
    assert [d.id for d in one] == [d.id for d in other]
    np.testing.assert_allclose(scores_of(one), scores_of(other), atol=1e-5)


def test_a_batch_is_its_parts(rerank, cross_encoder):
    """A document's score does not depend on what is scored beside it."""
    documents = DOCUMENTS + [Document("word " * n) for n in (1, 40, 200)]
    together = {d.page_content: d.metadata["relevance_score"]
                for d in rerank.compress_documents(documents, QUERY)}  # fmt: skip
    for document in documents:
        [alone] = scores_of(rerank.compress_documents([document], QUERY))
        assert math.isclose(alone, together[document.page_content], abs_tol=1e-5)
    pairs = [(QUERY, document.page_content) for document in documents]
    np.testing.assert_allclose(cross_encoder.score(pairs), [together[d] for _, d in pairs])


def test_equal_documents_keep_their_order(rerank):
    twins = [Document(TEXTS[1], id=str(i)) for i in range(5)]
    assert [d.id for d in rerank.compress_documents(twins, QUERY)] == list("01234")


async def test_score(cross_encoder):
    pairs = [(QUERY, text) for text in TEXTS]
    scores = cross_encoder.score(pairs)
    assert [type(score) for score in scores] == [float] * len(TEXTS)
    assert int(np.argmax(scores)) == 1
    assert await cross_encoder.ascore(pairs) == scores


async def test_calls_at_once_do_not_mix(rerank):
    queries = [QUERY, "How long are log files kept?", "Which command prints the load?"] * 4
    alone = [rerank.compress_documents(DOCUMENTS, query) for query in queries]
    together = await asyncio.gather(*(rerank.acompress_documents(DOCUMENTS, q) for q in queries))
    for one, other in zip(alone, together, strict=True):
        assert [d.id for d in one] == [d.id for d in other]
    assert {found[0].page_content for found in together} == set(TEXTS[:3])


async def test_the_event_loop_stays_free(rerank, worst_loop_gap):
    documents = [Document(f"Sentence number {i} of many. " * 8) for i in range(64)]
    await rerank.acompress_documents(documents, QUERY)
    assert await worst_loop_gap(lambda: rerank.acompress_documents(documents, QUERY)) < 0.05


async def test_a_document_that_is_too_long_is_an_error_or_cut(rerank):
    long = [Document(f"{TEXTS[1]} {'word ' * 3_000}")]
    with pytest.raises(RequestError, match="tokens"):
        rerank.compress_documents(long, QUERY)
    with pytest.raises(RequestError):
        await rerank.acompress_documents(long, QUERY)
    cutting = MLXRerank(model="bundled", on_overflow="truncate")
    assert cutting.compress_documents(long, QUERY)[0].metadata["relevance_score"] > 0


async def test_a_model_that_is_not_there_is_an_error():
    missing = MLXRerank(model="/no/such/folder")
    with pytest.raises(ModelError, match="no/such/folder"):
        missing.compress_documents(DOCUMENTS, QUERY)
    with pytest.raises(ModelError):
        await missing.acompress_documents(DOCUMENTS, QUERY)


def test_options_survive_a_round_trip(rerank):
    options = rerank.model_dump()
    assert MLXRerank(**options).compress_documents(DOCUMENTS, QUERY) == (
        rerank.compress_documents(DOCUMENTS, QUERY)
    )


async def test_a_chain_retrieves_and_reranks(rerank):
    store = InMemoryVectorStore(MLXEmbeddings(model="bundled"))
    store.add_documents(DOCUMENTS)
    retriever = store.as_retriever(search_kwargs={"k": 4})

    async def best(query: str) -> Document:
        return (await rerank.acompress_documents(await retriever.ainvoke(query), query))[0]

    assert (await RunnableLambda(best).ainvoke(QUERY)).page_content == TEXTS[1]
