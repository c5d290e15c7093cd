import base64
import contextlib
import json
import os
import random
import sys

import pytest
import tiktoken
from tokenizers import Tokenizer

from mlx_backends.errors import ModelLoadError
from mlx_backends.text import tiktoken_file
from mlx_backends.text.tiktoken_file import FAMILIES, load_tiktoken_file, tokenizer_json
from mlx_backends.text.tokenizer import Tokenizer as OurTokenizer
from mlx_backends.text.tokenizer_files import read_tokenizer_files


@pytest.fixture
def library(byte_level_tokenizers) -> Tokenizer:
    return byte_level_tokenizers["gpt2"]


def test_empty_folder_says_what_was_looked_for(tmp_path):
    with pytest.raises(ModelLoadError, match=r"tokenizer\.json, \*\.tiktoken, tiktoken\.model"):
        read_tokenizer_files(tmp_path)
    with pytest.raises(ModelLoadError, match="has no tokenizer"):
        read_tokenizer_files(tmp_path / "absent")


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", "null", "{}", '{"model": {}}', '{"model": {"type": "Nope"}}', "[" * 100_000,
     '{"version": "1.0", "model": {"type": "BPE", "vocab": {"a": -1}, "merges": []}}',
     '{"version": "1.0", "model": {"type": "BPE", "vocab": {}, "merges": ["a b"]}}'],
)  # fmt: skip
def test_malformed_tokenizer(write_folder, content):
    with pytest.raises(ModelLoadError, match=r"tokenizer\.json is not a tokenizer"):
        read_tokenizer_files(write_folder(tokenizer__json=content))


def test_tokenizer_of_random_bytes(tmp_path, library):
    source = bytearray(library.to_str().encode())
    rng = random.Random(0)
    for _ in range(100):
        spoilt = bytearray(source)
        for _ in range(3):
            spoilt[rng.randrange(len(spoilt))] = rng.randrange(256)
        (tmp_path / "tokenizer.json").write_bytes(spoilt[: rng.randrange(len(spoilt) * 2)])
        with contextlib.suppress(ModelLoadError):
            OurTokenizer.from_folder(tmp_path).encode("some text 123")


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("tokenizer_config__json", "{", "tokenizer_config.json is not valid JSON"),
        ("tokenizer_config__json", "[" * 100_000, "tokenizer_config.json is not valid JSON"),
        ("tokenizer_config__json", "[]", "tokenizer_config.json does not hold a JSON object"),
        ("special_tokens_map__json", '"a"', "special_tokens_map.json does not hold a JSON object"),
        ("generation_config__json", "3", "generation_config.json does not hold a JSON object"),
        ("config__json", "nope", "config.json is not valid JSON"),
        ("tokenizer_config__json", {"eos_token": 3}, "eos_token is not a token"),
        ("special_tokens_map__json", {"bos_token": {"content": []}}, "bos_token is not a token"),
        ("generation_config__json", {"eos_token_id": "x"}, "generation_config.json: eos_token_id"),
        ("generation_config__json", {"eos_token_id": -1}, "not a token id: -1"),
        ("generation_config__json", {"eos_token_id": True}, "not a token id: True"),
        ("generation_config__json", {"eos_token_id": [1, None]}, "not a token id: None"),
        ("config__json", {"eos_token_id": 10**30}, "config.json: eos_token_id"),
        ("tokenizer_config__json", {"chat_template": 3}, "chat_template is neither"),
        ("tokenizer_config__json", {"chat_template": [{"name": "x"}]}, "chat_template is neither"),
        ("tokenizer_config__json", {"chat_template": "a" * 70_000}, "larger than 65,536"),
        ("chat_template__jinja", "a" * 70_000, "chat_template.jinja is larger than 65,536"),
        ("tokenizer_config__json", {"added_tokens_decoder": []}, None),
        ("tokenizer_config__json", {"added_tokens_decoder": [1]}, "added_tokens_decoder is not"),
        ("tokenizer_config__json", {"added_tokens_decoder": {"x": {"content": "a"}}}, "entry 'x'"),
        ("tokenizer_config__json", {"added_tokens_decoder": {"1": {}}}, "malformed entry '1'"),
        ("tokenizer_config__json", {"added_tokens_decoder": {"9": {"content": "zz"}}}, "the id 9"),
    ],
)  # fmt: skip
def test_malformed_configuration(write_folder, library, name, content, message):
    folder = write_folder(library, **{name: content})
    if message is None:
        read_tokenizer_files(folder)
        return
    with pytest.raises(ModelLoadError) as caught:
        read_tokenizer_files(folder)
    assert message in str(caught.value)


def test_template_that_is_not_utf8(write_folder, library):
    folder = write_folder(library)
    (folder / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(ModelLoadError, match=r"chat_template\.jinja is not UTF-8"):
        read_tokenizer_files(folder)


def test_huge_and_special_files(write_folder, library, monkeypatch):
    folder = write_folder(library)
    monkeypatch.setattr("mlx_backends.text.tokenizer_files._MAX_TOKENIZER_BYTES", 100)
    with pytest.raises(ModelLoadError, match="larger than 100 bytes"):
        read_tokenizer_files(folder)
    (folder / "tokenizer.json").unlink()
    os.mkfifo(folder / "tokenizer.json")
    with pytest.raises(ModelLoadError, match="has no tokenizer"):
        read_tokenizer_files(folder)


def test_nothing_of_the_folder_is_run(write_folder, library):
    code = "open('pwned', 'w'); raise SystemExit('ran')"
    config = {
        "tokenizer_class": "Evil",
        "auto_map": {"AutoTokenizer": ["evil.Evil", "evil.Evil"]},
        "tool_parser_type": "evil",
    }
    folder = write_folder(library, evil__py=code, tokenizer_config__json=config)
    modules = set(sys.modules)
    OurTokenizer.from_folder(folder).encode("x")
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer.model").write_bytes(b"not sentencepiece")
    with pytest.raises(ModelLoadError, match="transformers could not convert"):
        OurTokenizer.from_folder(folder)
    assert not any("evil" in name for name in set(sys.modules) - modules)


def test_special_tokens_and_eos_ids(write_folder, library):
    vocab_size = library.get_vocab_size()
    im_end = library.token_to_id("<|im_end|>")
    folder = write_folder(
        library,
        special_tokens_map__json={"bos_token": {"content": "<|im_start|>"}, "eos_token": "old"},
        tokenizer_config__json={"eos_token": {"content": "<|im_end|>"}, "unk_token": None},
        generation_config__json={"eos_token_id": [5, vocab_size + 3]},
        config__json={"eos_token_id": 7},
    )
    files = read_tokenizer_files(folder)
    assert files.special_tokens == {"bos_token": "<|im_start|>", "eos_token": "<|im_end|>"}
    assert files.eos_token_ids == {5, vocab_size + 3, im_end}
    (folder / "generation_config.json").unlink()
    assert read_tokenizer_files(folder).eos_token_ids == {7, im_end}
    (folder / "config.json").write_text(json.dumps({"text_config": {"eos_token_id": 8}}))
    assert read_tokenizer_files(folder).eos_token_ids == {8, im_end}
    (folder / "config.json").unlink()
    assert read_tokenizer_files(folder).eos_token_ids == {im_end}


def test_chat_templates(write_folder, library):
    named = [{"name": "default", "template": "a"}, {"name": "tool_use", "template": "b"}]
    folder = write_folder(library, tokenizer_config__json={"chat_template": named})
    assert read_tokenizer_files(folder).chat_templates == {"default": "a", "tool_use": "b"}
    (folder / "additional_chat_templates").mkdir()
    (folder / "additional_chat_templates" / "rag.jinja").write_text("r")
    (folder / "chat_template.jinja").write_text("c")
    assert read_tokenizer_files(folder).chat_templates == {"default": "c", "rag": "r"}


def test_tokens_that_only_the_configuration_lists(write_folder, library):
    last = library.get_vocab_size()
    entries = {
        str(last + 1): {"content": "<b>", "special": False},
        str(last): {"content": "<a>", "special": True},
    }
    config = {"added_tokens_decoder": entries}
    tokenizer = OurTokenizer.from_folder(write_folder(library, tokenizer_config__json=config))
    assert tokenizer.encode("<a><b>") == [last, last + 1]
    assert tokenizer.is_special(last)
    assert not tokenizer.is_special(last + 1)


def test_truncation_and_padding_of_the_file_are_ignored(write_folder, library):
    cutting = Tokenizer.from_str(library.to_str())
    cutting.enable_truncation(2)
    cutting.enable_padding(length=50)
    tokenizer = OurTokenizer.from_folder(write_folder(cutting))
    assert tokenizer.encode("one two three four") == library.encode("one two three four").ids


def test_sentencepiece_model(write_folder, corpus, tmp_path):
    sentencepiece = pytest.importorskip("sentencepiece")
    lines = [line for text in corpus for line in text.splitlines() if line.strip()][:3_000]
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(lines),
        model_prefix=str(tmp_path / "tokenizer"),
        vocab_size=600,
        byte_fallback=True,
        model_type="bpe",
        hard_vocab_limit=False,
        minloglevel=2,
    )
    processor = sentencepiece.SentencePieceProcessor(str(tmp_path / "tokenizer.model"))
    folder = write_folder(
        tokenizer_config__json={"tokenizer_class": "LlamaTokenizer", "legacy": False},
        config__json={"model_type": "llama"},
    )
    tokenizer = OurTokenizer.from_folder(folder)
    for text in ("hello the world", "é 中"):
        assert tokenizer.decode(tokenizer.encode(text)) == processor.decode(processor.encode(text))


def ranks_of(library: Tokenizer) -> dict[bytes, int]:
    from mlx_backends.text.tiktoken_bridge import bridge

    encoding = bridge(library).encoding
    assert encoding is not None
    tokens = sorted(encoding._mergeable_ranks, key=encoding._mergeable_ranks.__getitem__)
    return {token: rank for rank, token in enumerate(tokens)}


def write_tiktoken(path, ranks: dict[bytes, int]) -> None:
    lines = (base64.b64encode(token) + b" %d\n" % rank for token, rank in ranks.items())
    path.write_bytes(b"".join(lines))


@pytest.mark.parametrize("name", FAMILIES)
def test_tiktoken_vocabulary(name, write_folder, byte_level_tokenizers, random_texts):
    family = FAMILIES[name]
    ranks = ranks_of(byte_level_tokenizers["llama3"])
    first = len(ranks)
    config = {
        "tokenizer_class": name,
        "added_tokens_decoder": {str(first + 2): {"content": "<|im_end|>", "special": True}},
    }
    folder = write_folder(tokenizer_config__json=config)
    write_tiktoken(folder / "tiktoken.model", ranks)
    assert load_tiktoken_file(folder / "tiktoken.model") == ranks
    tokenizer = OurTokenizer.from_folder(folder)
    assert tokenizer.encoding_reason is None
    assert tokenizer.vocab_size == first + family.num_special_tokens
    assert tokenizer.encode("<|im_end|>") == [first + 2]
    expected = tiktoken.Encoding(
        "own", pat_str=family.pattern, mergeable_ranks=ranks, special_tokens={}
    )
    normal = tokenizer._decoder._library.normalizer
    for text in random_texts(1_000, 4):
        normalized = normal.normalize_str(text) if normal else text
        ids = tokenizer.encode(text, parse_special=False)
        assert ids == expected.encode_ordinary(normalized), text


def test_unknown_tiktoken_family(write_folder, byte_level_tokenizers):
    folder = write_folder(tokenizer_config__json={"tokenizer_class": "Other"})
    write_tiktoken(folder / "x.tiktoken", ranks_of(byte_level_tokenizers["llama3"]))
    with pytest.raises(ModelLoadError, match="known are QWenTokenizer, TikTokenTokenizer"):
        OurTokenizer.from_folder(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "256 single bytes"),
        (b"YQ== 0\n", "256 single bytes"),
        (b"YQ== 1\n", "ranks are not 0 to 0"),
        (b"YQ==\n", "malformed in line 1"),
        (b"YQ== 0\n!! 1\n", "malformed in line 2"),
        (b"YQ== x\n", "malformed in line 1"),
        (b"YQ== " + b"9" * 10_000, "malformed in line 1"),
        (b"\xff\x00", "malformed in line 1"),
    ],
)
def test_malformed_tiktoken_file(tmp_path, content, message):
    (tmp_path / "x.tiktoken").write_bytes(content)
    with pytest.raises(ModelLoadError, match=message):
        load_tiktoken_file(tmp_path / "x.tiktoken")


def test_too_large_a_tiktoken_file(tmp_path, monkeypatch):
    monkeypatch.setattr(tiktoken_file, "MAX_TIKTOKEN_BYTES", 3)
    (tmp_path / "x.tiktoken").write_bytes(b"YQ== 0\n")
    with pytest.raises(ModelLoadError, match="larger than 3 bytes"):
        load_tiktoken_file(tmp_path / "x.tiktoken")


def test_kimi_reserves_names(byte_level_tokenizers):
    ranks = ranks_of(byte_level_tokenizers["llama3"])
    first = len(ranks)
    content = tokenizer_json(ranks, FAMILIES["TikTokenTokenizer"], {first: "[BOS]"})
    texts = [token["content"] for token in content["added_tokens"]]
    assert texts[:2] == ["[BOS]", f"<|reserved_token_{first + 1}|>"]
    assert len(texts) == 256
