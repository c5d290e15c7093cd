"""The words of a Metal source, with the line of each.

Comments become blanks first, so that lines and columns stay where the user wrote them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mlx_backends.errors import ShaderSyntaxError

_COMMENT = re.compile(r'"(?:\\.|[^"\\\n])*"|//[^\n]*|/\*.*?\*/', re.DOTALL)
_TOKEN = re.compile(
    r"(?P<directive>^[ \t]*\#(?:[^\n\\]|\\.|\\\n)*)"
    r"|(?P<space>\s+)"
    r"|(?P<name>[A-Za-z_]\w*)"
    r"|(?P<number>\.?\d(?:[eEpP][+-]|[\w.'])*)"
    r'|(?P<string>"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\')'
    r"|(?P<mark>\[\[|\]\]|::|->|\+\+|--|<<=|>>=|[-+*/%&|^=!<>]=|&&|\|\||<<|.)",
    re.MULTILINE | re.DOTALL,
)
_CLOSING = {")": "(", "]": "[", "}": "{"}


@dataclass(frozen=True, slots=True)
class Token:
    """A word, a mark, blank space or a whole preprocessor line.

    Attributes:
        kind: ``name``, ``number``, ``string``, ``mark``, ``space`` or ``directive``.
        text: As written.
        line: Line of its first character, from 1.
    """

    kind: str
    text: str
    line: int


def tokenize(source: str) -> list[Token]:
    """All tokens of a source; their texts together are the source without comments.

    Raises:
        ShaderSyntaxError: A comment or a bracket is not closed, or closed twice.
    """
    text = _COMMENT.sub(_blank, source)
    if "/*" in re.sub(r'"(?:\\.|[^"\\\n])*"', "", text):
        line = text[: text.index("/*")].count("\n") + 1
        raise ShaderSyntaxError("a comment begins with /* and never ends", line)
    tokens, line = [], 1
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        assert kind is not None
        # "]]" closes an attribute or two subscripts; only signatures ask for the former.
        tokens.append(Token(kind, match[0], line))
        line += match[0].count("\n")
    _check_brackets(tokens)
    return tokens


def text_of(tokens: Sequence[Token]) -> str:
    """The tokens as source."""
    return "".join(token.text for token in tokens)


def blanked(tokens: Sequence[Token]) -> str:
    """As many lines as the tokens have, with nothing in them."""
    return "\n" * text_of(tokens).count("\n")


def words(tokens: Sequence[Token]) -> list[Token]:
    """The tokens without blank space and preprocessor lines."""
    return [token for token in tokens if token.kind not in ("space", "directive")]


def _blank(match: re.Match[str]) -> str:
    if match[0].startswith('"'):
        return match[0]
    return " " + "\n" * match[0].count("\n")


def _check_brackets(tokens: Sequence[Token]) -> None:
    is_open: list[tuple[str, int]] = []
    for token in tokens:
        if token.kind != "mark":
            continue
        for mark in token.text:
            if mark in "([{":
                is_open.append((mark, token.line))
            elif mark in _CLOSING:
                if not is_open or is_open[-1][0] != _CLOSING[mark]:
                    raise ShaderSyntaxError(f"{mark!r} closes nothing", token.line)
                is_open.pop()
    if is_open:
        mark, line = is_open[-1]
        raise ShaderSyntaxError(f"{mark!r} is never closed", line)
