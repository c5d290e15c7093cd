import json
import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlx_backends.errors import GrammarBudgetError, GrammarError
from mlx_backends.grammar import Grammar, compile_grammar
from mlx_backends.grammar.citations import cited_answer
from mlx_backends.grammar.json_schema import MAX_DEPTH
from mlx_backends.grammar.spec import MAX_GRAMMAR_BYTES
from mlx_backends.text.grounding import REFUSAL

from .conftest import allowed_ids, completion, random_draw

PERSON = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "age": {"type": "integer"},
        "tags": {"type": "array", "items": {"type": "string"}, "minItems": 1},
    },
    "required": ["name", "age", "tags"],
}


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(
    "pattern",
    [
        "[a-z]+@[a-z]+\\.com",
        "(ab|c)*END",
        "[0-9]{3}-[0-9]{4}",
        "[^x]*x",
        "(yes|no)/(maybe)?",
        "日本(語|人)+!",
    ],
)
def test_a_pattern_matches_the_whole_text(pattern, seed, written):
    assert re.fullmatch(pattern, written(Grammar.regex(pattern), max_tokens=24, seed=seed))


@pytest.mark.parametrize("seed", range(6))
def test_a_choice_is_one_of_the_choices(seed, written):
    choices = ['say "hi"', "a\nb", "日本語", "plain", "plain text", "back\\slash"]
    assert written(Grammar.choice(choices), seed=seed) in choices


def test_context_free_grammars(written):
    lark = 'start: "(" start ")" | /[a-z]+/'
    gbnf = 'root ::= "(" root ")" | [a-z]+'
    for grammar in (Grammar.lark(lark), Grammar.gbnf(gbnf)):
        for seed in range(6):
            text = written(grammar, max_tokens=20, seed=seed)
            depth = text.count("(")
            assert re.fullmatch(rf"\({{{depth}}}[a-z]+\){{{depth}}}", text)


@pytest.mark.parametrize("max_tokens", [24, 25, 26, 31, 40, 64, 200])
@pytest.mark.parametrize("seed", range(5))
def test_json_is_closed_in_time(max_tokens, seed, written):
    value = json.loads(written(Grammar.json_schema(PERSON), max_tokens=max_tokens, seed=seed))
    assert set(value) == {"name", "age", "tags"}
    assert isinstance(value["age"], int)
    assert value["tags"]


def test_a_completion_that_never_wants_to_end_is_ended(written, tokenizer):
    """A model that always draws the letter ``e`` if it may."""
    letter = tokenizer.encode("e")[0]
    draw = random_draw(0)
    text = written(
        Grammar.json_schema(PERSON),
        max_tokens=60,
        draw=lambda ids: letter if letter in ids else draw(ids),
    )
    assert "eeeeeeee" in json.loads(text)["name"]


def test_values_are_written_as_json_dumps_writes_them(written):
    for seed in range(10):
        text = written(Grammar.json_schema(PERSON), seed=seed)
        assert re.match(r'\{"name": "', text)
        assert re.search(r', "age": -?\d+, "tags": \["', text)


def test_listed_properties_are_the_only_ones_and_integers_are_safe(written):
    schema = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    for seed in range(20):
        value = json.loads(written(Grammar.json_schema(schema), seed=seed))
        assert value.keys() == {"n"}
        assert abs(value["n"]) < 2**53


def test_parts_of_an_all_of_are_not_closed_against_each_other(written):
    schema = {
        "allOf": [
            {"type": "object", "properties": {"a": {"type": "null"}}, "required": ["a"]},
            {"type": "object", "properties": {"b": {"type": "null"}}, "required": ["b"]},
        ]
    }
    assert {"a", "b"} <= json.loads(written(Grammar.json_schema(schema), max_tokens=100)).keys()


def test_too_few_tokens_are_an_error_that_says_how_many(tokenizer):
    grammar = Grammar.json_schema(PERSON)
    with pytest.raises(GrammarBudgetError, match="within 5 tokens") as caught:
        compile_grammar(grammar, tokenizer, max_tokens=5)
    needed = caught.value.needed_tokens
    assert needed is not None
    assert caught.value.max_tokens == 5
    compile_grammar(grammar, tokenizer, max_tokens=needed)
    with pytest.raises(GrammarBudgetError):
        compile_grammar(grammar, tokenizer, max_tokens=needed - 1)


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 2**32), max_tokens=st.integers(1, 50))
def test_every_budget_is_kept_or_refused(tokenizer, seed, max_tokens):
    grammar = Grammar.regex("([a-c]{2,5},)*[0-9]+;")
    try:
        constraint = compile_grammar(grammar, tokenizer, max_tokens=max_tokens)
    except GrammarBudgetError:
        assert max_tokens < 3
        return
    ids = completion(constraint, tokenizer, random_draw(seed))
    text = b"".join(map(tokenizer.token_bytes, ids)).decode()
    assert re.fullmatch(grammar.source, text)


def test_the_mask_holds_what_the_grammar_allows_and_nothing_else(tokenizer):
    constraint = compile_grammar(Grammar.choice(["red", "green"]), tokenizer, max_tokens=8)
    assert constraint.allowed_bitmask().dtype == np.uint32
    assert len(constraint.allowed_bitmask()) == -(-tokenizer.vocab_size // 32)
    for token_id in allowed_ids(constraint):
        token = tokenizer.token_bytes(int(token_id))
        assert any(choice.startswith(token) for choice in (b"red", b"green"))


def test_a_token_that_leaves_no_way_out_is_replaced(tokenizer):
    """Three tokens are enough for ``ab`` and the end; the letter drawn again and again is not."""
    constraint = compile_grammar(Grammar.regex("a+b"), tokenizer, max_tokens=3)
    a, b = tokenizer.encode("a")[0], tokenizer.encode("b")[0]
    accepted = []
    while not constraint.is_finished:
        accepted.append(constraint.accept(a))
    assert accepted == [a, a, b]


def test_reasoning_may_come_before_the_answer(reasoning_tokenizer):
    start, end = (reasoning_tokenizer.added_token_ids[m] for m in ("<think>", "</think>"))
    grammar = Grammar.choice(["yes", "no"])
    free = compile_grammar(grammar, reasoning_tokenizer, max_tokens=40)
    assert start in allowed_ids(free)
    assert end not in allowed_ids(free)
    opened = compile_grammar(
        grammar, reasoning_tokenizer, max_tokens=40, prompt_token_ids=[1, start]
    )
    assert end in allowed_ids(opened)
    for seed in range(5):
        constraint = compile_grammar(
            grammar, reasoning_tokenizer, max_tokens=40, prompt_token_ids=[1, start]
        )
        ids = completion(constraint, reasoning_tokenizer, random_draw(seed))
        answer = ids[ids.index(end) + 1 :]
        text = b"".join(map(reasoning_tokenizer.token_bytes, answer)).decode()
        assert text.strip("\n") in ("yes", "no")
    closed = compile_grammar(
        grammar, reasoning_tokenizer, max_tokens=40, prompt_token_ids=[start, end]
    )
    assert start not in allowed_ids(closed)


@pytest.mark.parametrize("num_passages", [0, 1, 3, 12])
@pytest.mark.parametrize("seed", range(6))
def test_only_passages_of_the_prompt_are_cited(num_passages, seed, written):
    text = written(cited_answer(num_passages), max_tokens=24, seed=seed)
    cited = [int(number) for number in re.findall(r"\[(\d+)\]", text)]
    assert text == REFUSAL or cited
    assert all(1 <= number <= num_passages for number in cited)


def test_a_citation_is_known_as_the_way_out(tokenizer):
    """And need not be searched for, which takes long on a large vocabulary."""
    grammar = cited_answer(12)
    assert grammar.closers == ("[1]",)
    shortest = len(tokenizer.encode("[1]")) + 1
    constraint = compile_grammar(grammar, tokenizer, max_tokens=shortest)
    assert len(completion(constraint, tokenizer, random_draw(3))) <= shortest
    assert cited_answer(0).closers == ()


def test_an_answer_without_passages_and_without_refusal_is_refused():
    with pytest.raises(GrammarError, match="nothing to answer"):
        cited_answer(0, refusal=None)


DEEP: dict = {"type": "string"}
for _ in range(10_000):
    DEEP = {"type": "array", "items": DEEP}

HOSTILE = {
    "nested quantifiers": lambda: Grammar.regex("((((a{1,100}){1,100}){1,100}){1,100}){1,100}b"),
    "catastrophic backtracking": lambda: Grammar.regex("(a+)+b"),
    "many dots": lambda: Grammar.regex("(.*a){50}.*b.{500}"),
    "huge repetition": lambda: Grammar.regex("(.{0,1000}x){1000}"),
    "doubled star": lambda: Grammar.regex("foo**"),
    "open group": lambda: Grammar.regex("(((("),
    "look-ahead": lambda: Grammar.regex("(?=a)b"),
    "deep parentheses": lambda: Grammar.regex("(" * 10_000 + "a" + ")" * 10_000),
    "large alternation": lambda: Grammar.choice([f"choice {i}" for i in range(3_000)]),
    "one megabyte of enum": lambda: Grammar.json_schema({"enum": ["x" * 1_000] * 1_000}),
    "deep schema": lambda: Grammar.json_schema(DEEP),
    "deep JSON": lambda: Grammar.json_schema("[" * 50_000),
    "lone surrogate": lambda: Grammar.json_schema({"enum": ["\ud800"]}),
    "lone surrogate in a pattern": lambda: Grammar.regex("a\ud800"),
    "endless reference": lambda: Grammar.json_schema({"$ref": "#"}),
    "mutual references": lambda: Grammar.json_schema(
        {
            "$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"$ref": "#/$defs/a"}},
            "$ref": "#/$defs/a",
        }
    ),
    "remote reference": lambda: Grammar.json_schema({"$ref": "http://localhost:1/schema"}),
    "long string": lambda: Grammar.json_schema({"type": "string", "minLength": 10**9}),
    "long array": lambda: Grammar.json_schema(
        {"type": "array", "minItems": 10**9, "items": {"type": "integer"}}
    ),
    "empty range": lambda: Grammar.json_schema({"type": "string", "minLength": 5, "maxLength": 3}),
    "many combinations": lambda: Grammar.json_schema(
        {
            "allOf": [
                {"anyOf": [{"properties": {f"p{i}_{j}": {}}} for j in range(9)]} for i in range(9)
            ]
        }
    ),
    "pattern with nested quantifiers": lambda: Grammar.json_schema(
        {"type": "string", "pattern": "^(([a-z])+.)+[A-Z]([a-z])+$"}
    ),
    "unknown type": lambda: Grammar.json_schema({"type": "text"}),
    "not a schema": lambda: Grammar.json_schema("[1]"),
    "left recursion": lambda: Grammar.lark('start: a\na: a "x"'),
    "ambiguity": lambda: Grammar.lark('start: a\na: a a a a | "x" |'),
    "unknown rule": lambda: Grammar.lark("start: foo"),
    "endless GBNF": lambda: Grammar.gbnf("root ::= ((("),
}


@pytest.mark.timeout(15)
@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_grammar_gets_a_verdict(case, tokenizer):
    """A second is enough where nothing else runs."""
    try:
        constraint = compile_grammar(HOSTILE[case](), tokenizer, max_tokens=64)
    except GrammarError:
        return
    assert len(completion(constraint, tokenizer, random_draw(0))) <= 64


def test_sizes_are_bounded():
    Grammar.regex("a" * MAX_GRAMMAR_BYTES)
    with pytest.raises(GrammarError, match="at most 65,536"):
        Grammar.regex("a" * (MAX_GRAMMAR_BYTES + 1))


def test_depth_is_bounded(tokenizer):
    schema: dict = {"type": "null"}
    for _ in range(MAX_DEPTH + 1):
        schema = {"type": "array", "items": schema}
    with pytest.raises(GrammarError, match="nested more than 64"):
        compile_grammar(Grammar.json_schema(schema), tokenizer, max_tokens=300)


def test_strict_refuses_what_cannot_be_enforced(tokenizer, written):
    schema = {"type": "array", "items": {"enum": [1]}, "uniqueItems": True, "minItems": 1}
    assert json.loads(written(Grammar.json_schema(schema)))[0] == 1
    with pytest.raises(GrammarError, match="uniqueItems"):
        compile_grammar(Grammar.json_schema(schema, strict=True), tokenizer, max_tokens=64)


@pytest.mark.parametrize("choices", [[], "abc", [1]])
def test_choices_are_strings(choices):
    with pytest.raises(GrammarError, match="non-empty list of strings"):
        Grammar.choice(choices)


def test_an_unknown_kind_is_refused():
    with pytest.raises(GrammarError, match="json_schema, regex"):
        Grammar("xml", "<a/>")
