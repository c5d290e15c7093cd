import asyncio
import json
import os
import random
import warnings
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from mlx_backends import Reranked, Reranker, RerankerConfig, registry
from mlx_backends.errors import (
    ConfigError,
    EngineClosedError,
    ForkedProcessError,
    ModelLoadError,
    NumericalError,
    RequestError,
    UnsupportedModelError,
)

QUERY = "the cat ran ?"
DOCUMENTS = ["the cat sat on the mat .", "a dog", "", "old tree , new river and a cat", "the cat"]


@pytest.fixture
def model(tmp_path, files) -> SimpleNamespace:
    """A tiny random cross-encoder, scoring in logits."""
    return files.write_cross_encoder(tmp_path / "cross-encoder")


@pytest.fixture
def make_reranker(worker):
    def make(folder, **options) -> Reranker:
        options = {"device": "cpu", **options}
        return Reranker(RerankerConfig(model=str(folder), **options), worker=worker)

    return make


def random_documents(count: int) -> list[str]:
    rng = random.Random(3)
    return [" ".join(rng.choices(DOCUMENTS[3].split(), k=rng.randint(0, 13))) for _ in range(count)]


def expected_scores(model, query: str, documents: list[str]) -> list[float]:
    """The reference's logits for pairs written out by hand."""
    return [model.reference_score(*model.pair_ids(query, document)) for document in documents]


def test_logits_match_the_reference(model, make_reranker):
    scores = make_reranker(model.folder).scores([(QUERY, text) for text in DOCUMENTS])
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, expected_scores(model, QUERY, DOCUMENTS), atol=1e-5)


def test_logits_match_hugging_face(model, make_reranker):
    """Of ``BertForSequenceClassification`` with the same weights; see make_hugging_face_logits."""
    stored = json.loads((Path(__file__).parent / "hugging_face_logits.json").read_text("utf-8"))
    reranker = make_reranker(model.folder)
    scores = reranker.scores([tuple(pair) for pair in stored["pairs"]])
    np.testing.assert_allclose(scores, stored["logits"], atol=1e-5)


def test_the_best_come_first(model, make_reranker):
    ranked = make_reranker(model.folder).rerank(QUERY, DOCUMENTS)
    expected = expected_scores(model, QUERY, DOCUMENTS)
    assert [best.index for best in ranked] == sorted(range(5), key=lambda i: -expected[i])
    assert [best.document for best in ranked] == [DOCUMENTS[best.index] for best in ranked]
    for best in ranked:
        assert best.score == pytest.approx(expected[best.index], abs=1e-5)


def test_top_n_keeps_the_best(model, make_reranker):
    reranker = make_reranker(model.folder)
    assert reranker.rerank(QUERY, DOCUMENTS, top_n=2) == reranker.rerank(QUERY, DOCUMENTS)[:2]
    assert len(reranker.rerank(QUERY, DOCUMENTS, top_n=99)) == 5
    with pytest.raises(RequestError, match="top_n"):
        reranker.rerank(QUERY, DOCUMENTS, top_n=0)


def test_equal_scores_keep_their_order(tmp_path, files, make_reranker):
    made = files.write_cross_encoder(tmp_path / "model", head_scale=0.0)
    ranked = make_reranker(made.folder).rerank(QUERY, random_documents(4))
    assert [best.index for best in ranked] == [0, 1, 2, 3]


def test_no_documents_give_nothing(model, make_reranker):
    reranker = make_reranker(model.folder)
    assert reranker.rerank(QUERY, []) == []
    assert reranker.scores([]).shape == (0,)


def test_a_batch_gives_what_single_pairs_give(model, make_reranker):
    reranker = make_reranker(model.folder, max_batch_tokens=60)
    documents = random_documents(40)
    singles = [reranker.scores([(QUERY, document)])[0] for document in documents]
    batched = reranker.scores([(QUERY, document) for document in documents])
    np.testing.assert_allclose(batched, singles, rtol=2e-6)


def test_query_and_document_are_told_apart(model, make_reranker):
    there, back = make_reranker(model.folder).scores([("the cat", "a dog"), ("a dog", "the cat")])
    assert abs(there - back) > 1e-3


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({}, "probability"),
        ({"sentence_transformers": {"activation_fn": "torch.nn.modules.linear.Identity"}}, "logit"),
        ({"sbert_ce_default_activation_function": "torch.nn.modules.linear.Identity"}, "logit"),
        ({"sentence_transformers": {"activation_fn": "x.Sigmoid"}}, "probability"),
    ],
)
def test_the_file_says_what_scores_are(tmp_path, files, make_reranker, changes, kind):
    made = files.write_cross_encoder(
        tmp_path / "model", **{"sentence_transformers": None, **changes}
    )
    reranker = make_reranker(made.folder)
    assert reranker.score_kind == kind
    expected = np.array(expected_scores(made, QUERY, DOCUMENTS))
    if kind == "probability":
        expected = 1 / (1 + np.exp(-expected))
    scores = reranker.scores([(QUERY, text) for text in DOCUMENTS])
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_a_file_of_its_own_names_the_activation(model, files, make_reranker):
    files.write_json(
        model.folder / "config_sentence_transformers.json", {"activation_fn": "x.Sigmoid"}
    )
    assert make_reranker(model.folder).score_kind == "probability"


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"architectures": ["BertModel"]}, "BertModel"),
        ({"architectures": None}, "supported are: BertForSequenceClassification"),
        ({"model_type": "xlm-roberta"}, "xlm-roberta"),
        ({"id2label": {"0": "no", "1": "yes"}}, "2 labels"),
        ({"sentence_transformers": {"activation_fn": "torch.nn.Tanh"}}, "Tanh"),
    ],
)
def test_models_that_are_no_rerankers_are_named(tmp_path, files, make_reranker, changes, match):
    made = files.write_cross_encoder(tmp_path / "model", **changes)
    with pytest.raises(UnsupportedModelError, match=match):
        make_reranker(made.folder).rerank(QUERY, DOCUMENTS)


def test_a_head_of_two_labels_is_refused(tmp_path, files, make_reranker):
    made = files.write_cross_encoder(tmp_path / "model", num_labels=2)
    with pytest.raises(ModelLoadError, match="do not fit"):
        make_reranker(made.folder).rerank(QUERY, DOCUMENTS)


def test_facts_are_known_before_weights_load(model, make_reranker):
    (model.folder / "model.safetensors").unlink()
    reranker = make_reranker(model.folder)
    assert (reranker.max_length, reranker.score_kind) == (24, "logit")
    assert reranker.model_name == str(model.folder)
    assert not reranker.is_closed


def test_the_constructor_reads_nothing(tmp_path, make_reranker):
    make_reranker(tmp_path / "nowhere")


# ---------------------------------------------------------------- length


def test_a_document_that_is_too_long_is_an_error_before_any_work(model, make_reranker):
    (model.folder / "model.safetensors").unlink()
    with pytest.raises(RequestError, match=r"documents\[1\] of 30.*truncate"):
        make_reranker(model.folder).rerank("the cat", ["a dog", "the " * 30])


def test_truncation_drops_the_end_of_the_document(model, make_reranker):
    reranker = make_reranker(model.folder, on_overflow="truncate", max_length=9)
    cut, whole = reranker.scores([("a cat", "the old dog sat on"), ("a cat", "the old dog sat")])
    assert cut == pytest.approx(whole, abs=1e-6)


def test_a_result_says_whether_its_document_was_cut(model, make_reranker):
    reranker = make_reranker(model.folder, on_overflow="truncate", max_length=9)
    ranked = reranker.rerank("a cat", ["the old dog sat on", "the old dog sat"])
    assert {best.index: best.is_truncated for best in ranked} == {0: True, 1: False}


def test_an_instruction_is_for_models_with_a_prompt(model, make_reranker):
    with pytest.raises(ConfigError, match="instruction"):
        make_reranker(model.folder, instruction="Find dogs").rerank(QUERY, DOCUMENTS)


def test_a_query_without_room_for_a_document_is_an_error(model, make_reranker):
    reranker = make_reranker(model.folder, on_overflow="truncate", max_length=9)
    with pytest.raises(RequestError, match="Shorten the query"):
        reranker.rerank("the cat " * 3, ["a dog"])


def test_max_length_over_the_models_own_is_refused(model, make_reranker):
    with pytest.raises(ConfigError, match=r"25.* 24"):
        make_reranker(model.folder, max_length=25).rerank(QUERY, DOCUMENTS)


def test_max_length_must_leave_room_for_a_token(model, make_reranker):
    with pytest.raises(ModelLoadError, match="special"):
        make_reranker(model.folder, max_length=3).rerank(QUERY, DOCUMENTS)


# ---------------------------------------------------------------- bad input, life cycle


@pytest.mark.parametrize(("query", "documents"), [("q", "text"), ("q", ["a", 3]), (None, ["a"])])
def test_what_is_no_text_is_refused(model, make_reranker, query, documents):
    with pytest.raises(RequestError, match="text"):
        make_reranker(model.folder).rerank(query, documents)


@pytest.mark.parametrize("pairs", [["ab"], [("a", "b", "c")], [("a", None)], [3]])
def test_what_is_no_pair_is_refused(model, make_reranker, pairs):
    with pytest.raises(RequestError, match=r"pairs\[0\]"):
        make_reranker(model.folder).scores(pairs)


def test_segments_outside_the_table_never_reach_the_model(tmp_path, files, make_reranker):
    made = files.write_cross_encoder(tmp_path / "model", type_vocab_size=1)
    with pytest.raises(ModelLoadError, match="do not belong together"):
        make_reranker(made.folder).rerank(QUERY, DOCUMENTS)


def test_scores_that_are_not_finite_are_refused(tmp_path, files, make_reranker):
    made = files.write_cross_encoder(tmp_path / "model", bias=float("inf"))
    with pytest.raises(NumericalError, match=r"score of pairs\[\d\]"):
        make_reranker(made.folder).rerank(QUERY, DOCUMENTS)


async def test_async_gives_what_blocking_gives(model, make_reranker):
    reranker = make_reranker(model.folder, max_batch_tokens=40)
    documents = random_documents(20)
    pairs = [(QUERY, document) for document in documents]
    rankings = await asyncio.gather(*(reranker.arerank(QUERY, documents) for _ in range(3)))
    expected = reranker.rerank(QUERY, documents)
    for ranking in rankings:
        assert [best.document for best in ranking] == [best.document for best in expected]
        assert [b.score for b in ranking] == pytest.approx([b.score for b in expected], rel=2e-6)
    scores = await reranker.ascores(pairs)
    np.testing.assert_allclose(scores, reranker.scores(pairs), rtol=2e-6)


def test_progress_reaches_the_total(model, make_reranker):
    reported = []
    make_reranker(model.folder, max_batch_tokens=40).rerank(
        QUERY, random_documents(20), on_progress=lambda *progress: reported.append(progress)
    )
    assert reported[-1] == (20, 20)
    assert len(reported) > 1


def test_a_closed_reranker_says_so(model, make_reranker):
    reranker = make_reranker(model.folder)
    reranker.rerank(QUERY, DOCUMENTS)
    reranker.close()
    assert reranker.is_closed
    with pytest.raises(EngineClosedError, match="reranker was closed"):
        reranker.rerank(QUERY, DOCUMENTS)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_is_refused(model, make_reranker):
    reranker = make_reranker(model.folder)
    reranker.rerank(QUERY, DOCUMENTS)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, 3.12 on
        child = os.fork()
    if child == 0:
        try:
            reranker.rerank(QUERY, DOCUMENTS)
        except ForkedProcessError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0


def test_equal_configurations_share_a_reranker(model, monkeypatch):
    monkeypatch.setenv("MLX_BACKENDS_RERANK_MODEL", str(model.folder))
    named = registry.get_reranker(RerankerConfig(model=str(model.folder)))
    assert registry.get_reranker(RerankerConfig()) is named
    assert registry.get_reranker(RerankerConfig(max_batch_tokens=9)) is not named
    registry.close_all()
    assert named.is_closed
    assert registry.get_reranker(RerankerConfig()) is not named
    registry.close_all()


def test_results_compare_and_do_not_change():
    assert Reranked(0, 0.5, "a") == Reranked(0, 0.5, "a")
    with pytest.raises(AttributeError):
        Reranked(0, 0.5, "a").score = 1.0
