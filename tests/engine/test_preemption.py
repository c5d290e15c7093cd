"""Sequences that lose their KV entries, to others or to a fault, end with the same tokens."""

import dataclasses

import mlx.core as mx
import pytest

from mlx_backends.engine.runner import PackingRunner
from mlx_backends.errors import NumericalError

from .conftest import MODES, collect, greedy, prompts_of, together


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("prefix_caching", [False, True])
def test_a_tiny_pool_gives_the_same_tokens(make_engine, reference, mode, prefix_caching):
    engine = make_engine(mode, num_blocks=36, cache={"prefix_caching": prefix_caching})
    prompts = prompts_of([20, 21, 22, 23, 5, 40], seed=11)
    got = together(engine, prompts, [greedy(120)] * len(prompts))
    stats = engine.stats()
    assert got == [reference(prompt, 120) for prompt in prompts]
    assert stats.preemptions > 0
    assert stats.blocks_in_use == 0


@pytest.mark.parametrize("mode", MODES)
def test_sampled_sequences_go_on_with_their_own_random_numbers(make_engine, mode):
    prompts = prompts_of([20, 21, 22, 23], seed=12)
    params = [greedy(120, temperature=1.0, seed=seed) for seed in range(4)]
    tight, wide = (make_engine(mode, num_blocks=n) for n in (36, 200))
    assert together(tight, prompts, params) == together(wide, prompts, params)
    assert tight.stats().preemptions > wide.stats().preemptions == 0


@pytest.mark.parametrize("mode", MODES)
def test_the_urgent_one_is_not_the_one_that_waits(make_engine, reference, mode):
    engine = make_engine(mode, num_blocks=36, cache={"prefix_caching": False})
    prompts = prompts_of([20, 21, 22], seed=13)
    handles = [engine.submit(p, greedy(150), priority=-i) for i, p in enumerate(prompts)]
    for prompt, handle in zip(prompts, handles, strict=True):
        assert collect(engine, handle)[0] == reference(prompt, 150)
    assert engine.stats().preemptions > 0


def spoil_at(engine, request_id, num_tokens):
    """After so many tokens of a request, ruin the KV entries it wrote and make its logits bad."""
    runner = engine._loop._runner
    name = "run" if isinstance(runner, PackingRunner) else "decode"
    compute, pool = getattr(runner, name), runner._pool

    def faulty(*work):
        launched = compute(*work)
        sequences = launched.sequences if launched else ()
        rows = [row for row, s in enumerate(sequences) if s.request_id == request_id]
        if not rows or len(sequences[rows[0]].output_token_ids) < num_tokens:
            return launched
        for block_id in sequences[rows[0]].table.written_ids:
            start = block_id * pool.block_size
            for arrays in (pool.keys, pool.values):
                for array in arrays:
                    array[:, start : start + pool.block_size] = 50.0
        highest = mx.array(launched.highest)
        highest[rows[0]] = mx.nan
        return dataclasses.replace(launched, highest=highest)

    setattr(runner, name, faulty)


@pytest.mark.parametrize("mode", MODES)
def test_who_took_over_blocks_of_a_faulty_request_is_not_harmed(make_engine, reference, mode):
    engine = make_engine(mode, num_blocks=200)
    prompts = prompts_of([64, 30], seed=14)
    prompts += [[*prompts[0][:62], 5, 6], [*prompts[0], 7]]
    spoil_at(engine, "faulty", num_tokens=12)
    faulty = engine.stream(engine.submit(prompts[0], greedy(60), request_id="faulty"))
    next(faulty)
    handles = [engine.submit(prompt, greedy(40)) for prompt in prompts[1:]]
    got = [collect(engine, handle) for handle in handles]
    with pytest.raises(NumericalError):
        list(faulty)
    assert [ids for ids, _, _ in got] == [reference(prompt, 40) for prompt in prompts[1:]]
    assert [last.usage.cached_tokens >= 62 for _, _, last in got] == [False, True, True]
    stats = engine.stats()
    assert (stats.failed, stats.finished, stats.blocks_in_use) == (1, 3, 0)
    assert stats.preemptions == 2
    # What the faulty request left is found by nobody.
    assert collect(engine, engine.submit(prompts[0], greedy(40)))[0] == reference(prompts[0], 40)
