"""What a caller can ask a completion to look like, as one hashable value.

Knows neither tokens nor models; ``constraint.compile_grammar`` does.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mlx_backends.errors import GrammarError

GrammarKind = Literal["json_schema", "regex", "choice", "lark", "gbnf", "tools"]
KINDS: tuple[GrammarKind, ...] = ("json_schema", "regex", "choice", "lark", "gbnf")
"""What callers write; ``tools`` is made by ``tool_grammar``."""

# Compile time grows with the square of a grammar's size: this much takes half a second.
MAX_GRAMMAR_BYTES = 64 * 1024
# Tools are many small grammars, whose compile times add up: this much takes a quarter of a second.
MAX_TOOLS_BYTES = 1024 * 1024

ANY_JSON_OBJECT: dict[str, Any] = {"type": "object"}


@dataclass(frozen=True, slots=True)
class Grammar:
    """The language that a completion must belong to.

    Make one with ``json_schema``, ``regex``, ``choice``, ``lark`` or ``gbnf``.

    Attributes:
        kind: How ``source`` is written.
        source: The grammar; schemas and lists of choices are written as JSON, ``tools`` as Lark.
        is_strict: Whether a part that cannot be enforced is an error. If not, it is left out, and
            what remains is enforced.
        closers: Texts that end parts of the grammar in which any text may stand, so that such a
            part can be ended when tokens run short.

    Raises:
        GrammarError: The source is too large or is not Unicode.
    """

    kind: GrammarKind
    source: str
    is_strict: bool = False
    closers: tuple[str, ...] = ()

    @property
    def writes_json(self) -> bool:
        """Whether most of what belongs to the grammar is JSON."""
        return self.kind == "json_schema" or "%json" in self.source

    def __post_init__(self) -> None:
        if self.kind not in (*KINDS, "tools"):
            raise GrammarError(f"A grammar is one of {', '.join(KINDS)}; got {self.kind!r:.40}.")
        try:
            size = len(self.source.encode())
        except UnicodeEncodeError as error:
            raise GrammarError(
                f"The {self.kind} grammar is not Unicode: it has a lone surrogate at "
                f"{error.start:,}."
            ) from None
        limit = MAX_TOOLS_BYTES if self.kind == "tools" else MAX_GRAMMAR_BYTES
        if size > limit:
            raise GrammarError(
                f"The {self.kind} grammar has {size:,} bytes; at most {limit:,} are compiled. "
                "Make it smaller."
            )

    @classmethod
    def json_schema(cls, schema: Mapping[str, Any] | str, *, strict: bool = False) -> "Grammar":
        """JSON that a schema describes (draft 2020-12, written as ``json.dumps`` writes).

        Args:
            schema: The schema, or its JSON text.
            strict: Refuse keywords that cannot be enforced, such as ``uniqueItems``; without it
                they are left out.
        """
        return cls("json_schema", schema if isinstance(schema, str) else _dumped(schema), strict)

    @classmethod
    def regex(cls, pattern: str) -> "Grammar":
        """Text that a regular expression matches as a whole, without look-around."""
        return cls("regex", pattern)

    @classmethod
    def choice(cls, choices: Sequence[str]) -> "Grammar":
        """Exactly one of these texts."""
        if isinstance(choices, str) or not choices or not all(isinstance(c, str) for c in choices):
            raise GrammarError(f"choice takes a non-empty list of strings; got {choices!r:.80}.")
        return cls("choice", _dumped(list(choices)))

    @classmethod
    def lark(cls, source: str) -> "Grammar":
        """Text of a context-free grammar in llguidance's variant of Lark, rule ``start``."""
        return cls("lark", source)

    @classmethod
    def gbnf(cls, source: str) -> "Grammar":
        """Text of a context-free grammar as llama.cpp writes it, rule ``root``."""
        return cls("gbnf", source)


def _dumped(value: Any) -> str:
    try:
        # Lone surrogates stay escaped, and reach the reader of the JSON, who refuses them.
        return json.dumps(value)
    except (TypeError, ValueError, RecursionError) as error:
        raise GrammarError(f"The grammar is not JSON: {type(error).__name__}: {error}") from error
