"""KV entries of earlier prompts, reused: what is found, what is counted, and the same tokens."""

import pytest

from mlx_backends import SamplingParams

from .conftest import MODES, collect, greedy, prompts_of, together

BLOCK_SIZE = 8
pytestmark = pytest.mark.parametrize("mode", MODES)


def ask(engine, prompt, count=4, **options):
    """Token ids and usage of one request."""
    ids, _, last = collect(engine, engine.submit(prompt, greedy(count), **options))
    return ids, last.usage


def test_usage_tells_what_was_found_and_what_was_left_for_others(make_engine, mode):
    engine = make_engine(mode)
    (prompt,) = prompts_of([100], seed=1)
    # 64 of 70 tokens are whole blocks; a completion of one token leaves no KV entries.
    costs = [ask(engine, prompt[:length], count=1)[1] for length in (70, 70, 100, 7)]
    assert [(u.cached_tokens, u.cache_creation_tokens) for u in costs] == [
        (0, 64),
        (64, 0),
        (64, 32),
        (6, 0),  # all but the last, by a copy of the first block
    ]


def test_switched_off_nothing_is_found_or_left(make_engine, mode):
    engine = make_engine(mode, cache={"prefix_caching": False})
    (prompt,) = prompts_of([70], seed=1)
    for _ in range(2):
        usage = ask(engine, prompt)[1]
        assert (usage.cached_tokens, usage.cache_creation_tokens) == (0, 0)
    assert engine.stats().blocks_cached == 0


def test_a_prompt_is_found_while_the_first_is_still_prefilling(make_engine, reference, mode):
    engine = make_engine(mode, num_blocks=200)
    (prefix,) = prompts_of([300], seed=2)
    prompts = [[*prefix, end] for end in range(5, 9)]
    handles = [engine.submit(prompt, greedy(8)) for prompt in prompts]
    outputs = [collect(engine, handle) for handle in handles]
    assert [ids for ids, _, _ in outputs] == [reference(prompt, 8) for prompt in prompts]
    # The second computes beside the first, in the same steps; the others wait for the budget.
    first, _, *others = (last.usage.cached_tokens for _, _, last in outputs)
    assert (first, *others) == (0, 296, 296)


def test_salts_do_not_share(make_engine, reference, mode):
    engine = make_engine(mode)
    (prompt,) = prompts_of([40], seed=3)
    for salt in ("a", "b", None):
        for expected in (0, 39):
            ids, usage = ask(engine, prompt, count=1, cache_salt=salt)
            assert usage.cached_tokens == expected
            assert ids == reference(prompt, 1)


def test_a_copy_is_written_to_and_its_source_is_not(make_engine, reference, mode):
    """Several prompts leave a cached block at different tokens, while its owner still runs."""
    engine = make_engine(mode, num_blocks=200)
    (prompt,) = prompts_of([64], seed=4)
    owner = engine.stream(engine.submit(prompt, greedy(40)))
    tokens = list(next(owner).token_ids)
    branches = [[*prompt[:length], 5, 6, 7] for length in (60, 61, 62, 63, 52, 63)]
    handles = [engine.submit(branch, greedy(20)) for branch in branches]
    outputs = [collect(engine, handle) for handle in handles]
    tokens += [token for output in owner for token in output.token_ids]
    assert tokens == reference(prompt, 40)
    assert [ids for ids, _, _ in outputs] == [reference(branch, 20) for branch in branches]
    assert [last.usage.cached_tokens for _, _, last in outputs] >= [60, 61, 62, 63, 52, 63]
    assert ask(engine, prompt, 40)[0] == reference(prompt, 40)


def test_cached_prompts_are_evicted_and_computed_again(make_engine, reference, mode):
    engine = make_engine(mode, num_blocks=24)
    prompts = prompts_of([60, 61, 62, 63], seed=5)
    for _ in range(2):
        for prompt in prompts:
            assert together(engine, [prompt], [greedy(6)]) == [reference(prompt, 6)]
    stats = engine.stats()
    assert stats.blocks_in_use == 0
    assert stats.blocks_cached <= 24


@pytest.mark.parametrize("options", [{}, {"temperature": 0.9, "seed": 7}, {"logprobs": True}])
def test_prompts_of_which_only_the_last_token_is_new_go_on_as_they_did(make_engine, mode, options):
    # 64 tokens end with a block: its copy lacks the last one, which a decode step computes.
    engine = make_engine(mode, prefill_chunk_size=512)
    prompts = prompts_of([64] * 3, seed=5)
    params = SamplingParams(**{"temperature": 0.0, "max_tokens": 9, "ignore_eos": True, **options})

    def answers():
        handles = [engine.submit(prompt, params) for prompt in prompts]
        return [collect(engine, handle) for handle in handles]

    cold, again = answers(), answers()
    assert [ids for ids, _, _ in again] == [ids for ids, _, _ in cold]
    assert [last.usage.cached_tokens for _, _, last in again] == [63] * 3
