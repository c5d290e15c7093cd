"""Constrained decoding: what a completion may look like, enforced token by token.

A ``Grammar`` says it (a JSON schema, a regular expression, a list of choices, a Lark grammar or a
set of tools); ``compile_grammar`` turns it, for one model and one budget of tokens, into the
``Constraint`` that the engine asks before each draw. llguidance (Apache-2.0 or MIT) computes the
token masks and loads at the first grammar.
"""

import importlib
from typing import TYPE_CHECKING, Any

from mlx_backends.grammar.spec import Grammar

if TYPE_CHECKING:
    from mlx_backends.grammar.constraint import GrammarConstraint, compile_grammar
    from mlx_backends.grammar.tools import tool_constraint, tool_grammar

_HOME = {
    "GrammarConstraint": "constraint",
    "compile_grammar": "constraint",
    "tool_constraint": "tools",
    "tool_grammar": "tools",
}

__all__ = [
    "Grammar",
    "GrammarConstraint",
    "compile_grammar",
    "tool_constraint",
    "tool_grammar",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOME[name]}"), name)
