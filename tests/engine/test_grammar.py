"""Grammars through the real engine, beside requests without any, whatever the model draws."""

import json
import re

import pytest

from mlx_backends import Engine, EngineConfig, FinishReason, SamplingParams
from mlx_backends.errors import GrammarBudgetError, GrammarError
from mlx_backends.grammar import Grammar

PROMPT = [3, 4, 5, 6]
HOT = {"temperature": 1.5, "max_tokens": 40}


@pytest.fixture(scope="module")
def engine(tiny_lm):
    with Engine(EngineConfig(model=str(tiny_lm), dtype="float32")) as engine:
        yield engine


def generated(engine, grammar=None, **options):
    return engine.submit(PROMPT, SamplingParams(**options), grammar=grammar).result()


@pytest.mark.parametrize("seed", range(4))
def test_random_weights_keep_to_a_pattern(engine, seed):
    output = generated(engine, Grammar.regex("[a-f]+-[0-9]{2}"), seed=seed, **HOT)
    assert re.fullmatch("[a-f]+-[0-9]{2}", output.text)
    assert output.finish_reason is FinishReason.STOP
    assert output.usage is not None
    assert output.usage.completion_tokens <= 40


def test_a_stream_says_the_same_as_the_whole(engine):
    grammar = Grammar.json_schema({"type": "array", "items": {"type": "integer"}, "minItems": 2})
    whole = generated(engine, grammar, seed=1, **HOT)
    handle = engine.submit(PROMPT, SamplingParams(seed=1, **HOT), grammar=grammar)
    outputs = list(engine.stream(handle))
    assert "".join(output.text for output in outputs) == whole.text
    assert tuple(i for output in outputs for i in output.token_ids) == whole.token_ids
    assert len(json.loads(whole.text)) >= 2


def test_constrained_and_free_requests_of_a_batch_do_not_touch_each_other(engine):
    grammars = [None, Grammar.choice(["red", "green"]), None, Grammar.regex("[0-9]{5}")] * 2
    params = [SamplingParams(seed=seed, temperature=1.0, max_tokens=12) for seed in range(8)]
    alone = [
        engine.submit(PROMPT, p, grammar=g).result().token_ids
        for p, g in zip(params, grammars, strict=True)
    ]
    handles = [engine.submit(PROMPT, p, grammar=g) for p, g in zip(params, grammars, strict=True)]
    assert [handle.result().token_ids for handle in handles] == alone


def test_greedy_draws_the_likeliest_allowed_token(engine):
    free = generated(engine, max_tokens=1, logprobs=True, top_logprobs=100)
    likelihood = {entry.token_id: entry.logprob for entry in free.logprobs[0].top}
    by_letter = {
        letter: likelihood[token_id]
        for letter in "abcdefghijklmnopqrstuvwxyz"
        if (token_id := engine.tokenizer.encode(letter)[0]) in likelihood
    }
    best, second = sorted(by_letter, key=by_letter.__getitem__, reverse=True)[:2]
    answer = generated(engine, Grammar.choice([second, best]), max_tokens=4)
    assert answer.text == best


def test_options_that_would_break_a_grammar_do_not(engine):
    stop_id = engine.tokenizer.encode("a")[0]
    output = generated(
        engine,
        Grammar.choice(["ab"]),
        min_tokens=20,
        ignore_eos=True,
        repetition_penalty=2.0,
        frequency_penalty=2.0,
        top_k=1,
        max_tokens=30,
    )
    assert output.text == "ab"
    assert output.finish_reason is FinishReason.STOP
    stopped = generated(engine, Grammar.regex("[ab]{8}"), stop_token_ids=(stop_id,), max_tokens=30)
    assert set(stopped.text) <= {"b"}


def test_a_stop_string_ends_a_constrained_completion(engine):
    output = generated(engine, Grammar.regex("x{3}y{3}"), stop=("xy",), max_tokens=30)
    assert output.text == "xx"
    assert output.stop_reason == "xy"


def test_the_budget_ends_with_the_context_window(engine):
    window = engine.context_window
    prompt = [3] * (window - 12)
    grammar = Grammar.regex("[a-z]*!")
    params = SamplingParams(temperature=1.5, seed=0)
    output = engine.submit(prompt, params, grammar=grammar).result()
    assert re.fullmatch("[a-z]*!", output.text)
    assert output.usage is not None
    assert output.usage.completion_tokens <= 12
    with pytest.raises(GrammarBudgetError, match="within 1 tokens"):
        engine.submit([3] * (window - 1), params, grammar=Grammar.regex("[a-z]{60}"))


def test_a_bad_grammar_raises_where_it_was_made_and_costs_nothing(engine):
    before = engine.stats().submitted
    with pytest.raises(GrammarError, match="cannot be compiled"):
        generated(engine, Grammar.regex("(("), max_tokens=5)
    assert engine.stats().submitted == before


def test_logprobs_of_the_tokens_that_stand(engine):
    output = generated(engine, Grammar.regex("a{2}b"), max_tokens=4, logprobs=True, top_logprobs=1)
    assert len(output.logprobs) == len(output.token_ids)
    assert [entry.chosen.token_id for entry in output.logprobs] == list(output.token_ids)


def test_special_tokens_are_shown_if_asked_for(engine):
    eos = engine.tokenizer.added_token_ids["<|im_start|>"]
    grammar = Grammar.lark(f'start: "a" <[{eos}]> "b"')
    assert generated(engine, grammar, max_tokens=5).text == "ab"
    shown = generated(engine, grammar, max_tokens=5, skip_special_tokens=False)
    assert shown.text == "a<|im_start|>b"
