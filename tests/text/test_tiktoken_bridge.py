import json
import pickle

import numpy as np
import pytest
import tiktoken
from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    trainers,
)

from mlx_backends.errors import ModelLoadError
from mlx_backends.text.added_tokens import AddedTokens
from mlx_backends.text.byte_alphabet import CHARACTER_OF
from mlx_backends.text.tiktoken_bridge import NfcEncoding, bridge, encode_pieces

KINDS = ["gpt2", "llama3", "qwen2", "smollm"]


def spec_of(tokenizer: Tokenizer) -> dict:
    return json.loads(tokenizer.to_str())


def encoding_of(tokenizer: Tokenizer) -> tiktoken.Encoding:
    result = bridge(tokenizer)
    assert result.reason is None
    assert result.encoding is not None
    return result.encoding


@pytest.mark.parametrize("kind", KINDS)
def test_ids_equal_those_of_tokenizers(kind, byte_level_tokenizers, random_texts):
    library = byte_level_tokenizers[kind]
    encoding, added = encoding_of(library), AddedTokens.of(library)
    plain = Tokenizer.from_str(library.to_str())
    plain.encode_special_tokens = True
    texts = random_texts(10_000, KINDS.index(kind))
    expected = library.encode_batch_fast(texts, add_special_tokens=False)
    without_special = plain.encode_batch_fast(texts, add_special_tokens=False)
    for text, ids, plain_ids in zip(texts, expected, without_special, strict=True):
        assert encode_pieces(encoding, added, text) == ids.ids, text
        ours = encode_pieces(encoding, added, text, parse_special=False)
        assert ours == plain_ids.ids, text
        assert encoding.encode(text, allowed_special="all") == ids.ids, text


@pytest.mark.parametrize("kind", KINDS)
def test_decodes_as_tokenizers(kind, byte_level_tokenizers, random_texts):
    library = byte_level_tokenizers[kind]
    encoding = encoding_of(library)
    for text in random_texts(300, 9):
        ids = library.encode(text, add_special_tokens=False).ids
        assert encoding.decode(ids) == library.decode(ids, skip_special_tokens=False)
        if kind != "qwen2":
            assert encoding.decode(ids) == text


@pytest.mark.parametrize("kind", KINDS)
def test_all_corpus_texts(kind, byte_level_tokenizers, corpus):
    library = byte_level_tokenizers[kind]
    encoding = encoding_of(library)
    for text in corpus:
        assert encoding.encode_ordinary(text) == library.encode(text, add_special_tokens=False).ids


def test_every_assigned_code_point_is_split_alike(byte_level_tokenizers):
    """The two libraries carry Unicode tables of their own."""
    library = byte_level_tokenizers["llama3"]
    encoding = encoding_of(library)
    codes = [*range(0xD800), *range(0xE000, 0x32400), *range(0xE0000, 0xE0200)]
    for start in range(0, len(codes), 4_096):
        text = "".join(f"'{chr(code)} {chr(code)}1" for code in codes[start : start + 4_096])
        assert encoding.encode_ordinary(text) == library.encode(text, add_special_tokens=False).ids


def test_reads_a_file(byte_level_tokenizers, write_folder):
    folder = write_folder(byte_level_tokenizers["gpt2"])
    assert bridge(folder / "tokenizer.json").encoding is not None


def test_shipped_merges_with_all_pairs(byte_level_tokenizers, random_texts):
    """Files converted from tiktoken, as Llama 3's, list every pair that makes a token."""
    spec = spec_of(byte_level_tokenizers["llama3"])
    vocab = spec["model"]["vocab"]
    made = sorted({a + b for a, b in spec["model"]["merges"]}, key=vocab.__getitem__)
    spec["model"]["merges"] = [
        [token[:cut], token[cut:]]
        for token in made
        for cut in range(1, len(token))
        if token[:cut] in vocab and token[cut:] in vocab
    ]
    spec["model"]["ignore_merges"] = True
    encoding = bridge(spec).encoding
    assert encoding is not None
    library = Tokenizer.from_str(json.dumps(spec))
    for text in random_texts(500, 5):
        assert encoding.encode(text, allowed_special="all") == library.encode(text).ids


def test_nfc_is_not_applied_across_special_tokens(byte_level_tokenizers):
    library = byte_level_tokenizers["qwen2"]
    encoding = encoding_of(library)
    assert isinstance(encoding, NfcEncoding)
    text = "e\u0301<|im_end|>\u0338e\u0301"
    expected = library.encode(text).ids
    assert encoding.encode(text, allowed_special="all") == expected
    assert encoding.encode_to_numpy(text, allowed_special="all").tolist() == expected
    ordinary = encoding.encode_ordinary("e\u0301")
    assert ordinary == encoding.encode_ordinary("é") == encoding.encode("e\u0301")
    assert encoding.encode_with_unstable("é é") == encoding.encode_with_unstable("e\u0301 e\u0301")
    with pytest.raises(ValueError, match="disallowed special token"):
        encoding.encode("é<|im_end|>")


@pytest.mark.parametrize("kind", ["llama3", "qwen2"])
def test_encodings_pickle(kind, byte_level_tokenizers):
    encoding = encoding_of(byte_level_tokenizers[kind])
    copy = pickle.loads(pickle.dumps(encoding))
    assert type(copy) is type(encoding)
    assert np.array_equal(
        copy.encode_to_numpy("cafe\u0301"), encoding.encode_to_numpy("cafe\u0301")
    )


def _swap_ids(spec):
    vocab = spec["model"]["vocab"]
    last, before = sorted(vocab, key=vocab.__getitem__)[-2:]
    vocab[last], vocab[before] = vocab[before], vocab[last]


def _drop_a_byte(spec):
    spec["model"]["vocab"]["unused"] = spec["model"]["vocab"].pop("\u0143")


def _make_unstable(spec):
    # With "th" before "he", "the" comes to "th" + "e"; as "t" + "he" it is never made.
    vocab = {character: index for index, character in enumerate(CHARACTER_OF.values())}
    vocab |= {"th": 256, "he": 257, "the": 258}
    merges = [["t", "h"], ["h", "e"], ["t", "he"]]
    spec.update(added_tokens=[])
    spec["model"].update(vocab=vocab, merges=merges)


def _make_twice(spec):
    vocab = {character: index for index, character in enumerate(CHARACTER_OF.values())}
    vocab |= {"th": 256, "he": 257, "the": 258}
    merges = [["t", "h"], ["h", "e"], ["th", "e"], ["a", "b"], ["t", "he"]]
    vocab["ab"] = 259
    spec.update(added_tokens=[])
    spec["model"].update(vocab=vocab, merges=merges)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_swap_ids, "ids do not grow"),
        (_drop_a_byte, "single bytes"),
        (_make_unstable, "what its bytes come to"),
        (_make_twice, "two places"),
        (lambda s: s["model"].update(byte_fallback=True), "byte_fallback"),
        (lambda s: s["model"].update(end_of_word_suffix="</w>"), "end_of_word_suffix"),
        (lambda s: s["model"].update(dropout=0.1), "dropout"),
        (lambda s: s["pre_tokenizer"].update(add_prefix_space=True), "space is added"),
        (lambda s: s.update(pre_tokenizer=None), "does not end in ByteLevel"),
        (lambda s: s.update(normalizer={"type": "NFKC"}), "normalizer is NFKC"),
        (
            lambda s: s.update(
                normalizer={"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "NFD"}]}
            ),
            "2 normalizers",
        ),
        (lambda s: s["added_tokens"][0].update(lstrip=True), "white space beside it"),
        (
            lambda s: s.update(
                normalizer={"type": "NFC"},
                added_tokens=[{**s["added_tokens"][0], "normalized": True}],
            ),
            "searched in normalized text",
        ),
    ],
)
def test_refuses_what_tiktoken_cannot_express(change, reason, byte_level_tokenizers):
    spec = spec_of(byte_level_tokenizers["gpt2"])
    change(spec)
    result = bridge(spec)
    assert result.encoding is None
    assert reason in (result.reason or "")


@pytest.mark.parametrize(
    ("steps", "reason"),
    [
        ([{"Regex": r"\w+|\W"}], r"\w"),
        ([{"Regex": r"^a|[\s\S]"}], "^"),
        ([{"Regex": r"\p{N}{1,3}+|[\s\S]"}], "}+"),
        ([{"Regex": r"(?m:.)|[\s\S]"}], "(?"),
        ([{"String": " "}], "fixed string"),
        ([{"Regex": r"\p{N}"}, {"Regex": r"\p{L}+|[\s\S]"}], "Split + Split"),
        # Half of the text is not matched: tiktoken would drop it.
        ([{"Regex": r"\p{L}+"}], "libraries differ"),
    ],
)
def test_refuses_patterns(steps, reason, byte_level_tokenizers):
    spec = spec_of(byte_level_tokenizers["llama3"])
    splits = [
        {"type": "Split", "pattern": step, "behavior": "Isolated", "invert": False}
        for step in steps
    ]
    spec["pre_tokenizer"]["pretokenizers"][:1] = splits
    result = bridge(spec)
    assert result.encoding is None
    assert reason in (result.reason or "")


@pytest.mark.parametrize("model", ["unigram", "wordpiece", "sentencepiece"])
def test_refuses_other_models(
    model, unigram_tokenizer, wordpiece_tokenizer, sentencepiece_tokenizer
):
    library = {
        "unigram": unigram_tokenizer,
        "wordpiece": wordpiece_tokenizer,
        "sentencepiece": sentencepiece_tokenizer,
    }[model]
    result = bridge(spec_of(library))
    assert result.encoding is None
    assert result.reason


def test_tokens_that_no_merge_makes(byte_level_tokenizers, random_texts):
    """Unreachable without ``ignore_merges``; with it they are whole pieces, unlike any rank."""
    spec = spec_of(byte_level_tokenizers["gpt2"])
    spec["model"]["vocab"]["Ġxyzzy"] = max(token["id"] for token in spec["added_tokens"]) + 1
    library = Tokenizer.from_str(json.dumps(spec))
    encoding = encoding_of(library)
    assert encoding.encode(" xyzzy") == library.encode(" xyzzy").ids
    spec["model"]["ignore_merges"] = True
    assert "no merge makes" in (bridge(spec).reason or "")


@pytest.mark.parametrize("content", ["", "[]", "{", "nonsense", '{"model": []}', '{"model": {}}'])
def test_malformed_files(content, tmp_path):
    path = tmp_path / "tokenizer.json"
    path.write_text(content)
    with pytest.raises(ModelLoadError, match=r"tokenizer\.json"):
        bridge(path)


def test_added_tokens_that_overlap(byte_level_tokenizers):
    """Longest first; those searched in normalized text after the others."""
    library = Tokenizer.from_str(byte_level_tokenizers["gpt2"].to_str())
    library.add_tokens([AddedToken("<a>", normalized=True), AddedToken("  ", normalized=True)])
    library.add_tokens([AddedToken("a><", normalized=False), AddedToken("a><b", normalized=False)])
    encoding, added = encoding_of(library), AddedTokens.of(library)
    for text in ("<a><b", "<a><a>", "x<a>  <a>   a><", "a><a><b<a>", "    "):
        assert encode_pieces(encoding, added, text) == library.encode(text).ids, text


def test_other_merge_formats(byte_level_tokenizers):
    spec = spec_of(byte_level_tokenizers["gpt2"])
    spec["model"]["merges"] = [" ".join(pair) for pair in spec["model"]["merges"]]
    assert bridge(spec).encoding is not None


def test_trained_with_special_tokens_first():
    library = Tokenizer(models.BPE())
    library.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\s+|\S+"), "removed", invert=True),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    library.normalizer = normalizers.Sequence([normalizers.NFC()])
    library.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        special_tokens=["<s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    library.train_from_iterator(["abab abc abc ab", "xyz xyzz"], trainer)
    encoding = encoding_of(library)
    text = "<s>abc xyzz  ab\n"
    assert encoding.encode(text, allowed_special="all") == library.encode(text).ids
