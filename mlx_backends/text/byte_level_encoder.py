"""Fast encoding of text for byte-level vocabularies.

Owns the pairing of a tiktoken encoding with the tokenizer's added tokens, and the inputs that
tiktoken must not be given. The ids are those of the ``tokenizers`` library.
"""

import re

import tiktoken

from mlx_backends.text.added_tokens import AddedTokens
from mlx_backends.text.tiktoken_bridge import encode_pieces

# fancy-regex keeps a stack entry per character of "\s+" and gives up, by a panic, at a million.
_BLOCK_CHARS = 64 * 1024


class ByteLevelEncoder:
    """Encodes with tiktoken, added tokens included."""

    def __init__(self, encoding: tiktoken.Encoding, added: AddedTokens) -> None:
        self.encoding = encoding
        self._added = added

    @property
    def special_pattern(self) -> re.Pattern[str] | None:
        return self._added.special_pattern

    def can_encode(self, text: str) -> bool:
        """Whether the text has no run of white space that tiktoken cannot take.

        A run of two blocks fills at least one block, wherever it begins.
        """
        blocks = range(0, len(text) - _BLOCK_CHARS + 1, _BLOCK_CHARS)
        return not any(text[start : start + _BLOCK_CHARS].isspace() for start in blocks)

    def encode(self, text: str, *, parse_special: bool) -> list[int]:
        return encode_pieces(self.encoding, self._added, text, parse_special=parse_special)

    def encode_escaped(self, text: str, escape: str) -> list[int]:
        """Encode text whose special tokens are ordinary where ``escape`` stands inside them.

        The escape itself is left out of the ids.
        """
        ids: list[int] = []
        for piece in self._added.split(text, parse_special=True):
            if isinstance(piece, int):
                ids.append(piece)
            else:
                ids.extend(self.encoding.encode_ordinary(piece.replace(escape, "")))
        return ids
