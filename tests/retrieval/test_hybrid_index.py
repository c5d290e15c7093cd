import numpy as np
import pytest

from mlx_backends.errors import RequestError
from mlx_backends.retrieval.hybrid_index import HybridIndex, words
from mlx_backends.retrieval.splitter import Chunk

TEXTS = [
    "A prompt over the limit raises ContextLengthError at once.",
    "Set max_tokens to bound the completion.",
    "The cache holds four gigabytes of keys and values.",
    "Dogs bark at night.",
]


def make_chunks(texts=TEXTS, heading=""):
    return [Chunk(text, f"{i}.md", 1, 1, heading) for i, text in enumerate(texts)]


@pytest.fixture
def index():
    return HybridIndex(make_chunks(), np.eye(4, dtype=np.float32) * 3)


def found(hits):
    return [int(hit.chunk.path[0]) for hit in hits]


def test_words_and_meaning_both_count(index):
    hits = index.search("dogs", np.array([0.5, 0, 1, 0.8], np.float32), top_k=4)
    assert found(hits) == [3, 2, 0, 1]
    assert [hit.score for hit in hits] == pytest.approx([0.65 * 0.8 + 0.35, 0.65, 0.65 * 0.5, 0])


def test_the_surer_of_the_two_decides(index):
    slightly_nearer = np.array([1.0, 0.98, 0.0, 0.0], np.float32)
    assert found(index.search("max_tokens", slightly_nearer, top_k=1)) == [1]
    far_nearer = np.array([1.0, 0.2, 0.0, 0.0], np.float32)
    assert found(index.search("max_tokens", far_nearer, top_k=1)) == [0]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("ContextLengthError", 0),
        ("what is a context length error?", 0),
        ("max_tokens", 1),
        ("the max tokens of an answer", 1),
    ],
)
def test_identifiers_are_found_whole_and_in_parts(index, query, expected):
    assert found(index.search(query, np.zeros(4, np.float32), top_k=1)) == [expected]


def test_a_word_of_its_own_counts_more_than_a_part_of_an_identifier():
    texts = ["`dtype_graph` was renamed to `graph`.", "`stop` was renamed to `dtype`."]
    index = HybridIndex(make_chunks(texts), np.ones((2, 2), np.float32))
    assert found(index.search("dtype", np.ones(2, np.float32), top_k=2)) == [1, 0]


def test_function_words_of_a_query_do_not_count():
    index = HybridIndex(make_chunks(["What is it?", "Cache size: 4."]), np.ones((2, 2), np.float32))
    assert found(index.search("what is the cache size?", np.ones(2, np.float32), 1)) == [1]
    assert found(index.search("what is it", np.ones(2, np.float32), 1)) == [0]


def test_headings_are_searched(tmp_path):
    chunks = [
        Chunk("Run it.", f"{i}.md", 1, 1, title, f"{title}\n")
        for i, title in enumerate(("Install", "Removal"))
    ]
    index = HybridIndex(chunks, np.ones((2, 2), np.float32))
    assert found(index.search("removal", np.ones(2, np.float32), top_k=1)) == [1]


@pytest.mark.parametrize("query", ["", "???", "zebra"])
def test_a_query_without_known_words_goes_by_meaning(index, query):
    hits = index.search(query, np.array([0, 0, 1, 0], np.float32), top_k=1)
    assert found(hits) == [2]


def test_texts_without_words_can_be_indexed():
    index = HybridIndex(make_chunks(["---", "***"]), np.eye(2, dtype=np.float32))
    assert found(index.search("dogs", np.array([0, 1], np.float32), top_k=9)) == [1, 0]


def test_ties_go_by_position():
    index = HybridIndex(make_chunks(["same", "same", "same"]), np.ones((3, 2), np.float32))
    assert found(index.search("same", np.ones(2, np.float32), top_k=3)) == [0, 1, 2]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Max_Tokens=3", ["max_tokens", "/max", "/tokens", "3", "/3"]),
        ("HTTPServer2", ["httpserver2", "/http", "/server", "/2"]),
        ("mlx.core's", ["mlx", "/mlx", "core", "/core", "s", "/s"]),
        ("__init__ __", ["__init__", "/init", "__"]),
        ("\u00dcber", ["\u00fcber", "/\u00fcber"]),
        ("\u4e16\u754cx", ["\u4e16", "/\u4e16", "\u754c", "/\u754c", "x", "/x"]),
    ],
)
def test_words(text, expected):
    assert words(text) == expected


def test_what_does_not_fit_together_is_refused(index):
    with pytest.raises(RequestError, match="no chunks"):
        HybridIndex([], np.zeros((0, 4), np.float32))
    with pytest.raises(RequestError, match="4 chunks"):
        HybridIndex(make_chunks(), np.zeros((3, 4), np.float32))
    with pytest.raises(RequestError, match="same model"):
        index.search("dogs", np.zeros(3, np.float32), top_k=1)
    with pytest.raises(RequestError, match="top_k"):
        index.search("dogs", np.zeros(4, np.float32), top_k=0)
