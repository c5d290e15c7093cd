import asyncio
import json
import os
import random
import threading
import warnings

import numpy as np
import pytest

from mlx_backends import bundled
from mlx_backends.errors import (
    ConfigError,
    EngineClosedError,
    ForkedProcessError,
    ModelLoadError,
    NumericalError,
    RequestError,
)

# So many batches that they outlast what a busy machine takes to wake the thread that waits.
MANY = 500
TEXTS = ["the cat sat on the mat .", "a dog", "", "old tree , new river and a small cat", "the cat"]


def expected_vectors(encoder, texts: list[str]) -> np.ndarray:
    """Mean of the reference's token vectors, at unit length."""
    encoder.tokenizer.no_truncation()
    encoder.tokenizer.no_padding()
    rows = []
    for text in texts:
        ids = encoder.tokenizer.encode(text).ids
        mean = encoder.reference(encoder.weights, encoder.config, ids).mean(axis=0)
        rows.append(mean / np.linalg.norm(mean))
    return np.array(rows)


def random_texts(count: int) -> list[str]:
    rng = random.Random(3)
    return [" ".join(rng.choices(TEXTS[3].split(), k=rng.randint(0, 20))) for _ in range(count)]


def test_matches_the_reference(encoder, make_embedder):
    vectors = make_embedder(encoder.folder).embed(TEXTS)
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected_vectors(encoder, TEXTS), atol=1e-5)


def test_a_batch_gives_what_single_texts_give(encoder, make_embedder):
    embedder = make_embedder(encoder.folder)
    texts = random_texts(40)
    singles = np.concatenate([embedder.embed([text]) for text in texts])
    np.testing.assert_allclose(embedder.embed(texts), singles, atol=1e-6)


def test_order_is_kept_over_many_batches(encoder, make_embedder):
    texts = random_texts(60)
    many = make_embedder(encoder.folder, max_batch_tokens=40).embed(texts)
    np.testing.assert_allclose(many, expected_vectors(encoder, texts), atol=1e-5)


def test_progress_reaches_the_total(encoder, make_embedder):
    reported = []
    embedder = make_embedder(encoder.folder, max_batch_tokens=40)
    embedder.embed(random_texts(30), on_progress=lambda *progress: reported.append(progress))
    assert reported[-1] == (30, 30)
    assert reported == sorted(reported)
    assert len(reported) > 1


def test_no_texts_give_no_rows(encoder, make_embedder):
    assert make_embedder(encoder.folder).embed([]).shape == (0, 32)


def test_facts_are_known_before_weights_load(encoder, make_embedder):
    (encoder.folder / "model.safetensors").unlink()
    embedder = make_embedder(encoder.folder)
    assert (embedder.dimensions, embedder.max_length) == (32, 24)
    assert embedder.model_name == str(encoder.folder)
    assert embedder.count("the cat") == 4
    assert not embedder.is_closed


def test_the_constructor_reads_nothing(tmp_path, make_embedder):
    make_embedder(tmp_path / "nowhere")


def test_prompts_are_part_of_the_text(encoder, files, make_embedder):
    files.write_json(
        encoder.folder / "config_sentence_transformers.json", {"prompts": {"query": "query "}}
    )
    embedder = make_embedder(encoder.folder)
    as_query = embedder.embed(["the cat"], kind="query")
    np.testing.assert_allclose(as_query, embedder.embed(["query the cat"]), atol=1e-6)
    assert embedder.count("the cat", kind="query") == embedder.count("the cat") + 1


def test_a_long_text_is_an_error_before_anything_is_computed(encoder, make_embedder):
    (encoder.folder / "model.safetensors").unlink()
    texts = ["the cat", "the cat " * 12]
    with pytest.raises(RequestError, match=r"texts\[1\] has 26 tokens.* takes 24") as raised:
        make_embedder(encoder.folder).embed(texts)
    assert "truncate" in str(raised.value)


def test_truncation_keeps_the_special_tokens(encoder, make_embedder):
    embedder = make_embedder(encoder.folder, on_overflow="truncate", max_length=6)
    cut = embedder.embed(["the cat sat on the mat ."])
    np.testing.assert_allclose(cut, embedder.embed(["the cat sat on"]), atol=1e-6)


def test_a_text_of_exactly_the_longest_length_is_taken(encoder, make_embedder):
    assert make_embedder(encoder.folder).embed(["the cat " * 11]).shape == (1, 32)


def test_max_length_over_the_models_own_is_refused(encoder, make_embedder):
    with pytest.raises(ConfigError, match=r"25.* 24"):
        make_embedder(encoder.folder, max_length=25).embed(["the cat"])


def test_max_length_must_leave_room_for_a_token(encoder, make_embedder):
    with pytest.raises(ModelLoadError, match="special"):
        make_embedder(encoder.folder, max_length=2).embed(["the cat"])


@pytest.mark.parametrize("texts", [["the cat", 3], [None], "the cat"])
def test_what_is_no_text_is_refused(encoder, make_embedder, texts):
    with pytest.raises(RequestError, match="texts"):
        make_embedder(encoder.folder).embed(texts)


def test_vectors_that_are_not_finite_are_refused(encoder, files, make_embedder, tmp_path):
    made = files.write_encoder(tmp_path / "broken", dtype=np.float16)
    path = made.folder / "model.safetensors"
    raw = bytearray(path.read_bytes())
    begin = 8 + int.from_bytes(raw[:8], "little")
    header = json.loads(raw[8:begin])
    offset = begin + header["embeddings.LayerNorm.bias"]["data_offsets"][0]
    raw[offset : offset + 2] = np.array([np.nan], np.float16).tobytes()
    path.write_bytes(raw)
    with pytest.raises(NumericalError, match=r"texts\[0\]"):
        make_embedder(made.folder).embed(["the cat"])


def test_ids_outside_the_vocabulary_never_reach_the_model(tmp_path, files, make_embedder):
    made = files.write_encoder(tmp_path / "small", vocab_size=10)
    with pytest.raises(ModelLoadError, match="10 tokens"):
        make_embedder(made.folder).embed(["the cat sat on the river"])


@pytest.mark.parametrize("content", ["", "{}", '{"model": {"type": "WordPiece"}}'])
def test_a_malformed_tokenizer_is_named(encoder, make_embedder, content):
    (encoder.folder / "tokenizer.json").write_text(content, encoding="utf-8")
    with pytest.raises(ModelLoadError, match=r"tokenizer\.json"):
        make_embedder(encoder.folder).embed(["the cat"])


def test_a_missing_tokenizer_is_named(encoder, make_embedder):
    (encoder.folder / "tokenizer.json").unlink()
    with pytest.raises(ModelLoadError, match=r"tokenizer\.json"):
        make_embedder(encoder.folder).count("the cat")


def test_lowercasing_goes_by_the_file(encoder, files, make_embedder):
    files.write_json(encoder.folder / "sentence_bert_config.json", {"do_lower_case": True})
    embedder = make_embedder(encoder.folder)
    np.testing.assert_array_equal(embedder.embed(["The CAT"]), embedder.embed(["the cat"]))


def test_threads_share_an_embedder(encoder, make_embedder):
    embedder = make_embedder(encoder.folder, max_batch_tokens=40)
    texts = random_texts(20)
    results: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: results.append(embedder.embed(texts))) for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    for result in results:
        np.testing.assert_allclose(result, results[0], atol=1e-6)


async def test_tasks_share_an_embedder(encoder, make_embedder):
    embedder = make_embedder(encoder.folder, max_batch_tokens=40)
    texts = random_texts(20)
    results = await asyncio.gather(*(embedder.aembed(texts) for _ in range(4)))
    for result in results:
        np.testing.assert_allclose(result, embedder.embed(texts), atol=1e-6)


async def test_errors_reach_the_awaiting_caller(encoder, make_embedder):
    (encoder.folder / "model.safetensors").unlink()
    with pytest.raises(ModelLoadError):
        await make_embedder(encoder.folder).aembed(["the cat"])


async def test_other_jobs_run_between_batches(encoder, make_embedder, worker):
    done = []
    embedder = make_embedder(encoder.folder, max_batch_tokens=24)

    def post_job(finished: int, total: int) -> None:
        worker.post(lambda: done.append(finished))

    await embedder.aembed(random_texts(MANY), on_progress=post_job)
    assert len(done) > 1


async def test_cancelling_stops_further_batches(encoder, make_embedder, worker):
    progress = []
    embedder = make_embedder(encoder.folder, max_batch_tokens=24)

    def cancel(finished: int, total: int) -> None:
        progress.append(finished)
        task.cancel()

    task = asyncio.create_task(embedder.aembed(random_texts(10), on_progress=cancel))
    with pytest.raises(asyncio.CancelledError):
        await task
    worker.run(lambda: None).result()
    assert len(progress) == 1


def test_a_closed_embedder_refuses(encoder, make_embedder):
    embedder = make_embedder(encoder.folder)
    embedder.embed(["the cat"])
    embedder.close()
    embedder.close()
    assert embedder.is_closed
    with pytest.raises(EngineClosedError):
        embedder.embed(["the cat"])


def test_closing_after_the_worker_is_harmless(encoder, make_embedder, worker):
    embedder = make_embedder(encoder.folder)
    worker.close()
    embedder.close()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_is_refused(encoder, make_embedder):
    embedder = make_embedder(encoder.folder)
    embedder.embed(["the cat"])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of forking with threads, 3.12 on
        child = os.fork()
    if child == 0:
        try:
            embedder.embed(["the cat"])
        except ForkedProcessError:
            os._exit(42)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42


def test_the_bundled_encoder_finds_paraphrases(make_embedder):
    embedder = make_embedder(bundled.path("encoder"))
    query = embedder.embed(["How large is the cache?"], kind="query")
    documents = embedder.embed(["The cache holds 4 GB.", "Dogs bark at night."])
    similarities = (query @ documents.T)[0]
    assert similarities[0] > similarities[1]
    np.testing.assert_allclose(np.linalg.norm(documents, axis=1), 1.0, atol=1e-5)


@pytest.fixture
def closing_worker(worker):
    """Closes the worker behind a batch that is due."""

    def close_soon(finished: int, total: int) -> None:
        worker.run(lambda: release.wait(5))
        threading.Timer(0.1, worker.close).start()
        threading.Timer(0.2, release.set).start()

    release = threading.Event()
    yield close_soon
    release.set()


def test_a_batch_that_its_worker_drops_is_an_error(encoder, make_embedder, closing_worker):
    embedder = make_embedder(encoder.folder, max_batch_tokens=24)
    with pytest.raises(EngineClosedError):
        embedder.embed(random_texts(MANY), on_progress=closing_worker)


async def test_a_dropped_batch_does_not_look_like_cancellation(
    encoder, make_embedder, closing_worker
):
    embedder = make_embedder(encoder.folder, max_batch_tokens=24)
    with pytest.raises(EngineClosedError):
        await embedder.aembed(random_texts(MANY), on_progress=closing_worker)


def test_text_that_is_not_unicode_is_refused(encoder, make_embedder):
    with pytest.raises(RequestError):
        make_embedder(encoder.folder).embed(["\ud800"])
