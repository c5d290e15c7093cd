"""Tokenizers of every kind that models ship, trained on the standard library's docstrings."""

import importlib
import json
import random
from collections.abc import Callable
from pathlib import Path

import pytest
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

DOCUMENTED = (
    "argparse", "asyncio", "collections", "datetime", "decimal", "email", "functools", "heapq",
    "inspect", "ipaddress", "json", "logging", "pathlib", "pickle", "random", "statistics",
    "string", "subprocess", "tarfile", "textwrap", "threading", "unittest", "zipfile",
)  # fmt: skip
SPECIAL = ["<|im_start|>", "<|im_end|>", "<|endoftext|>"]
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")


def _corpus() -> list[str]:
    texts = []
    for name in DOCUMENTED:
        module = importlib.import_module(name)
        texts.append(module.__doc__ or "")
        documents = [getattr(value, "__doc__", None) for value in vars(module).values()]
        texts += [document for document in documents if isinstance(document, str)]
    rare = "中文 日本語 한국어 Русский عربي हिन्दी café 👍 👩\u200d👧 1234\n\n\t x = {'a': 1}\r\n"
    return [*texts, rare * 20]


@pytest.fixture(scope="session")
def corpus() -> list[str]:
    return _corpus()


def _byte_level(
    corpus: list[str],
    pre_tokenizer: pre_tokenizers.PreTokenizer,
    normalizer: normalizers.Normalizer | None = None,
) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    trainer = trainers.BpeTrainer(
        vocab_size=1_500,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(corpus, trainer)
    tokenizer.add_special_tokens(SPECIAL)
    tokenizer.add_tokens([AddedToken("<tool_call>", normalized=False)])
    return tokenizer


def _split(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(pattern), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


@pytest.fixture(scope="session")
def byte_level_tokenizers(corpus: list[str]) -> dict[str, Tokenizer]:
    gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = pre_tokenizers.Digits(individual_digits=True)
    return {
        "gpt2": _byte_level(corpus, gpt2),
        "llama3": _byte_level(corpus, _split(LLAMA3)),
        "qwen2": _byte_level(corpus, _split(QWEN2), normalizers.NFC()),
        "smollm": _byte_level(corpus, pre_tokenizers.Sequence([digits, gpt2])),
    }


@pytest.fixture(scope="session")
def sentencepiece_tokenizer(corpus: list[str]) -> Tokenizer:
    """As Llama 2 ships it: BPE over whole text, "▁" for spaces, bytes for unknown characters."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, unk_token="<unk>", fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(
        vocab_size=1_200,
        special_tokens=["<unk>", "<s>", "</s>", *byte_tokens],
        max_token_length=12,
        limit_alphabet=80,
        show_progress=False,
    )
    tokenizer.train_from_iterator((word for text in corpus for word in text.split("\n")), trainer)
    spec = json.loads(tokenizer.to_str())
    spec["added_tokens"] = [
        token for token in spec["added_tokens"] if token["content"] not in byte_tokens
    ]
    return Tokenizer.from_str(json.dumps(spec))


@pytest.fixture(scope="session")
def unigram_tokenizer(corpus: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=600, special_tokens=["<unk>", "</s>"], unk_token="<unk>", show_progress=False
    )
    tokenizer.train_from_iterator(corpus[:200], trainer)
    return tokenizer


@pytest.fixture(scope="session")
def wordpiece_tokenizer(corpus: list[str]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    trainer = trainers.WordPieceTrainer(
        vocab_size=600, special_tokens=["[UNK]", "[CLS]", "[SEP]"], show_progress=False
    )
    tokenizer.train_from_iterator(corpus[:200], trainer)
    return tokenizer


@pytest.fixture
def write_folder(tmp_path: Path) -> Callable[..., Path]:
    """Write a model's folder: a tokenizer, and JSON or text files by name (dots as ``__``)."""

    def write(tokenizer: Tokenizer | None = None, **files: object) -> Path:
        if tokenizer is not None:
            tokenizer.save(str(tmp_path / "tokenizer.json"))
        for name, content in files.items():
            text = content if isinstance(content, str) else json.dumps(content)
            (tmp_path / name.replace("__", ".")).write_text(text, encoding="utf-8")
        return tmp_path

    return write


@pytest.fixture(scope="session")
def random_texts() -> Callable[[int, int], list[str]]:
    """Random text of every kind: words, code, any code point, runs, marks and special tokens."""
    alphabets = (
        "etaoin shrdlu",
        "abc XYZ 0123456789 .,;:!?'\"()[]{}<>|_-+=/\\@#$%^&*~`",
        " \t\n\r\u00a0\u2003\u3000\u2028\x0b\x0c\x85",
        "'sStTrReEvVmMlLdD \u017f",
        "e\u0301a\u0300\u0316n\u0303ﬁÅ\u212b\u1100\u1161\u11a8가각",
        "中文字日本語한국어Русскийعربيहिन्दी",
        "👍👩\u200d👧🏽🇩🇪❤\ufe0f🏴\U000e0067\U000e007f",
        "0123456789½Ⅷ٣४",
        "\x00\x01\x1b\x7f\x80\x9f\u200b\ufeff\ufffd\uffff",
    )

    def one(rng: random.Random) -> str:
        parts = []
        for _ in range(rng.randint(0, 6)):
            kind = rng.randrange(5)
            if kind == 0:
                parts += [_any_character(rng) for _ in range(rng.randint(1, 6))]
            elif kind == 1:
                parts.append(rng.choice(rng.choice(alphabets)) * rng.randint(1, 12))
            elif kind == 2 and rng.random() < 0.3:
                parts.append(rng.choice([*SPECIAL, "<tool_call>", "<|im_", "end|>"]))
            else:
                parts += rng.choices(rng.choice(alphabets), k=rng.randint(1, 12))
        return "".join(parts)

    def many(count: int, seed: int) -> list[str]:
        rng = random.Random(seed)
        return [one(rng) for _ in range(count)]

    return many


def _any_character(rng: random.Random) -> str:
    low, high = rng.choice(((0, 0x250), (0, 0xD800), (0xE000, 0x110000)))
    return chr(rng.randrange(low, high))
