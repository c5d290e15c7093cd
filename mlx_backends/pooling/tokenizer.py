"""Texts to the token ids that an encoder reads, within its length.

Padding and truncation that ``tokenizer.json`` may ask for are turned off: batches are padded by
``batching``, and a text that is too long is an error unless the caller asked for something else.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tokenizers import Encoding, Tokenizer

from mlx_backends.config import OnOverflow
from mlx_backends.errors import ModelLoadError, RequestError
from mlx_backends.text.native import panics_as_errors, refusals_as_request_errors

TokenIds = NDArray[np.int32]
# Encodings carry far more than ids; taking this many at a time bounds the memory.
_TEXTS_AT_ONCE = 1_024
# Neighbouring windows of a long text share an eighth, so that no sentence is only ever cut.
_OVERLAP_SHARE = 8


@dataclass(frozen=True, slots=True)
class TokenizedText:
    """A text as the model reads it.

    Attributes:
        windows: Token ids with special tokens: one row, or several for a long text in windows.
        weights: Tokens of each window that no earlier one has; special tokens do not count.
        is_truncated: Whether the end of the text was dropped.
    """

    windows: list[TokenIds]
    weights: list[int]
    is_truncated: bool = False


class TextTokenizer:
    """Tokenizes as the folder's ``tokenizer.json`` says. Safe to use from several threads.

    Args:
        folder: Holds ``tokenizer.json``.
        max_length: Longest row in tokens, special tokens included.
        on_overflow: What happens to a longer text, as in ``EmbedderConfig``.

    Raises:
        ModelLoadError: The file is missing or malformed.
    """

    def __init__(self, folder: Path, *, max_length: int, on_overflow: OnOverflow) -> None:
        self._tokenizer = load_tokenizer(folder / "tokenizer.json")
        self._num_special = self._tokenizer.num_special_tokens_to_add(False)
        self._max_length = max_length
        self._on_overflow = on_overflow
        if max_length <= self._num_special:
            raise ModelLoadError(
                f"{folder}: a text of {max_length} tokens is all special tokens; this model adds "
                f"{self._num_special}."
            )

    def encode(self, texts: Sequence[str]) -> list[TokenizedText]:
        """Every text as the model reads it.

        Raises:
            RequestError: A text is too long and ``on_overflow`` is ``error``.
        """
        return [
            self._finish(index, encoding)
            for index, encoding in enumerate(encode_plain(self._tokenizer, texts))
        ]

    def count(self, text: str) -> int:
        """Tokens of the text, special tokens included."""
        with refusals_as_request_errors():
            return len(self._tokenizer.encode(text, add_special_tokens=False)) + self._num_special

    def _finish(self, index: int, encoding: Encoding) -> TokenizedText:
        """Add special tokens to one text's encoding, after the overflow policy."""
        room = self._max_length - self._num_special
        is_long = len(encoding) > room
        if is_long and self._on_overflow == "error":
            raise RequestError(
                f"texts[{index}] has {len(encoding) + self._num_special:,} tokens; the embedding "
                f"model takes {self._max_length:,}. Split the text, use a model with a longer "
                "context, or set on_overflow='truncate' to drop its end or 'mean' to average over "
                "windows."
            )
        if is_long and self._on_overflow == "mean":
            return self._windows(encoding, room)
        encoding.truncate(room)
        count = len(encoding)
        return TokenizedText([self._row(encoding)], [count], is_long)

    def _windows(self, encoding: Encoding, room: int) -> TokenizedText:
        """A long text as rows of the full length, which overlap; the last may be shorter."""
        overlap = room // _OVERLAP_SHARE
        encoding.truncate(room, stride=overlap)
        parts = [encoding, *encoding.overflowing]
        weights = [len(part) - (overlap if number else 0) for number, part in enumerate(parts)]
        return TokenizedText([self._row(part) for part in parts], weights)

    def _row(self, encoding: Encoding) -> TokenIds:
        """Token ids with special tokens; an array, as a list of integers is nine times as large."""
        return np.array(self._tokenizer.post_process(encoding).ids, np.int32)


def encode_plain(tokenizer: Tokenizer, texts: Sequence[str]) -> Iterator[Encoding]:
    """Encode texts of any number, without special tokens.

    Raises:
        RequestError: A text is one that the tokenizer refuses.
    """
    for start in range(0, len(texts), _TEXTS_AT_ONCE):
        some = list(texts[start : start + _TEXTS_AT_ONCE])
        with refusals_as_request_errors():
            encodings = tokenizer.encode_batch_fast(some, add_special_tokens=False)
        yield from encodings


def load_tokenizer(path: Path) -> Tokenizer:
    """Read a ``tokenizer.json``, with padding and truncation off.

    Raises:
        ModelLoadError: The file is missing or malformed.
    """
    if not path.is_file():
        raise ModelLoadError(
            f"{path.parent} has no tokenizer.json; convert its tokenizer with the transformers "
            "library's save_pretrained."
        )
    try:
        with panics_as_errors():
            tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library has no exception of its own
        raise ModelLoadError(f"{path} is malformed: {error!s:.500}") from error
    tokenizer.no_padding()
    tokenizer.no_truncation()
    return tokenizer
