"""What LlamaIndex's pipelines ask of a reranker, for ``MLXRerank`` on the bundled model."""

import asyncio

import numpy as np
import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import NodeWithScore, QueryBundle, TextNode

from mlx_backends.errors import ModelError, RequestError
from mlx_backends.langchain import MLXCrossEncoder
from mlx_backends.llama_index import MLXRerank

QUERY = "What is the default port of the server?"
TEXTS = [
    "Log files are kept for 14 days.",
    "The default port of the server is 8080.",
    "The command status prints the load of every worker.",
    "Größe und Gewicht: 日本語 🎉",
]


@pytest.fixture
def rerank() -> MLXRerank:
    return MLXRerank(model="bundled", top_n=len(TEXTS))


@pytest.fixture
def nodes() -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=text, id_=str(i)), score=0.5)
            for i, text in enumerate(TEXTS)]  # fmt: skip


def test_best_nodes_come_first(rerank, nodes):
    assert isinstance(rerank, BaseNodePostprocessor)
    best = rerank.postprocess_nodes(nodes, query_str=QUERY)
    assert best[0].text == TEXTS[1]
    scores = [node.score for node in best]
    assert scores == sorted(scores, reverse=True)
    assert all(type(score) is float and 0 <= score <= 1 for score in scores)


async def test_awaited_it_is_the_same(rerank, nodes):
    bundle = QueryBundle(QUERY)
    assert await rerank.apostprocess_nodes(nodes, bundle) == rerank.postprocess_nodes(nodes, bundle)


def test_nodes_are_copied(rerank, nodes):
    before = [node.model_copy(deep=True) for node in nodes]
    best = MLXRerank(model="bundled", keep_retrieval_score=True).postprocess_nodes(
        nodes, query_str=QUERY
    )
    assert nodes == before
    assert [node.node.metadata for node in best] == [{"retrieval_score": 0.5}] * 2


@pytest.mark.parametrize("top_n", [1, 3, 50])
def test_top_n(rerank, nodes, top_n):
    best = MLXRerank(model="bundled", top_n=top_n).postprocess_nodes(nodes, query_str=QUERY)
    whole = rerank.postprocess_nodes(nodes, query_str=QUERY)
    assert [node.node_id for node in best] == [node.node_id for node in whole][:top_n]


async def test_no_nodes_give_none(rerank):
    assert rerank.postprocess_nodes([], query_str=QUERY) == []
    assert await rerank.apostprocess_nodes([], QueryBundle(QUERY)) == []


def test_scores_are_those_of_the_cross_encoder(rerank, nodes):
    best = rerank.postprocess_nodes(nodes, query_str=QUERY)
    pairs = [(QUERY, node.text) for node in best]
    expected = MLXCrossEncoder(model="bundled").score(pairs)
    np.testing.assert_allclose([node.score for node in best], expected, atol=1e-5)


async def test_queries_at_once_do_not_mix(rerank, nodes):
    queries = [QUERY, "How long are log files kept?", "Which command prints the load?"] * 3
    found = await asyncio.gather(
        *(rerank.apostprocess_nodes(nodes, QueryBundle(query)) for query in queries)
    )
    assert [best[0].text for best in found] == [TEXTS[1], TEXTS[0], TEXTS[2]] * 3


def test_a_node_that_is_too_long_is_an_error_or_cut(nodes):
    long = [NodeWithScore(node=TextNode(text=f"{TEXTS[1]} {'word ' * 3_000}"))]
    with pytest.raises(RequestError, match="tokens"):
        MLXRerank(model="bundled").postprocess_nodes(long, query_str=QUERY)
    cutting = MLXRerank(model="bundled", on_overflow="truncate")
    assert cutting.postprocess_nodes(long, query_str=QUERY)[0].score > 0


def test_a_missing_query_or_model_is_an_error(rerank, nodes):
    with pytest.raises(RequestError, match="query"):
        rerank.postprocess_nodes(nodes)
    with pytest.raises(ModelError, match="no/such/folder"):
        MLXRerank(model="/no/such/folder").postprocess_nodes(nodes, query_str=QUERY)


@pytest.mark.usefixtures("event_loop_of_blocking_calls")
def test_in_a_retriever(rerank, nodes, embed_model, llm):
    index = VectorStoreIndex([node.node for node in nodes], embed_model=embed_model)
    engine = index.as_query_engine(
        llm=llm, similarity_top_k=4, node_postprocessors=[MLXRerank(model="bundled", top_n=1)]
    )
    assert [node.text for node in engine.retrieve(QueryBundle(QUERY))] == [TEXTS[1]]
