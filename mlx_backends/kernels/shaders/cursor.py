"""Reads the words of a shader one after another."""

from collections.abc import Sequence

from mlx_backends.errors import ShaderSyntaxError
from mlx_backends.kernels.shaders.tokens import Token


class Cursor:
    """Reads words one after another."""

    def __init__(self, tokens: Sequence[Token], at: int = 0) -> None:
        self._tokens = tokens
        self.at = at

    @property
    def line(self) -> int:
        if not self._tokens:
            return 1
        return self._tokens[min(self.at, len(self._tokens) - 1)].line

    def peek(self) -> str:
        """The next word, or nothing at the end."""
        self._skip_space()
        return self._tokens[self.at].text if self.at < len(self._tokens) else ""

    def next(self) -> Token | None:
        self._skip_space()
        if self.at >= len(self._tokens):
            return None
        self.at += 1
        return self._tokens[self.at - 1]

    def take(self, text: str, otherwise: str = "") -> None:
        found = self.peek()
        if found != text:
            raise ShaderSyntaxError(
                otherwise or f"expected {text!r}, found {found!r:.40}", self.line
            )
        self.next()

    def take_name(self, otherwise: str) -> str:
        token = self.next()
        if token is None or token.kind != "name":
            raise ShaderSyntaxError(otherwise, self.line)
        return token.text

    def enclosed(self, opening: str, closing: str, otherwise: str) -> tuple[Token, ...]:
        """What stands between a bracket here and the one that closes it."""
        self.take(opening, otherwise)
        start, depth = self.at, 1
        while self.at < len(self._tokens):
            token = self._tokens[self.at]
            if token.kind == "mark":
                depth += token.text.count(opening) - token.text.count(closing)
                if depth == 0:
                    self.at += 1
                    return tuple(self._tokens[start : self.at - 1])
            self.at += 1
        raise ShaderSyntaxError(f"{opening!r} is never closed", self.line)

    def _skip_space(self) -> None:
        while self.at < len(self._tokens) and self._tokens[self.at].kind in ("space", "directive"):
            self.at += 1
