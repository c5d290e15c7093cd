"""Texts to the token ids that an encoder reads, within its length.

Padding and truncation that ``tokenizer.json`` may ask for are turned off: batches are padded by
``batching``, and a text that is too long is an error unless the caller asked for truncation.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from tokenizers import Encoding, Tokenizer

from mlx_backends.errors import ModelLoadError, RequestError
from mlx_backends.text.native import panics_as_errors, refusals_as_request_errors

# Encodings carry far more than ids; taking this many at a time bounds the memory.
_TEXTS_AT_ONCE = 1_024


class TextTokenizer:
    """Tokenizes as the folder's ``tokenizer.json`` says. Safe to use from several threads.

    Args:
        folder: Holds ``tokenizer.json``.
        max_length: Longest text in tokens, special tokens included.
        on_overflow: What happens to a longer text: ``error`` or ``truncate``.

    Raises:
        ModelLoadError: The file is missing or malformed.
    """

    def __init__(
        self, folder: Path, *, max_length: int, on_overflow: Literal["error", "truncate"]
    ) -> None:
        self._tokenizer = load_tokenizer(folder / "tokenizer.json")
        self._num_special = self._tokenizer.num_special_tokens_to_add(False)
        self._max_length = max_length
        self._truncates = on_overflow == "truncate"
        if max_length <= self._num_special:
            raise ModelLoadError(
                f"{folder}: a text of {max_length} tokens is all special tokens; this model adds "
                f"{self._num_special}."
            )

    def encode(self, texts: Sequence[str]) -> list[list[int]]:
        """Token ids of every text, special tokens included.

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

    def _finish(self, index: int, encoding: Encoding) -> list[int]:
        """Add special tokens to one text's encoding, after the overflow policy."""
        length = len(encoding) + self._num_special
        if length > self._max_length:
            if not self._truncates:
                raise RequestError(
                    f"texts[{index}] has {length:,} tokens; the embedding model takes "
                    f"{self._max_length:,}. Split the text, use a model with a longer context, or "
                    "set on_overflow='truncate' to drop its end."
                )
            encoding.truncate(self._max_length - self._num_special)
        return self._tokenizer.post_process(encoding).ids


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
