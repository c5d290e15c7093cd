"""Turns token ids into text as they come.

Owns when text is final: joined, what a detokenizer returns is what decoding all ids at once gives,
and no character is shown before all of its bytes are there. It knows neither the model nor stop
strings; ``Tokenizer.detokenizer`` picks the implementation.
"""

import codecs
from collections.abc import Callable, Sequence
from typing import Protocol


class Detokenizer(Protocol):
    """The text of one completion, token by token."""

    def add(self, token_id: int) -> str:
        """Take the next token and return the text that became final with it."""
        ...

    def finish(self) -> str:
        """Return what was held back; unfinished characters become U+FFFD."""
        ...


class ByteLevelDetokenizer:
    """For vocabularies whose tokens are byte strings (GPT-2, Llama 3, Qwen).

    A token costs its own bytes, however long the completion is.

    Args:
        token_bytes: The bytes of a token; empty for one that is not shown.
    """

    def __init__(self, token_bytes: Callable[[int], bytes]) -> None:
        self._token_bytes = token_bytes
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def add(self, token_id: int) -> str:
        return self._decoder.decode(self._token_bytes(token_id))

    def finish(self) -> str:
        return self._decoder.decode(b"", final=True)


class WindowDetokenizer:
    """For every other vocabulary: decodes a window of two tokens (SentencePiece, WordPiece).

    What a decoder makes of a token depends on the one before it (is this the first? was it the end
    of a word?), so the new text is what the window gains over its first token alone. A run of byte
    tokens is held back to its end: the ``ByteFallback`` decoder turns the whole run into U+FFFD
    if it is not valid, the valid characters in it too. Held tokens are decoded once.

    Args:
        decode: Decodes a few ids, special tokens shown.
        is_hidden: Whether a token has no text, or none that is shown.
        is_byte: Whether a token can be a part of a character.

    Source: the offsets of vLLM's ``detokenize_incrementally``, without its rescans.
    """

    def __init__(
        self,
        decode: Callable[[Sequence[int]], str],
        is_hidden: Callable[[int], bool],
        is_byte: Callable[[int], bool],
    ) -> None:
        self._decode = decode
        self._is_hidden = is_hidden
        self._is_byte = is_byte
        self._context: list[int] = []
        self._pending: list[int] = []

    def add(self, token_id: int) -> str:
        if self._is_hidden(token_id):
            return ""
        self._pending.append(token_id)
        return "" if self._is_byte(token_id) else self._flush()

    def finish(self) -> str:
        return self._flush() if self._pending else ""

    def _flush(self) -> str:
        known = self._decode(self._context) if self._context else ""
        text = self._decode(self._context + self._pending)[len(known) :]
        self._context, self._pending = self._pending[-1:], []
        return text
