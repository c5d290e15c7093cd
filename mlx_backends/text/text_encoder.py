"""Text to token ids, by the ``tokenizers`` library or, for bulk, by tiktoken."""

import threading
from collections.abc import Sequence
from contextlib import suppress

import tiktoken
import tokenizers

from mlx_backends.errors import RequestError, UnsupportedModelError
from mlx_backends.text.added_tokens import AddedTokens
from mlx_backends.text.byte_level_encoder import ByteLevelEncoder
from mlx_backends.text.native import NativePanicError, panics_as_errors, refusals_as_request_errors
from mlx_backends.text.special_escape import SpecialEscape
from mlx_backends.text.tiktoken_bridge import bridge

# Half a million tokens of English. On hostile text (one run of letters, or of spaces) both
# libraries take up to a microsecond a character, so that no text holds a thread for much longer
# than two seconds.
MAX_TEXT_CHARS = 2 * 2**20
# From here on tiktoken saves more than building its tables costs, over a few texts.
_BULK_CHARS = 64 * 1024


class TextEncoder:
    """Encodes text. Any thread may call any method.

    Args:
        library: The tokenizer to encode with.
    """

    def __init__(self, library: tokenizers.Tokenizer) -> None:
        self._library = library
        self._lock = threading.Lock()
        self._plain_library: tokenizers.Tokenizer | None = None
        self._bulk: ByteLevelEncoder | None = None
        self._bulk_reason: str | None = None

    @property
    def encoding(self) -> tiktoken.Encoding | None:
        """As ``Tokenizer.encoding``."""
        encoder = self._bulk_encoder()
        return encoder.encoding if encoder else None

    @property
    def encoding_reason(self) -> str | None:
        """As ``Tokenizer.encoding_reason``."""
        self._bulk_encoder()
        return self._bulk_reason

    def encode(
        self, text: str, *, add_special_tokens: bool = False, parse_special: bool = True
    ) -> list[int]:
        """As ``Tokenizer.encode``."""
        require_encodable(text)
        if not add_special_tokens and (encoder := self._encoder_for(text, len(text))):
            # What tiktoken cannot take, the library may.
            with suppress(NativePanicError), panics_as_errors():
                return encoder.encode(text, parse_special=parse_special)
        library = self._library if parse_special else self._library_without_special()
        with refusals_as_request_errors():
            if len(text) < _BULK_CHARS:
                return library.encode(text, add_special_tokens=add_special_tokens).ids
            # Twice as fast: it records no offsets, which only batches can leave out.
            return library.encode_batch_fast([text], add_special_tokens=add_special_tokens)[0].ids

    def encode_batch(
        self,
        texts: Sequence[str],
        *,
        add_special_tokens: bool = False,
        parse_special: bool = True,
    ) -> list[list[int]]:
        """As ``Tokenizer.encode_batch``."""
        for text in texts:
            require_encodable(text)
        num_chars = sum(map(len, texts))
        if not add_special_tokens and all(self._encoder_for(text, num_chars) for text in texts):
            return [self.encode(text, parse_special=parse_special) for text in texts]
        library = self._library if parse_special else self._library_without_special()
        with refusals_as_request_errors():
            encoded = library.encode_batch_fast(texts, add_special_tokens=add_special_tokens)
        return [encoding.ids for encoding in encoded]

    def special_escape(self) -> SpecialEscape:
        """What encodes special tokens inside messages as text.

        Raises:
            UnsupportedModelError: There is no ``encoding``, without which they cannot be told from
                a template's own.
        """
        encoder = self._bulk_encoder()
        if encoder is None:
            raise UnsupportedModelError(
                "A message holds a special token, which cannot be encoded as text for this model: "
                f"{self._bulk_reason}. Remove it, or pass parse_special_in_messages=True if the "
                "content is trusted."
            )
        return SpecialEscape(encoder)

    def _encoder_for(self, text: str, num_chars: int) -> ByteLevelEncoder | None:
        """The fast encoder, if it is worth its tables and can take the text."""
        if num_chars < _BULK_CHARS and self._bulk is None:
            return None
        encoder = self._bulk_encoder()
        return encoder if encoder and encoder.can_encode(text) else None

    def _bulk_encoder(self) -> ByteLevelEncoder | None:
        with self._lock:
            if self._bulk is None and self._bulk_reason is None:
                result = bridge(self._library)
                self._bulk_reason = result.reason
                if result.encoding is not None:
                    added = AddedTokens.of(self._library)
                    self._bulk = ByteLevelEncoder(result.encoding, added)
            return self._bulk

    def _library_without_special(self) -> tokenizers.Tokenizer:
        # A copy: the setting belongs to a tokenizer, and threads share this one.
        with self._lock:
            if self._plain_library is None:
                self._plain_library = tokenizers.Tokenizer.from_str(self._library.to_str())
                self._plain_library.encode_special_tokens = True
            return self._plain_library


def require_length(num_chars: int) -> None:
    """Raise ``RequestError`` for a text that is too long to encode at once."""
    if num_chars > MAX_TEXT_CHARS:
        raise RequestError(
            f"The text has {num_chars:,} characters; at most {MAX_TEXT_CHARS:,} are encoded at "
            "once. Split it."
        )


def require_encodable(text: str) -> None:
    """Raise ``RequestError`` for a text that is too long, or not Unicode."""
    require_length(len(text))
    try:
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        raise RequestError(
            f"The text is not Unicode: character {error.start:,} is the lone surrogate "
            f"U+{ord(text[error.start]):04X}."
        ) from None
