"""Vocabularies in tiktoken's own format: a line of base64 and a rank for each token.

Owns their reading and their translation to a ``tokenizer.json``, so that all else sees one format.
The format holds neither the splitting pattern nor the special tokens; models that ship it keep them
in Python code, which is never run. The two that are known are written down here.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlx_backends.errors import ModelLoadError
from mlx_backends.text.byte_alphabet import characters_of

MAX_TIKTOKEN_BYTES = 64 * 2**20

_QWEN_PATTERN = (
    r"""(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"""
    r"""| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"""
)
_KIMI_UPPER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
_KIMI_LOWER = r"[\p{Ll}\p{Lm}\p{Lo}\p{M}&&[^\p{Han}]]"
_KIMI_CONTRACTION = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)?"
_KIMI_PATTERN = "|".join(
    (
        r"[\p{Han}]+",
        rf"[^\r\n\p{{L}}\p{{N}}]?{_KIMI_UPPER}*{_KIMI_LOWER}+{_KIMI_CONTRACTION}",
        rf"[^\r\n\p{{L}}\p{{N}}]?{_KIMI_UPPER}+{_KIMI_LOWER}*{_KIMI_CONTRACTION}",
        r"\p{N}{1,3}",
        r" ?[^\s\p{L}\p{N}]+[\r\n]*",
        r"\s*[\r\n]+",
        r"\s+(?!\S)",
        r"\s+",
    )
)


@dataclass(frozen=True, slots=True)
class TiktokenFamily:
    """What a tiktoken file leaves out.

    Attributes:
        pattern: Splits text into pieces.
        special_tokens: In the order of their ids, from the first id after the ranks on.
        num_special_tokens: How many ids they take; those without a name are reserved.
        is_nfc: Whether text is normalized first.
    """

    pattern: str
    special_tokens: tuple[str, ...] = ()
    num_special_tokens: int = 0
    is_nfc: bool = False


# By the name of the tokenizer class in tokenizer_config.json.
FAMILIES = {
    "QWenTokenizer": TiktokenFamily(
        pattern=_QWEN_PATTERN,
        special_tokens=(
            "<|endoftext|>",
            "<|im_start|>",
            "<|im_end|>",
            *(f"<|extra_{index}|>" for index in range(205)),
        ),
        num_special_tokens=208,
        is_nfc=True,
    ),
    "TikTokenTokenizer": TiktokenFamily(pattern=_KIMI_PATTERN, num_special_tokens=256),
}


def load_tiktoken_file(path: Path) -> dict[bytes, int]:
    """Read a tiktoken vocabulary: a line of base64 and a rank for each token.

    Raises:
        ModelLoadError: The file is too large or malformed, or lacks a single byte.
    """
    if path.stat().st_size > MAX_TIKTOKEN_BYTES:
        raise ModelLoadError(f"{path.name} is larger than {MAX_TIKTOKEN_BYTES:,} bytes.")
    ranks: dict[bytes, int] = {}
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        if not line:
            continue
        try:
            token, rank = line.split()
            ranks[base64.b64decode(token, validate=True)] = int(rank)
        except (ValueError, binascii.Error) as error:
            raise ModelLoadError(
                f"{path.name} is malformed in line {number}: {line!r:.80}."
            ) from error
    if sorted(ranks.values()) != list(range(len(ranks))):
        raise ModelLoadError(f"{path.name}: the ranks are not 0 to {len(ranks) - 1:,}, each once.")
    if any(bytes([byte]) not in ranks for byte in range(256)):
        raise ModelLoadError(f"{path.name} does not have all 256 single bytes.")
    return ranks


def tokenizer_json(
    ranks: Mapping[bytes, int], family: TiktokenFamily, names: Mapping[int, str]
) -> dict[str, Any]:
    """Write a tiktoken vocabulary as the content of a ``tokenizer.json``.

    tiktoken joins any two neighbours that make a token, so all such pairs become merges, in the
    order of the token that they make.

    Args:
        ranks: The tokens, as ``load_tiktoken_file`` reads them.
        family: What the file leaves out.
        names: Texts of special tokens by id, where the model's own configuration gives them.
    """
    texts = {token: characters_of(token) for token in ranks}
    merges = [
        (texts[token[:cut]], texts[token[cut:]])
        for token in sorted(ranks, key=ranks.__getitem__)
        for cut in range(1, len(token))
        if token[:cut] in ranks and token[cut:] in ranks
    ]
    split = {"type": "Split", "pattern": {"Regex": family.pattern}, "behavior": "Isolated"}
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True}
    return {
        "version": "1.0",
        "added_tokens": _special_tokens(len(ranks), family, names),
        "normalizer": {"type": "NFC"} if family.is_nfc else None,
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [{**split, "invert": False}, {**byte_level, "use_regex": False}],
        },
        "post_processor": None,
        "decoder": {**byte_level, "use_regex": True},
        "model": {
            "type": "BPE",
            # tiktoken takes a piece that is a token as it is, before it merges.
            "ignore_merges": True,
            "vocab": {texts[token]: rank for token, rank in ranks.items()},
            "merges": merges,
        },
    }


def _special_tokens(
    first_id: int, family: TiktokenFamily, names: Mapping[int, str]
) -> list[dict[str, Any]]:
    known = dict(enumerate(family.special_tokens, start=first_id)) | dict(names)
    reserved = range(first_id, first_id + family.num_special_tokens)
    texts = {token_id: f"<|reserved_token_{token_id}|>" for token_id in reserved} | known
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    return [
        {"id": token_id, "content": texts[token_id], "special": True, **flags}
        for token_id in sorted(texts)
    ]
