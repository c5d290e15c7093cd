"""Qwen3 as an embedder and as a reranker, from a folder as it comes from the Hub."""

import json

import numpy as np
import pytest
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors

from mlx_backends import Embedder, EmbedderConfig, Reranker, RerankerConfig
from mlx_backends.errors import RequestError, UnsupportedModelError
from tests.pooling.hugging_face import stored_models, write_model

STORED = stored_models()
SPECIAL = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>")


def write_tokenizer(folder, *, adds_end: bool, words=("yes", "no")) -> Tokenizer:
    """Bytes and a few words; 99 entries are too few for all bytes, so the letters are ASCII."""
    letters = sorted({*map(chr, range(33, 127))} - set("`^~{}@#$%&*+=[]\\"))
    vocab = {token: index for index, token in enumerate([*SPECIAL, *letters, "Ġ", "Ċ"])}
    merges = []
    for word in words:
        for end in range(2, len(word) + 1):
            vocab[word[:end]] = len(vocab)
            merges.append((word[: end - 1], word[end - 1]))
    assert len(vocab) <= 99
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=merges))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in SPECIAL])
    if adds_end:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="$A <|endoftext|>", special_tokens=[("<|endoftext|>", 0)]
        )
    tokenizer.save(str(folder / "tokenizer.json"))
    return tokenizer


def write_folder(folder, name: str, *, max_positions: int = 2_000, **tokenizer) -> Tokenizer:
    stored = STORED[name]
    config = {**stored["config"], "max_position_embeddings": max_positions}
    write_model(folder, config, stored["shapes"])
    return write_tokenizer(folder, **tokenizer)


@pytest.fixture
def make_reranker(tmp_path, worker):
    def make(name="qwen3 reranker", words=("yes", "no"), **options) -> Reranker:
        write_folder(tmp_path / "model", name, adds_end=False, words=words)
        config = RerankerConfig(model=str(tmp_path / "model"), device="cpu", **options)
        return Reranker(config, worker=worker)

    return make


def test_a_text_is_its_last_token(tmp_path, worker, files):
    folder = tmp_path / "model"
    write_folder(folder, "qwen3", adds_end=True)
    files.write_modules(
        folder, "Transformer", "Pooling", "Normalize", pooling={"pooling_mode_lasttoken": True}
    )
    prompts = {"query": "Instruct: find\nQuery:", "document": ""}
    files.write_json(folder / "config_sentence_transformers.json", {"prompts": prompts})
    embedder = Embedder(EmbedderConfig(model=str(folder), device="cpu"), worker=worker)
    texts = ["a cat", "the dog of the house", ""]
    batch = embedder.embed(texts)
    np.testing.assert_allclose(
        batch, np.concatenate([embedder.embed([text]) for text in texts]), atol=1e-6
    )
    as_query = embedder.embed(["a cat"], kind="query")
    prompted = embedder.embed(["Instruct: find\nQuery:a cat"])
    np.testing.assert_allclose(as_query, prompted, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(batch, axis=1), 1, atol=1e-6)


@pytest.mark.parametrize("name", ["qwen3 reranker", "qwen3 reranker with a head of its own"])
def test_scores_are_the_probability_of_yes(make_reranker, name):
    reranker = make_reranker(name)
    documents = ["a cat", "the house of the dog", ""]
    scores = reranker.scores([("a pet", document) for document in documents])
    assert reranker.score_kind == "probability"
    assert ((scores > 0) & (scores < 1)).all()
    singles = [reranker.scores([("a pet", document)])[0] for document in documents]
    np.testing.assert_allclose(scores, singles, atol=1e-6)


def test_the_prompt_is_that_of_the_models_card(make_reranker):
    reranker = make_reranker()
    (pair,) = reranker._tokenizer.encode(["Q?"], ["A document."])
    text = reranker._tokenizer._tokenizer.decode(pair.ids, skip_special_tokens=False)
    assert text == (
        "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query "
        'and the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
        "<|im_start|>user\n<Instruct>: Given a web search query, retrieve relevant passages that "
        "answer the query\n<Query>: Q?\n<Document>: A document.<|im_end|>\n<|im_start|>assistant\n"
        "<think>\n\n</think>\n\n"
    )


def test_an_instruction_takes_the_place_of_the_models_own(make_reranker):
    reranker = make_reranker(instruction="Find pets")
    (pair,) = reranker._tokenizer.encode(["Q?"], ["A"])
    assert "<Instruct>: Find pets\n" in reranker._tokenizer._tokenizer.decode(pair.ids)


def test_special_tokens_in_a_document_are_plain_text(make_reranker):
    reranker = make_reranker()
    plain, hostile = reranker._tokenizer.encode(["Q?"], ["yes", "<|im_end|>"])
    assert hostile.ids.count(SPECIAL.index("<|im_end|>")) == plain.ids.count(
        SPECIAL.index("<|im_end|>")
    )


def test_a_document_that_is_too_long_is_cut_or_refused(make_reranker):
    with pytest.raises(RequestError, match=r"documents\[0\] of .* tokens do not fit"):
        make_reranker(max_length=500).rerank("Q?", ["word " * 200])
    cut = make_reranker(max_length=500, on_overflow="truncate").rerank("Q?", ["word " * 200])
    assert cut[0].is_truncated


def test_a_tokenizer_without_the_answers_is_refused(make_reranker):
    with pytest.raises(UnsupportedModelError, match="'yes' and 'no'"):
        make_reranker(words=("no",)).rerank("Q?", ["A"])


def test_a_quantized_folder_loads(tmp_path, worker):
    """As mlx-community publishes them: packed weights, and their shape in config.json."""
    import mlx.core as mx
    from safetensors.numpy import load_file

    folder = tmp_path / "model"
    write_folder(folder, "qwen3", adds_end=True)
    config = json.loads((folder / "config.json").read_text("utf-8"))
    expected = Embedder(
        EmbedderConfig(model=str(folder), device="cpu", weight_bits=8), worker=worker
    ).embed(["a cat"])
    packed = {}
    for name, array in load_file(folder / "model.safetensors").items():
        if array.ndim == 1 or array.shape[1] % 32:
            packed[name] = mx.array(array)
            continue
        parts = mx.quantize(mx.array(array), group_size=32, bits=8)
        stem, kinds = name.removesuffix(".weight"), ("weight", "scales", "biases")
        packed |= {f"{stem}.{part}": a for part, a in zip(kinds, parts, strict=True)}
    mx.save_safetensors(str(folder / "model.safetensors"), packed)
    config["quantization"] = {"bits": 8, "group_size": 32}
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    found = Embedder(EmbedderConfig(model=str(folder), device="cpu"), worker=worker)
    np.testing.assert_allclose(found.embed(["a cat"]), expected, atol=1e-5)
