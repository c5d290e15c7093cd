"""Pairs of a query and a document to the token ids that a cross-encoder reads."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tokenizers import Encoding

from mlx_backends.errors import ModelLoadError, RequestError
from mlx_backends.pooling.tokenizer import encode_plain, load_tokenizer


@dataclass(frozen=True, slots=True)
class TokenPair:
    """A tokenized pair; ``segments`` says for each token which text it is of, 0 or 1."""

    ids: list[int]
    segments: list[int]

    def __len__(self) -> int:
        return len(self.ids)


class PairTokenizer:
    """Tokenizes as the folder's ``tokenizer.json`` says. Safe to use from several threads.

    Args:
        folder: Holds ``tokenizer.json``.
        max_length: Longest pair in tokens, special tokens included.
        on_overflow: What happens to a longer pair: ``error``, or ``truncate``, which drops the end
            of the document.

    Raises:
        ModelLoadError: The file is missing or malformed.
    """

    def __init__(
        self, folder: Path, *, max_length: int, on_overflow: Literal["error", "truncate"]
    ) -> None:
        self._tokenizer = load_tokenizer(folder / "tokenizer.json")
        self._room = max_length - self._tokenizer.num_special_tokens_to_add(True)
        self._truncates = on_overflow == "truncate"
        if self._room < 1:
            raise ModelLoadError(f"{folder}: a pair of {max_length} tokens is all special tokens.")

    def encode(self, queries: Sequence[str], documents: Sequence[str]) -> list[TokenPair]:
        """Token ids of every pair, special tokens included.

        Args:
            queries: One for each document, or one alone, which goes with every document.
            documents: Any number of texts.

        Raises:
            RequestError: A pair is too long and ``on_overflow`` is ``error``, or a query alone
                leaves no room for a document.
        """
        first = list(encode_plain(self._tokenizer, queries))
        if len(first) == 1:
            first *= len(documents)
        second = encode_plain(self._tokenizer, documents)
        return [
            self._finish(index, query, document)
            for index, (query, document) in enumerate(zip(first, second, strict=True))
        ]

    def _finish(self, index: int, query: Encoding, document: Encoding) -> TokenPair:
        """Join the two encodings, after the overflow policy."""
        room = self._room - len(query)
        if len(document) > room:
            if room < 1 or not self._truncates:
                raise RequestError(self._overflow(index, query, document))
            document.truncate(room)
        pair = self._tokenizer.post_process(query, document)
        return TokenPair(pair.ids, pair.type_ids)

    def _overflow(self, index: int, query: Encoding, document: Encoding) -> str:
        advice = (
            "Shorten the query."
            if len(query) >= self._room
            else "Split the document, use a model with a longer context, or set "
            "on_overflow='truncate' to drop its end."
        )
        return (
            f"The query of {len(query):,} and documents[{index}] of {len(document):,} tokens do "
            f"not fit the rerank model, which takes {self._room:,} tokens of both. {advice}"
        )
