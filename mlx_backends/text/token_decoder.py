"""Tokens as bytes and as text, for one vocabulary."""

import json
import re
from collections.abc import Sequence
from functools import partial

import tokenizers

from mlx_backends.errors import TokenIdError
from mlx_backends.text.byte_alphabet import bytes_of
from mlx_backends.text.detokenizer import ByteLevelDetokenizer, Detokenizer, WindowDetokenizer
from mlx_backends.text.tokenizer_files import MAX_TOKEN_ID

_BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


class TokenDecoder:
    """Decodes token ids. Any thread may call any method.

    Args:
        library: The tokenizer whose ids they are.
        special_token_ids: Control tokens, which are never part of ordinary text.
    """

    def __init__(self, library: tokenizers.Tokenizer, special_token_ids: frozenset[int]) -> None:
        self._library = library
        self._special_ids = special_token_ids
        self._decoder_types = _decoder_types(library)
        self._token_bytes: dict[int, bytes] = {}

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        """As ``Tokenizer.decode``."""
        for token_id in token_ids:
            _require_id(token_id)
        return self._library.decode(list(token_ids), skip_special_tokens=skip_special_tokens)

    def token_text(self, token_id: int) -> str:
        """As ``Tokenizer.token_text``."""
        _require_id(token_id)
        if self._is_byte_level:
            return self._bytes_of_token(token_id).decode("utf-8", "replace")
        token = self._library.id_to_token(token_id) or ""
        if match := _BYTE_TOKEN.fullmatch(token):
            return bytes([int(match[1], 16)]).decode("utf-8", "replace")
        return token.replace("\u2581", " ")

    def token_bytes(self, token_id: int) -> bytes:
        """As ``Tokenizer.token_bytes``."""
        _require_id(token_id)
        if self._is_byte_level:
            return self._bytes_of_token(token_id)
        token = self._library.id_to_token(token_id) or ""
        if match := _BYTE_TOKEN.fullmatch(token):
            return bytes([int(match[1], 16)])
        return token.replace("\u2581", " ").encode()

    def detokenizer(self, *, skip_special_tokens: bool = True) -> Detokenizer:
        """As ``Tokenizer.detokenizer``."""
        hidden = self._special_ids if skip_special_tokens else frozenset[int]()
        if self._is_byte_level:
            return ByteLevelDetokenizer(partial(self._shown_bytes, hidden))
        return WindowDetokenizer(
            decode=partial(self.decode, skip_special_tokens=False),
            is_hidden=partial(self._is_hidden, hidden),
            is_byte=self._is_byte_token,
        )

    @property
    def _is_byte_level(self) -> bool:
        return self._decoder_types == ("ByteLevel",)

    def _shown_bytes(self, hidden: frozenset[int], token_id: int) -> bytes:
        return b"" if token_id in hidden else self._bytes_of_token(token_id)

    def _is_hidden(self, hidden: frozenset[int], token_id: int) -> bool:
        _require_id(token_id)
        return token_id in hidden or self._library.id_to_token(token_id) is None

    def _bytes_of_token(self, token_id: int) -> bytes:
        data = self._token_bytes.get(token_id)
        if data is None:
            _require_id(token_id)
            token = self._library.id_to_token(token_id) or ""
            data = bytes_of(token)
            # The decoder takes a token that is not written in the alphabet as it is.
            data = token.encode() if data is None else data
            self._token_bytes[token_id] = data
        return data

    def _is_byte_token(self, token_id: int) -> bool:
        if "ByteLevel" in self._decoder_types:
            # Other steps follow, so that only the whole text is sure.
            return True
        if "ByteFallback" not in self._decoder_types:
            return False
        token = self._library.id_to_token(token_id)
        return token is not None and _BYTE_TOKEN.fullmatch(token) is not None


def _decoder_types(library: tokenizers.Tokenizer) -> tuple[str, ...]:
    """The decoder's steps by name."""
    if library.decoder is None:
        return ()
    spec = json.loads(library.decoder.__getstate__())
    steps = spec["decoders"] if spec["type"] == "Sequence" else [spec]
    return tuple(step["type"] for step in steps)


def _require_id(token_id: int) -> None:
    if not 0 <= token_id <= MAX_TOKEN_ID:
        raise TokenIdError(f"{token_id} is not a token id.")
