"""Whatever the schema and whatever the model draws: valid, within ``max_tokens``, or refused."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jsonschema
import pytest

from mlx_backends import Engine, EngineConfig, SamplingParams, bundled
from mlx_backends.errors import GrammarBudgetError, GrammarError
from mlx_backends.grammar import Grammar, compile_grammar

from .conftest import completion, random_draw
from .schemas import SchemaMaker

MAX_TOKENS = 96


def schemas(count: int) -> list[dict[str, Any]]:
    return [SchemaMaker(seed).schema() for seed in range(count)]


def check(text: str, schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator(schema).validate(json.loads(text))


def outcome_with_random_tokens(schema: dict[str, Any], seed: int, tokenizer: Any) -> str:
    try:
        constraint = compile_grammar(Grammar.json_schema(schema), tokenizer, max_tokens=MAX_TOKENS)
    except GrammarBudgetError:
        return "refused: budget"
    except GrammarError:
        return "refused"
    ids = completion(constraint, tokenizer, random_draw(seed))
    assert len(ids) <= MAX_TOKENS
    check(b"".join(map(tokenizer.token_bytes, ids)).decode(), schema)
    return "valid"


def test_random_tokens_make_valid_json(tokenizer):
    outcomes = Counter(
        outcome_with_random_tokens(schema, seed, tokenizer)
        for seed, schema in enumerate(schemas(60))
    )
    assert outcomes["valid"] >= 50, outcomes


@pytest.mark.slow
def test_random_tokens_make_valid_json_from_many_schemas(tokenizer):
    outcomes = Counter(
        outcome_with_random_tokens(schema, seed, tokenizer)
        for seed, schema in enumerate(schemas(300))
    )
    assert outcomes["valid"] >= 250, outcomes


def outcomes_of_a_model(model: str, schemas: Sequence[dict[str, Any]], **sampling: Any) -> Counter:
    """Ask one model for all schemas at once, as one continuous batch."""
    counts: Counter = Counter()
    with Engine(EngineConfig(model=model)) as engine:
        prompt = engine.tokenizer.encode_chat([{"role": "user", "content": "Answer as JSON."}])
        handles = []
        for seed, schema in enumerate(schemas):
            params = SamplingParams(max_tokens=MAX_TOKENS, seed=seed, **sampling)
            try:
                grammar = Grammar.json_schema(schema)
                handles.append((engine.submit(prompt, params, grammar=grammar), schema))
            except GrammarError as error:
                counts[type(error).__name__] += 1
        for handle, schema in handles:
            output = handle.result()
            assert output.usage is not None
            assert output.usage.completion_tokens <= MAX_TOKENS
            check(output.text, schema)
            counts["valid"] += 1
    return counts


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_the_bundled_model_makes_valid_json_from_many_schemas():
    counts = outcomes_of_a_model(str(bundled.path("lm")), schemas(300))
    print(f"\n{dict(counts)}")
    assert counts["valid"] >= 290, counts
    assert sum(counts.values()) == 300


@pytest.mark.slow
@pytest.mark.timeout(1_800)
def test_random_weights_make_valid_json_from_many_schemas(tiny_lm):
    counts = outcomes_of_a_model(str(tiny_lm), schemas(300), temperature=1.5)
    print(f"\n{dict(counts)}")
    assert counts["valid"] >= 290, counts
    assert sum(counts.values()) == 300


def test_random_weights_make_valid_json(tiny_lm):
    counts = outcomes_of_a_model(str(tiny_lm), schemas(12), temperature=1.5)
    assert counts["valid"] >= 9, counts
