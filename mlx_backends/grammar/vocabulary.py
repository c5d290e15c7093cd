"""A model's tokens as grammars see them: byte strings, control tokens apart.

Owns the one llguidance tokenizer of a model, and which tokens are good for ending a completion.
"""

import threading
from collections.abc import Iterable
from functools import cached_property
from weakref import WeakKeyDictionary

import llguidance
import numpy as np

from mlx_backends.grammar.control_tokens import control_tokens
from mlx_backends.text.tokenizer import Tokenizer

_VALUE_BEGINNINGS = (b'""', b'"', b"true", b"t", b"[]", b"[", b"{}", b"{")
_MAX_FILLER_LENGTH = 16


class Vocabulary:
    """The tokens of one model.

    Attributes:
        size: Number of tokens.
        tokens: The bytes of each.
        control: Tokens that a grammar must name.
        control_ids: Their ids.
        eos_token_ids: Tokens that end a completion.
        eos_token_id: The one that a completion usually ends with.
        reasoning_ids: The tokens around reasoning, if the model has them.
        llguidance: The tokenizer that masks are computed for.
    """

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.size = tokenizer.vocab_size
        self.tokens = [tokenizer.token_bytes(token_id) for token_id in range(self.size)]
        self.control = control_tokens(tokenizer)
        self.control_ids = frozenset(self.control.ids.values())
        self.eos_token_ids = tokenizer.eos_token_ids
        self.eos_token_id = _usual_eos_id(tokenizer)
        marks = tokenizer.reasoning_format
        ids = self.control.ids
        self.reasoning_ids = (ids[marks.start], ids[marks.end]) if marks else None
        self.llguidance = llguidance.LLTokenizer(
            llguidance.TokenizerWrapper(_Source(self)),
            n_vocab=self.size,
            eos_token=sorted(self.eos_token_ids),
        )

    @classmethod
    def of(cls, tokenizer: Tokenizer) -> "Vocabulary":
        """The vocabulary of a tokenizer, made once."""
        with _lock:
            vocabulary = _made.get(tokenizer)
            if vocabulary is None:
                vocabulary = _made[tokenizer] = cls(tokenizer)
            return vocabulary

    def joined(self, token_ids: Iterable[int]) -> bytes:
        """The bytes of these tokens."""
        return b"".join(self.tokens[token_id] for token_id in token_ids)

    def encoded(self, text: str) -> list[int]:
        """Tokens of a text, control tokens included."""
        return [
            token_id
            for piece in self.control.split(text)
            for token_id in ([piece] if isinstance(piece, int) else self.spelled(piece.encode()))
        ]

    def spelled(self, data: bytes) -> list[int]:
        """Tokens that spell these bytes, the longest that fits at each place; no control tokens."""
        ids: list[int] = []
        start = 0
        while start < len(data):
            end = min(len(data), start + self._longest)
            while data[start:end] not in self._plain_ids:
                end -= 1
                if end == start:
                    return []
            ids.append(self._plain_ids[data[start:end]])
            start = end
        return ids

    @cached_property
    def string_endings(self) -> list[int]:
        """Tokens that end a JSON string, and perhaps what is around it, the longest first."""
        return self._ids([*self._runs(b'"'), b'"'])

    @cached_property
    def value_endings(self) -> list[int]:
        """Tokens that bring JSON nearer to its end outside of a string, best first."""
        return self._ids([*self._runs(b""), b",", b", ", b"null", b"n"])

    @cached_property
    def digits(self) -> list[int]:
        """Tokens of one digit."""
        return self._ids([b"%d" % digit for digit in range(10)])

    @cached_property
    def value_beginnings(self) -> list[int]:
        """Tokens that begin a JSON value other than a number, best first."""
        return self._ids(_VALUE_BEGINNINGS)

    @cached_property
    def characters(self) -> list[int]:
        """Tokens of one printable ASCII character or line break, punctuation first."""
        printable = [bytes([code]) for code in (0x0A, *range(0x20, 0x7F))]
        return self._ids(sorted(printable, key=bytes.isalnum))

    @cached_property
    def filler_rank(self) -> np.ndarray:
        """Rank of each token as filling, (V,) int64: long runs of letters and digits first."""
        return np.array(
            [
                -min(len(token), _MAX_FILLER_LENGTH) if token.isalnum() and token.isascii() else 1
                for token in self.tokens
            ],
            np.int64,
        )

    def _runs(self, first: bytes) -> list[bytes]:
        """Tokens of ``first`` and at least one closing bracket, the longest first."""
        runs = [
            token
            for token in self._plain_ids
            if token.startswith(first) and (rest := token[len(first) :]) and not rest.strip(b"}]")
        ]
        return sorted(runs, key=lambda token: (-len(token), token))

    def _ids(self, tokens: Iterable[bytes]) -> list[int]:
        return [self._plain_ids[token] for token in tokens if token in self._plain_ids]

    @cached_property
    def _plain_ids(self) -> dict[bytes, int]:
        return {
            token: token_id
            for token_id, token in enumerate(self.tokens)
            if token and token_id not in self.control_ids
        }

    @cached_property
    def _longest(self) -> int:
        return max(map(len, self._plain_ids))


class _Source:
    """What llguidance reads from a tokenizer, by the names that it reads."""

    bos_token_id = None

    def __init__(self, vocabulary: Vocabulary) -> None:
        self.eos_token_id = vocabulary.eos_token_id
        self.tokens = vocabulary.tokens
        self.special_token_ids = sorted(vocabulary.control_ids)
        self._spelled = vocabulary.spelled

    def __call__(self, text: str) -> list[int]:
        # llguidance asks for tokens only to propose some; the proposals are not used here.
        return self._spelled(text.encode())


def _usual_eos_id(tokenizer: Tokenizer) -> int:
    named = tokenizer.added_token_ids.get(tokenizer.eos_token or "")
    return named if named in tokenizer.eos_token_ids else min(tokenizer.eos_token_ids)


_lock = threading.Lock()
_made: WeakKeyDictionary[Tokenizer, Vocabulary] = WeakKeyDictionary()
