"""``MLXRerank``: order, scores, events and its options."""

import pickle

import pytest
from llama_index.core.callbacks import CallbackManager, CBEventType, LlamaDebugHandler
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode
from pydantic import ValidationError

from mlx_backends import Reranked, registry
from mlx_backends.config import RerankerConfig
from mlx_backends.errors import RequestError
from mlx_backends.llama_index import MLXRerank

QUERY = "why is the sky blue"


class WordReranker:
    """Counts the words that query and document share. Keeps the documents it was given."""

    def __init__(self) -> None:
        self.documents: list[str] = []

    def rerank(self, query, documents, *, top_n=None):
        self.documents = list(documents)
        scores = [len({*query.split()} & {*document.lower().split()}) for document in documents]
        order = sorted(range(len(scores)), key=lambda i: -scores[i])[:top_n]
        return [Reranked(i, float(scores[i]), documents[i]) for i in order]

    async def arerank(self, query, documents, *, top_n=None):
        return self.rerank(query, documents, top_n=top_n)


@pytest.fixture
def nodes() -> list[NodeWithScore]:
    texts = ["The sky is blue.", "Dogs bark.", "Why the sky is blue at noon."]
    return [NodeWithScore(node=TextNode(text=text), score=0.9) for text in texts]


@pytest.fixture
def reranker() -> WordReranker:
    return WordReranker()


async def test_the_best_nodes_come_first_with_their_score(nodes, reranker):
    rerank = MLXRerank(reranker=reranker)
    best = rerank.postprocess_nodes(nodes, query_str=QUERY)
    assert [scored.text for scored in best] == ["Why the sky is blue at noon.", "The sky is blue."]
    assert [scored.score for scored in best] == [5.0, 3.0]
    assert best == await rerank.apostprocess_nodes(nodes, QueryBundle(QUERY))


def test_what_was_given_stays_as_it_was(nodes, reranker):
    rerank = MLXRerank(reranker=reranker, keep_retrieval_score=True)
    best = rerank.postprocess_nodes(nodes, query_str=QUERY)
    assert [scored.node.metadata for scored in best] == [{"retrieval_score": 0.9}] * 2
    assert [scored.score for scored in nodes] == [0.9] * 3
    assert [scored.node.metadata for scored in nodes] == [{}] * 3
    assert [scored.node_id for scored in best] == [nodes[2].node_id, nodes[0].node_id]


def test_metadata_is_scored_as_it_is_embedded(reranker):
    node = TextNode(
        text="It barks.",
        metadata={"title": "dogs", "page": 3},
        excluded_embed_metadata_keys=["page"],
    )
    MLXRerank(reranker=reranker).postprocess_nodes([NodeWithScore(node=node)], query_str=QUERY)
    assert reranker.documents == [node.get_content(MetadataMode.EMBED)]
    assert "dogs" in reranker.documents[0]
    assert "3" not in reranker.documents[0]


def test_no_nodes_give_none(reranker):
    assert MLXRerank(reranker=reranker).postprocess_nodes([], query_str=QUERY) == []


async def test_the_query_is_needed(nodes, reranker):
    rerank = MLXRerank(reranker=reranker)
    with pytest.raises(RequestError, match="query_str"):
        rerank.postprocess_nodes(nodes)
    with pytest.raises(RequestError, match="query_str"):
        await rerank.apostprocess_nodes(nodes)


async def test_events_and_callbacks_are_told(nodes, reranker, events):
    debug = LlamaDebugHandler(print_trace_on_end=False)
    rerank = MLXRerank(reranker=reranker, top_n=1, callback_manager=CallbackManager([debug]))
    rerank.postprocess_nodes(nodes, query_str=QUERY)
    await rerank.apostprocess_nodes(nodes, query_str=QUERY)
    assert events.names == ["ReRankStartEvent", "ReRankEndEvent"] * 2
    assert (events.events[0].top_n, events.events[0].model_name) == (1, "bundled")
    assert [len(event.nodes) for event in events.events] == [3, 1, 3, 1]
    assert len(debug.get_event_pairs(CBEventType.RERANKING)) == 2


def test_options_name_the_shared_reranker(monkeypatch, tmp_path, nodes, reranker):
    configs = []
    monkeypatch.delenv("MLX_BACKENDS_RERANK_MODEL", raising=False)
    monkeypatch.setattr(registry, "get_reranker", lambda config: configs.append(config) or reranker)
    options = {
        "revision": "v1",
        "device": "cpu",
        "dtype": "float32",
        "max_batch_tokens": 64,
        "max_length": 32,
        "on_overflow": "truncate",
    }
    MLXRerank().postprocess_nodes(nodes, query_str=QUERY)
    MLXRerank(model=tmp_path, **options).postprocess_nodes(nodes, query_str=QUERY)
    assert configs == [RerankerConfig(), RerankerConfig(model=str(tmp_path), **options)]
    monkeypatch.setenv("MLX_BACKENDS_RERANK_MODEL", "from/environment")
    assert MLXRerank().model == "from/environment"


@pytest.mark.parametrize(
    "options",
    [{"topn": 1}, {"max_length": 0}, {"on_overflow": "cut"}, {"device": "tpu"}, {"top_n": 0}],
)
def test_bad_option_is_an_error(options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        MLXRerank(**options)


def test_reranker_and_model_together_are_an_error(reranker):
    with pytest.raises(ValidationError, match="leave out reranker"):
        MLXRerank(reranker=reranker, max_length=8)


def test_dictionary_makes_the_same_reranker_again():
    rerank = MLXRerank(model="a/b", top_n=3, max_length=8)
    data = rerank.to_dict()
    assert data["class_name"] == "MLXRerank"
    assert MLXRerank.from_dict(data).to_dict() == data
    assert pickle.loads(pickle.dumps(rerank)).to_dict() == data
    assert "reranker" not in MLXRerank.model_json_schema()["properties"]
