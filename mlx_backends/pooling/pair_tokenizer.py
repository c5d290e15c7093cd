"""Pairs of a query and a document to the token ids that a reranker reads."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tokenizers import Encoding

from mlx_backends.errors import ModelLoadError, RequestError, UnsupportedModelError
from mlx_backends.pooling.tokenizer import encode_plain, load_tokenizer

# What Qwen3-Reranker was trained with.
_PREFIX = (
    "<|im_start|>system\nJudge whether the Document meets the requirements based on the Query and "
    'the Instruct provided. Note that the answer can only be "yes" or "no".<|im_end|>\n'
    "<|im_start|>user\n"
)
_SUFFIX = "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n"
_INSTRUCTION = "Given a web search query, retrieve relevant passages that answer the query"


@dataclass(frozen=True, slots=True)
class TokenPair:
    """A tokenized pair.

    Attributes:
        ids: Token ids, special tokens included.
        segments: Which text each token is of, 0 or 1; all 0 for models that do not ask.
        is_truncated: Whether the end of the document was dropped.
    """

    ids: list[int]
    segments: list[int]
    is_truncated: bool = False

    def __len__(self) -> int:
        return len(self.ids)


class PairTokenizer(ABC):
    """Turns pairs into rows within a length. Safe to use from several threads."""

    @abstractmethod
    def encode(self, queries: Sequence[str], documents: Sequence[str]) -> list[TokenPair]:
        """Token ids of every pair, special tokens included.

        Args:
            queries: One for each document, or one alone, which goes with every document.
            documents: Any number of texts.

        Raises:
            RequestError: A pair is too long and ``on_overflow`` is ``error``, or a query alone
                leaves no room for a document.
        """


class SegmentPairTokenizer(PairTokenizer):
    """Two texts with separators, as the folder's ``tokenizer.json`` says.

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
        """As in ``PairTokenizer``."""
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
        is_long = len(document) > room
        if is_long:
            if room < 1 or not self._truncates:
                raise _overflow(index, len(query), len(document), self._room)
            document.truncate(room)
        pair = self._tokenizer.post_process(query, document)
        return TokenPair(pair.ids, pair.type_ids, is_long)


class PromptPairTokenizer(PairTokenizer):
    """A question about the pair, which a language model answers with yes or no.

    Special tokens inside texts are read as plain text.

    Args:
        folder: Holds ``tokenizer.json``.
        max_length: Longest prompt in tokens.
        on_overflow: As in ``SegmentPairTokenizer``.
        instruction: What a good document does; None is the model's own sentence.

    Raises:
        ModelLoadError: The file is missing or malformed.
        UnsupportedModelError: ``yes`` and ``no`` are not one token each.
    """

    def __init__(
        self,
        folder: Path,
        *,
        max_length: int,
        on_overflow: Literal["error", "truncate"],
        instruction: str | None,
    ) -> None:
        self._tokenizer = load_tokenizer(folder / "tokenizer.json")
        self._prefix, self._suffix = (self._plain_ids(text) for text in (_PREFIX, _SUFFIX))
        answers = [self._plain_ids(answer) for answer in ("no", "yes")]
        if any(len(ids) != 1 for ids in answers):
            raise UnsupportedModelError(
                f"{folder}: the tokenizer does not have 'yes' and 'no' as one token each, which a "
                "reranker that answers with them needs."
            )
        self.no_id, self.yes_id = (ids[0] for ids in answers)
        self._tokenizer.encode_special_tokens = True
        self._instruction = instruction or _INSTRUCTION
        self._room = max_length - len(self._prefix) - len(self._suffix)
        self._truncates = on_overflow == "truncate"
        if self._room < 1:
            raise ModelLoadError(f"{folder}: a pair of {max_length} tokens is all prompt.")

    def encode(self, queries: Sequence[str], documents: Sequence[str]) -> list[TokenPair]:
        """As in ``PairTokenizer``."""
        heads = [self._head(query) for query in queries]
        if len(heads) == 1:
            heads *= len(documents)
        bodies = [head + text for head, text in zip(heads, documents, strict=True)]
        return [
            self._finish(index, heads[index], encoding)
            for index, encoding in enumerate(encode_plain(self._tokenizer, bodies))
        ]

    def _head(self, query: str) -> str:
        return f"<Instruct>: {self._instruction}\n<Query>: {query}\n<Document>: "

    def _finish(self, index: int, head: str, body: Encoding) -> TokenPair:
        is_long = len(body) > self._room
        if is_long:
            num_query_tokens = len(self._plain_ids(head))
            if num_query_tokens >= self._room or not self._truncates:
                num_document_tokens = max(0, len(body) - num_query_tokens)
                raise _overflow(index, num_query_tokens, num_document_tokens, self._room)
            body.truncate(self._room)
        ids = [*self._prefix, *body.ids, *self._suffix]
        return TokenPair(ids, [0] * len(ids), is_long)

    def _plain_ids(self, text: str) -> list[int]:
        return self._tokenizer.encode(text, add_special_tokens=False).ids


def _overflow(
    index: int, num_query_tokens: int, num_document_tokens: int, room: int
) -> RequestError:
    advice = (
        "Shorten the query."
        if num_query_tokens >= room
        else "Split the document, use a model with a longer context, or set "
        "on_overflow='truncate' to drop its end."
    )
    return RequestError(
        f"The query of {num_query_tokens:,} and documents[{index}] of {num_document_tokens:,} "
        f"tokens do not fit the rerank model, which takes {room:,} tokens of both. {advice}"
    )
