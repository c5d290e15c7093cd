"""Grammars in llguidance's form, compiled within fixed bounds."""

import json
from collections.abc import Sequence
from typing import Any

from llguidance import LLMatcher, LLParserLimits, regex_to_lark
from llguidance.gbnf_to_lark import any_to_lark

from mlx_backends.errors import GrammarError
from mlx_backends.grammar.json_schema import enforceable, parse_schema
from mlx_backends.grammar.spec import Grammar
from mlx_backends.grammar.vocabulary import Vocabulary
from mlx_backends.text.reasoning import is_reasoning_at_end, is_reasoning_over

# Work, not time, is bounded, so that a verdict does not depend on the machine: at llguidance's
# rates this is about 20 ms for the first state and 15 ms for a mask.
_LIMITS = LLParserLimits(
    initial_lexer_fuel=1_000_000,
    step_lexer_fuel=200_000,
    step_max_items=50_000,
    max_grammar_size=200_000,
    verbose_errors=False,
)


def new_matcher(
    grammar: Grammar, vocabulary: Vocabulary, prompt_token_ids: Sequence[int] = ()
) -> LLMatcher:
    """The grammar's state before the first token.

    Raises:
        GrammarError: The grammar is malformed, too complex, or no text belongs to it.
    """
    source = _source(grammar)
    if prefix := _reasoning_prefix(vocabulary, prompt_token_ids):
        source = {"grammars": [{"lark_grammar": prefix}, {"name": "answer", **source}]}
    else:
        source = {"grammars": [source]}
    matcher = LLMatcher(vocabulary.llguidance, json.dumps(source), log_level=0, limits=_LIMITS)
    if matcher.is_error():
        raise GrammarError(_message(grammar, matcher.get_error()))
    return matcher


def _source(grammar: Grammar) -> dict[str, Any]:
    match grammar.kind:
        case "json_schema":
            schema = parse_schema(grammar.source)
            return {"json_schema": enforceable(schema, strict=grammar.is_strict)}
        case "regex":
            return {"lark_grammar": f"start: /{regex_to_lark(grammar.source, 'd')}/"}
        case "choice":
            choices = map(json.dumps, json.loads(grammar.source))
            return {"lark_grammar": f"start: {' | '.join(choices)}"}
        case "lark" | "tools":
            return {"lark_grammar": grammar.source}
        case "gbnf":
            return {"lark_grammar": _converted_gbnf(grammar)}


def _converted_gbnf(grammar: Grammar) -> str:
    try:
        return any_to_lark(grammar.source)
    except Exception as error:  # the converter raises no narrower type
        raise GrammarError(_message(grammar, str(error))) from error


def _reasoning_prefix(vocabulary: Vocabulary, prompt_token_ids: Sequence[int]) -> str | None:
    """What may stand before the answer of a model that reasons, as Lark; None for nothing."""
    if vocabulary.reasoning_ids is None:
        return None
    start, end = vocabulary.reasoning_ids
    if is_reasoning_over(prompt_token_ids, end):
        return None
    rest = f"TEXT? <[{end}]> BREAK? @answer\nTEXT: /(.|\\n)+/\nBREAK: /\\n{{1,2}}/"
    if is_reasoning_at_end(prompt_token_ids, start, end):
        return f"start: {rest}"
    return f"start: @answer | <[{start}]> {rest}"


def _message(grammar: Grammar, reason: str) -> str:
    kind = grammar.kind.replace("_", " ").replace("json", "JSON")
    return f"The {kind} cannot be compiled: {reason.strip()!s:.300}"
