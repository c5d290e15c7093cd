"""The byte-level BPE of both bundled models.

The split pattern is one that `tiktoken` understands, digits stand alone and nothing is normalised,
so that a tiktoken encoding can reproduce the ids.
"""

import json
from collections.abc import Iterable
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from tokenizers.trainers import BpeTrainer

from mlx_backends.bundled.training import chatml

VOCABULARY_SIZE = 4096
SPLIT_PATTERN = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
    r"|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPECIAL_TOKENS = [chatml.END_OF_TEXT, chatml.IM_START, chatml.IM_END]
MARKUP_TOKENS = [chatml.TOOL_CALL_START, chatml.TOOL_CALL_END]


def train(texts: Iterable[str]) -> Tokenizer:
    """Learn the merges from texts."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(SPLIT_PATTERN), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.ByteLevel(trim_offsets=False)
    trainer = BpeTrainer(
        vocab_size=VOCABULARY_SIZE - len(MARKUP_TOKENS),
        special_tokens=SPECIAL_TOKENS,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    tokenizer.add_tokens(
        [AddedToken(text, special=False, normalized=False) for text in MARKUP_TOKENS]
    )
    return tokenizer


def mark_pairs(path: Path) -> None:
    """Make a `tokenizer.json` write pairs as a cross-encoder reads them.

    The chat markup's tokens stand in for [CLS] and [SEP], which the vocabulary has not.
    """
    tokenizer = Tokenizer.from_file(str(path))
    start, end = chatml.IM_START, chatml.IM_END
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{start} $A {end}",
        pair=f"{start} $A {end} $B:1 {end}:1",
        special_tokens=[(text, tokenizer.token_to_id(text)) for text in (start, end)],
    )
    tokenizer.save(str(path))


def write_config(folder: Path, *, max_length: int, chat: bool) -> None:
    """Write `tokenizer_config.json`."""
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "pad_token": chatml.END_OF_TEXT,
        "eos_token": chatml.IM_END if chat else chatml.END_OF_TEXT,
        "bos_token": None,
        "unk_token": None,
        "clean_up_tokenization_spaces": False,
        "model_max_length": max_length,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    if chat:
        config["chat_template"] = chatml.CHAT_TEMPLATE
    text = json.dumps(config, indent=2, ensure_ascii=False)
    (folder / "tokenizer_config.json").write_text(text + "\n", encoding="utf-8")
