"""Calls in the formats of all families, read back as adapters read them."""

import json
from typing import Any

import jsonschema
import pytest

from mlx_backends.errors import GrammarError, UnsupportedModelError
from mlx_backends.grammar import Grammar, compile_grammar, tool_constraint, tool_grammar
from mlx_backends.text import tool_formats
from mlx_backends.text.tokenizer import Tokenizer
from mlx_backends.text.tool_calls import ToolCallReader, joined_calls
from mlx_backends.text.tool_formats import JSON_TOOLS, ToolFormat

from .conftest import allowed_ids, completion, random_draw

FORMATS = {
    name.strip("_").lower(): value
    for name, value in vars(tool_formats).items()
    if isinstance(value, ToolFormat)
}
WEATHER = {
    "type": "object",
    "properties": {
        "city": {"type": "string"},
        "days": {"type": "integer", "minimum": 1, "maximum": 14},
        "unit": {"type": "string", "enum": ["celsius", "fahrenheit"]},
        "exact": {"type": "boolean"},
        "hours": {"type": "array", "items": {"type": "integer"}, "maxItems": 3},
    },
    "required": ["city", "days", "unit"],
}


def tool(name: str, parameters: dict[str, Any]) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


TOOLS = [tool("get_weather", WEATHER), tool("ping", {"type": "object", "properties": {}})]
SCHEMAS = {t["function"]["name"]: t["function"]["parameters"] for t in TOOLS}


def text_of(tokenizer: Tokenizer, choice: str, *, seed: int, **options: Any) -> str:
    constraint = tool_constraint(tokenizer, TOOLS, choice, max_tokens=400, **options)
    assert constraint is not None
    ids = completion(constraint, tokenizer, random_draw(seed))
    return b"".join(map(tokenizer.token_bytes, ids)).decode()


def calls_in(text: str, tool_format: ToolFormat) -> list[tuple[str | None, str]]:
    """Names and arguments."""
    reader = ToolCallReader(tool_format, TOOLS)
    pieces = [*reader.feed(text), *reader.finish()]
    calls = joined_calls(piece for piece in pieces if not isinstance(piece, str))
    return [(call.name, call.arguments) for call in calls]


def check(calls: list[tuple[str | None, str]]) -> None:
    for name, arguments in calls:
        assert name is not None, arguments
        jsonschema.validate(json.loads(arguments), SCHEMAS[name])


@pytest.mark.parametrize("name", FORMATS)
def test_calls_of_every_family_are_valid(name, tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "tool_format", FORMATS[name])
    monkeypatch.setattr("mlx_backends.grammar.vocabulary._made", {})
    for choice in ("any", "get_weather", "ping"):
        for seed in range(4):
            calls = calls_in(text_of(tokenizer, choice, seed=seed), FORMATS[name])
            assert calls
            assert all(choice in ("any", name) for name, _ in calls)
            check(calls)


def test_a_mark_is_one_control_token(tokenizer):
    assert tokenizer.tool_format is JSON_TOOLS
    mark = tokenizer.added_token_ids["<tool_call>"]
    constraint = tool_constraint(tokenizer, TOOLS, "any", max_tokens=100)
    assert constraint is not None
    assert allowed_ids(constraint).tolist() == [mark]


def test_auto_leaves_text_free_and_types_calls(tokenizer):
    mark = tokenizer.added_token_ids["<tool_call>"]
    constraint = tool_constraint(tokenizer, TOOLS, "auto", max_tokens=200)
    assert constraint is not None
    first = allowed_ids(constraint)
    assert mark in first
    assert len(first) > 4_000
    for token_id in [*tokenizer.encode("I ask."), mark]:
        assert constraint.accept(token_id) == token_id
    rest = completion(constraint, tokenizer, random_draw(1))
    text = b"".join(map(tokenizer.token_bytes, rest)).decode()
    check(calls_in(f"<tool_call>{text}", JSON_TOOLS))


def test_none_forbids_calls(tokenizer):
    constraint = tool_constraint(tokenizer, TOOLS, "none", max_tokens=40)
    assert constraint is not None
    for seed in range(3):
        constraint = tool_constraint(tokenizer, TOOLS, "none", max_tokens=40)
        assert constraint is not None
        assert tokenizer.added_token_ids["<tool_call>"] not in completion(
            constraint, tokenizer, random_draw(seed)
        )


@pytest.mark.parametrize("seed", range(6))
def test_one_call_only(seed, tokenizer):
    grammar = tool_grammar(tokenizer, TOOLS, "any", parallel=False)
    assert grammar is not None
    constraint = compile_grammar(grammar, tokenizer, max_tokens=200)
    ids = completion(constraint, tokenizer, random_draw(seed))
    assert ids.count(tokenizer.added_token_ids["<tool_call>"]) == 1


def test_an_answer_without_calls_can_have_a_schema(tokenizer, written):
    schema = {"type": "object", "properties": {"done": {"type": "boolean"}}, "required": ["done"]}
    grammar = tool_grammar(tokenizer, TOOLS, "auto", answer=schema)
    assert grammar is not None
    mark = tokenizer.added_token_ids["<tool_call>"]
    answer = written(grammar, draw=lambda ids: int(ids[ids != mark][0]), max_tokens=40)
    assert json.loads(answer).keys() == {"done"}
    text = written(grammar, draw=lambda ids: mark if mark in ids else int(ids[-1]), max_tokens=300)
    assert calls_in(text, JSON_TOOLS)


def test_models_without_tools(tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "tool_format", None)
    assert tool_grammar(tokenizer, TOOLS, "auto") is None
    assert tool_grammar(tokenizer, TOOLS, "none") is None
    with pytest.raises(UnsupportedModelError, match="no known format of tool calls"):
        tool_grammar(tokenizer, TOOLS, "any")


def test_a_mark_that_is_text_leaves_auto_free(tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "tool_format", FORMATS["mistral_list"])
    assert tool_grammar(tokenizer, TOOLS, "auto") is None
    assert tool_grammar(tokenizer, TOOLS, "any") is not None


def test_a_tool_that_does_not_exist(tokenizer):
    with pytest.raises(GrammarError, match="get_weather, ping"):
        tool_grammar(tokenizer, TOOLS, "get_wether")


def test_strict_reaches_the_schemas(tokenizer):
    unique = tool("f", {"type": "object", "properties": {"x": {"uniqueItems": True}}})
    grammar = tool_grammar(tokenizer, [unique], "f", strict=True)
    assert isinstance(grammar, Grammar)
    with pytest.raises(GrammarError, match="uniqueItems"):
        compile_grammar(grammar, tokenizer, max_tokens=100)


def many_tools(count: int) -> list[dict[str, Any]]:
    """As an agent has them that is connected to several servers: 1.4 kB each."""
    texts = {
        f"p{i}": {"type": "string", "description": "What the parameter is for. " * 4}
        for i in range(8)
    }
    schema = {"type": "object", "properties": {**WEATHER["properties"], **texts}}
    return [tool(f"tool_{i}", schema) for i in range(count)]


@pytest.mark.timeout(15)
def test_very_many_tools_are_enforced(tokenizer):
    """More than one schema may have of bytes; a second is enough where nothing else runs."""
    tools = many_tools(200)
    constraint = tool_constraint(tokenizer, tools, "any", max_tokens=400)
    assert constraint is not None
    ids = completion(constraint, tokenizer, random_draw(0))
    text = b"".join(map(tokenizer.token_bytes, ids)).decode()
    assert '{"name": "tool_' in text


def test_schemas_that_are_too_large_are_named(tokenizer):
    large = {"type": "object", "properties": {"x": {"enum": ["x" * 1_000] * 40}}}
    tools = [*many_tools(3), *(tool(f"large_{i}", large) for i in range(3))]
    with pytest.raises(GrammarError, match=r"6 tools are too large.*'large_0' alone has 40,"):
        tool_grammar(tokenizer, tools, "auto")
