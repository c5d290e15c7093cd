"""A byte-level BPE ``tokenizer.json`` as a ``tiktoken.Encoding`` with the same ids.

Owns the translation and the refusal of what tiktoken cannot express. It never asks tiktoken for an
encoding by name, which would download it.

tiktoken encodes some ten times faster than ``tokenizers``, and the splitters of LangChain and
LlamaIndex and llguidance take its encodings. What is refused, with a reason: models that are not
byte-level BPE, several splitting patterns in a row, normalizers other than NFC, a space added
before the text, added tokens that take white space with them, ids that do not grow in the order of
the merges (tiktoken's ranks are its ids), and merges that ranks do not reproduce (``merge_order``).
What passes is compared on a probe text as well, before it is used.
"""

import itertools
import json
import re
import unicodedata
from collections.abc import Collection, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import tiktoken
import tokenizers

from mlx_backends.text.added_tokens import AddedTokens
from mlx_backends.text.byte_alphabet import BYTE_OF, CHARACTER_OF, bytes_of
from mlx_backends.text.merge_order import Merges
from mlx_backends.text.native import NativePanicError, panics_as_errors, read_tokenizer

# What tokenizers' ByteLevel splits by (GPT-2).
GPT2_PATTERN = r"""'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"""
# The same after a first pass that cuts out each digit: white space before a digit is then at the
# end of its piece, and so is not parted from its last character.
_GPT2_AFTER_DIGITS_PATTERN = (
    r"""\p{N}|'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?![^\s\p{N}])|\s+"""
)
# tokenizers reads patterns with Oniguruma in Ruby's syntax, tiktoken with fancy-regex. Both agree
# on Unicode's classes, but not on these: word characters and digits, "$" and "^" at each line,
# possessive "{1,3}+", posix brackets, flags other than "i".
_AMBIGUOUS_PATTERN = re.compile(
    r"\\[wWdDbBhHRXAzZGKkgy]|\[:|(?<![\[\\])\^|(?<!\\)\$|[0-9,]\}\+|\(\?(?!i?:|[=!>]|<[=!])"
)

# Everything that splitting and merging treat differently: contractions, digits, white space,
# scripts without spaces, marks, emoji with joiners and flags, controls, code, long runs.
_PROBE_PARTS = (
    "Hello world! I'm sure you'll see it's THEY'VE we'd 'tis ' '' 's'S'\u017f",
    "0 1 12 123 1234567890 3.14159 1,000,000 ½ Ⅷ ٣٤٥ १२३ x2y3z 2nd",
    "  two   three    four\ttab\t\ttabs \n newline\n\n\nlines\r\nDOS\r \r\n  \n\tmixed",
    "\u00a0no-break \u2003wide\u3000\u3000wide end   ",
    "中文没有空格\uff0c日本語のテキスト。한국어 텍스트 ภาษาไทย हिन्दी عربي עברית Ελληνικά Русский",
    "cafe\u0301 e\u0301e\u0301 \u1e9b\u0323 \ufb01 \ufdfa \u212b \u1100\u1161 a\u0300\u0316\u0301",
    "\U0001f44d\U0001f44d\U0001f3fd \U0001f469\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466",
    "\U0001f1e9\U0001f1ea\U0001f1eb\U0001f1f7 \u2764\ufe0f \u200d\u200b\u2060\ufeff",
    "\x00\x01\x07\x1b[31m\x7f\x80\x85\x9f\u2028\u2029\ufffd\uffff\U0001f9ff\U0010fffd",
    "def f(x):\n    return {'a': x[1:-1] ** 2, \"b\": None}  # ok\n\tif (a!=b)&&c||d: <p>&amp;</p>",
    "a" * 300 + " " * 300 + "!" * 300 + "\n" * 300 + "7" * 300 + "é" * 100 + "的" * 100,
)


class _NotBridgeableError(Exception):
    """tiktoken cannot express this tokenizer; the text says why."""


@dataclass(frozen=True, slots=True)
class BridgeResult:
    """An encoding, or why there is none.

    Attributes:
        encoding: Gives the ids of the tokenizer for every text.
        reason: What tiktoken cannot express; None if there is an encoding.
    """

    encoding: tiktoken.Encoding | None
    reason: str | None


class NfcEncoding(tiktoken.Encoding):
    """An encoding of text in Unicode's normal form C.

    Normalizes with the code of ``tokenizers``, whose Unicode version Python's need not be.
    """

    def encode_ordinary(self, text: str) -> list[int]:
        return super().encode_ordinary(_nfc(text))

    def encode(
        self,
        text: str,
        *,
        allowed_special: Literal["all"] | AbstractSet[str] = frozenset(),
        disallowed_special: Literal["all"] | Collection[str] = "all",
    ) -> list[int]:
        return super().encode(
            self._nfc_between(text, allowed_special),
            allowed_special=allowed_special,
            disallowed_special=disallowed_special,
        )

    def encode_to_numpy(
        self,
        text: str,
        *,
        allowed_special: Literal["all"] | AbstractSet[str] = frozenset(),
        disallowed_special: Literal["all"] | Collection[str] = "all",
    ) -> Any:
        return super().encode_to_numpy(
            self._nfc_between(text, allowed_special),
            allowed_special=allowed_special,
            disallowed_special=disallowed_special,
        )

    def encode_with_unstable(
        self,
        text: str,
        *,
        allowed_special: Literal["all"] | AbstractSet[str] = frozenset(),
        disallowed_special: Literal["all"] | Collection[str] = "all",
    ) -> tuple[list[int], list[list[int]]]:
        return super().encode_with_unstable(
            self._nfc_between(text, allowed_special),
            allowed_special=allowed_special,
            disallowed_special=disallowed_special,
        )

    def _nfc_between(self, text: str, special: Literal["all"] | AbstractSet[str]) -> str:
        """Normalize, but not across special tokens: a mark after one must not change it."""
        texts = self.special_tokens_set if special == "all" else special
        if text.isascii() or not texts:
            return _nfc(text)
        pattern = "|".join(map(re.escape, sorted(texts, key=len, reverse=True)))
        parts = re.split(f"({pattern})", text)
        return "".join(part if index % 2 else _nfc(part) for index, part in enumerate(parts))


def bridge(tokenizer: tokenizers.Tokenizer | Mapping[str, Any] | Path) -> BridgeResult:
    """Translate a tokenizer, if tiktoken can express it exactly.

    Args:
        tokenizer: Loaded, or the content of its ``tokenizer.json``, or the path of that.

    Raises:
        ModelLoadError: The content is not that of a tokenizer.
    """
    library = _loaded(tokenizer)
    # The library's own writing of it: of ids and defaults it knows what the file leaves open.
    spec = json.loads(library.to_str())
    added = AddedTokens.of(library)
    try:
        encoding = _encoding(spec, added)
        _require_equal_on_probe(encoding, added, library)
    except _NotBridgeableError as reason:
        return BridgeResult(None, str(reason))
    return BridgeResult(encoding, None)


def encode_pieces(
    encoding: tiktoken.Encoding, added: AddedTokens, text: str, *, parse_special: bool = True
) -> list[int]:
    """Encode text with its added tokens as the ``tokenizers`` library does."""
    ids: list[int] = []
    for piece in added.split(text, parse_special=parse_special):
        if isinstance(piece, int):
            ids.append(piece)
        else:
            ids.extend(encoding.encode_ordinary(piece))
    return ids


def _loaded(
    tokenizer: tokenizers.Tokenizer | Mapping[str, Any] | Path,
) -> tokenizers.Tokenizer:
    if isinstance(tokenizer, tokenizers.Tokenizer):
        return tokenizer
    if isinstance(tokenizer, Path):
        return read_tokenizer(tokenizer.read_bytes(), tokenizer.name)
    return read_tokenizer(json.dumps(tokenizer).encode(), "tokenizer.json")


def _encoding(spec: Mapping[str, Any], added: AddedTokens) -> tiktoken.Encoding:
    model = _bpe_model(spec)
    for token in added.tokens:
        if not token.is_plain:
            raise _NotBridgeableError(
                f"the added token {token.text!r:.40} takes in the white space beside it or "
                "matches only whole words"
            )
    pattern = _pattern(spec.get("pre_tokenizer"))
    is_nfc = _is_nfc(spec.get("normalizer"))
    if is_nfc and any(token.is_normalized for token in added.tokens):
        raise _NotBridgeableError("an added token is searched in normalized text")
    ranks = _ranks(model, exclude=added.ids.keys())
    encoding_class = NfcEncoding if is_nfc else tiktoken.Encoding
    try:
        with panics_as_errors():
            return encoding_class(
                f"bridged-{len(ranks) + len(added.ids)}",
                pat_str=pattern,
                mergeable_ranks=ranks,
                special_tokens=dict(added.ids),
            )
    except (ValueError, NativePanicError) as error:
        raise _NotBridgeableError(f"tiktoken does not accept it: {error}") from error


def _bpe_model(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    model = spec["model"]
    if model.get("type", "BPE") != "BPE" or "merges" not in model:
        raise _NotBridgeableError(f"the model is {model.get('type')}, not BPE")
    for name in ("continuing_subword_prefix", "end_of_word_suffix", "dropout", "byte_fallback"):
        if model.get(name):
            raise _NotBridgeableError(f"the model has {name}={model[name]!r}")
    return model


def _is_nfc(normalizer: Mapping[str, Any] | None) -> bool:
    if normalizer is None:
        return False
    if normalizer["type"] == "Sequence":
        steps = normalizer["normalizers"]
        if len(steps) > 1:
            raise _NotBridgeableError(f"the text goes through {len(steps)} normalizers")
        return _is_nfc(steps[0]) if steps else False
    if normalizer["type"] != "NFC":
        raise _NotBridgeableError(f"the normalizer is {normalizer['type']}, not NFC")
    return True


def _pattern(pre_tokenizer: Mapping[str, Any] | None) -> str:
    """Translate the pre-tokenizer to one pattern whose matches are its pieces."""
    steps = _steps(pre_tokenizer)
    if not steps or steps[-1]["type"] != "ByteLevel":
        raise _NotBridgeableError("the pre-tokenizer does not end in ByteLevel")
    *splits, byte_level = steps
    if byte_level.get("add_prefix_space"):
        raise _NotBridgeableError("a space is added before the text")
    is_gpt2_split = byte_level.get("use_regex", True)
    if not splits and is_gpt2_split:
        return GPT2_PATTERN
    if len(splits) == 1 and splits[0]["type"] == "Split" and not is_gpt2_split:
        return _split_pattern(splits[0])
    if len(splits) == 1 and splits[0]["type"] == "Digits" and is_gpt2_split:
        if splits[0].get("individual_digits"):
            return _GPT2_AFTER_DIGITS_PATTERN
        raise _NotBridgeableError("runs of digits are cut out before the text is split")
    names = " + ".join(step["type"] for step in splits) or "nothing"
    raise _NotBridgeableError(f"the text is split by {names} before ByteLevel")


def _steps(pre_tokenizer: Mapping[str, Any] | None) -> Sequence[Mapping[str, Any]]:
    if pre_tokenizer is None:
        return ()
    if pre_tokenizer["type"] == "Sequence":
        return pre_tokenizer["pretokenizers"]
    return (pre_tokenizer,)


def _split_pattern(split: Mapping[str, Any]) -> str:
    pattern = split["pattern"].get("Regex")
    if pattern is None:
        raise _NotBridgeableError("the text is split at a fixed string")
    is_isolated = split["behavior"] == "Isolated" and not split.get("invert")
    is_kept = split["behavior"] == "Removed" and split.get("invert")
    if not is_isolated and not is_kept:
        raise _NotBridgeableError(f"the text is split with behaviour {split['behavior']}")
    if ambiguous := _AMBIGUOUS_PATTERN.search(pattern):
        raise _NotBridgeableError(
            f"the splitting pattern has {ambiguous[0]!r}, which the two libraries read differently"
        )
    return pattern


def _ranks(model: Mapping[str, Any], exclude: Iterable[str]) -> dict[bytes, int]:
    """Take the ids of single bytes and merged tokens as ranks, if that keeps the merge order."""
    vocab: Mapping[str, int] = model["vocab"]
    missing = BYTE_OF.keys() - vocab.keys()
    if missing:
        raise _NotBridgeableError(f"{len(missing)} of the 256 single bytes are not tokens")
    order = {CHARACTER_OF[byte]: byte for byte in range(256)}
    ranks = {bytes([byte]): vocab[character] for byte, character in CHARACTER_OF.items()}
    merges = Merges()
    last_id = -1
    for token, pairs in itertools.groupby(map(_pair, model["merges"]), key="".join):
        data = bytes_of(token)
        if data is None:
            raise _NotBridgeableError(f"the merges make {token!r:.40}, which is not bytes")
        if token in order:
            raise _NotBridgeableError(f"the merges make {token!r:.40} in two places")
        # A pair with a half that is made later than the token is never side by side.
        known = [(order[a], order[b]) for a, b in pairs if a in order and b in order]
        if not merges.add(known):
            raise _NotBridgeableError(f"no merge of {token!r:.40} is what its bytes come to")
        if vocab[token] <= last_id:
            raise _NotBridgeableError("the ids do not grow in the order of the merges")
        order[token] = len(order)
        ranks[data] = last_id = vocab[token]
    _require_all_reachable(model, order, set(exclude))
    return ranks


def _pair(merge: str | Sequence[str]) -> tuple[str, str]:
    left, right = merge.split(" ") if isinstance(merge, str) else merge
    return left, right


def _require_all_reachable(
    model: Mapping[str, Any], merged: Mapping[str, int], added: AbstractSet[str]
) -> None:
    if not model.get("ignore_merges"):
        # Without it a token that no merge makes is never chosen, and may be left out.
        return
    unmerged = model["vocab"].keys() - merged.keys() - added
    if unmerged:
        raise _NotBridgeableError(f"{len(unmerged)} tokens are whole pieces that no merge makes")


def _require_equal_on_probe(
    encoding: tiktoken.Encoding, added: AddedTokens, library: tokenizers.Tokenizer
) -> None:
    specials = [token.text for token in added.tokens[:8]]
    single_characters = [chr(code) for code in range(0x20, 0x17F)]
    texts = [*_PROBE_PARTS, *specials, *single_characters, *_one_of_each_category()]
    joined = [" ".join(_PROBE_PARTS), "".join(_PROBE_PARTS), "x".join(specials) + "\u0338 y"]
    for text in texts + joined:
        expected = library.encode(text, add_special_tokens=False).ids
        if encode_pieces(encoding, added, text) != expected:
            raise _NotBridgeableError(f"the two libraries differ on {text!r:.60}")


def _one_of_each_category() -> list[str]:
    """One character of each of Unicode's general categories, surrogates aside."""
    found: dict[str, str] = {}
    for code in range(0x2FFF):
        character = chr(code)
        found.setdefault(unicodedata.category(character), character)
    return list(found.values())


def _nfc(text: str) -> str:
    return text if text.isascii() else tokenizers.normalizers.NFC().normalize_str(text)
