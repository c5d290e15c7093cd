"""The same greedy tokens, however a request is computed: alone, in any company, in any pieces.

The runners of both devices are held to it (``make_engine``).
"""

import random

import pytest

from .conftest import MODES, collect, greedy, prompts_of, together


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("count", [1, 2, 3, 5, 9, 32])
def test_batched_equals_mlx_lm(make_engine, reference, mode, count):
    engine = make_engine(mode, num_blocks=400)
    rng = random.Random(count)
    prompts = prompts_of([rng.randint(1, 60) for _ in range(count)], seed=count)
    lengths = [rng.randint(1, 24) for _ in prompts]
    got = together(engine, prompts, [greedy(n) for n in lengths])
    assert got == [reference(p, n) for p, n in zip(prompts, lengths, strict=True)]


@pytest.mark.parametrize("mode", MODES)
def test_arrivals_at_any_time_change_nothing(make_engine, reference, mode):
    engine = make_engine(mode, num_blocks=200)
    prompts = prompts_of([3, 40, 17, 8, 1, 25], seed=5)
    streams, got = [], [[] for _ in prompts]
    for prompt in prompts:
        streams.append(engine.stream(engine.submit(prompt, greedy(30))))
        for stream, tokens in zip(
            streams, got, strict=False
        ):  # each a few tokens ahead of the next
            for _ in range(3):
                tokens.extend(next(stream).token_ids)
    for stream, tokens in zip(streams, got, strict=True):
        tokens.extend(token for output in stream for token in output.token_ids)
    assert got == [reference(prompt, 30) for prompt in prompts]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("chunk", [1, 7, 16, 500])
def test_prefill_in_chunks_equals_the_whole(make_engine, reference, mode, chunk):
    engine = make_engine(mode, prefill_chunk_size=chunk)
    for prompt in prompts_of([1, 2, 8, 16, 17, 33, 90], seed=chunk):
        assert together(engine, [prompt], [greedy(6)]) == [reference(prompt, 6)]


@pytest.mark.parametrize("mode", MODES)
def test_a_cached_prefix_equals_a_cold_one(make_engine, reference, mode):
    engine = make_engine(mode)
    (prompt,) = prompts_of([70], seed=3)
    # Hits of whole blocks, of all but the last token, and of a part of a block.
    for other in (prompt, prompt, prompt[:64], [*prompt[:61], 5, 6], prompt[:30], prompt):
        before = engine.stats().cached_tokens
        ids, _, last = collect(engine, engine.submit(other, greedy(10)))
        assert ids == reference(other, 10)
        assert engine.stats().cached_tokens - before == last.usage.cached_tokens
    assert last.usage.cached_tokens >= 64


@pytest.mark.parametrize("mode", MODES)
def test_preempted_sequences_give_the_same_tokens(make_engine, reference, mode):
    # Three start, each with room for 64 tokens more; each comes to need two thirds of the pool.
    engine = make_engine(mode, num_blocks=36, cache={"prefix_caching": False})
    prompts = prompts_of([20, 21, 22, 23], seed=11)
    got = together(engine, prompts, [greedy(150)] * 4)
    assert engine.stats().preemptions > 0
    assert got == [reference(prompt, 150) for prompt in prompts]


@pytest.mark.parametrize("mode", MODES)
def test_sampled_rows_do_not_depend_on_their_company(make_engine, mode):
    engine = make_engine(mode, num_blocks=200)
    prompts = prompts_of([9, 30, 4, 12, 51, 7], seed=2)
    params = [
        greedy(12, temperature=1.0, seed=1),
        greedy(12),
        greedy(9, temperature=0.8, top_p=0.9, top_k=20, seed=2),
        greedy(12, repetition_penalty=1.3, seed=3),
        greedy(5, temperature=1.0, min_p=0.05, seed=4, logprobs=True),
        greedy(12, temperature=2.0, seed=5, min_tokens=6),
    ]
    alone = [together(engine, [p], [q])[0] for p, q in zip(prompts, params, strict=True)]
    assert together(engine, prompts, params) == alone


def test_both_runners_draw_the_same(make_engine):
    prompts = prompts_of([9, 30, 4], seed=8)
    params = [greedy(20, temperature=1.0, seed=i, top_p=0.9) for i in range(3)]
    host, device = (together(make_engine(mode), prompts, params) for mode in MODES)
    assert host == device


def test_the_device_runner_runs_ahead_in_few_compiled_shapes(make_engine):
    engine = make_engine("device", num_blocks=200)
    together(engine, prompts_of(range(1, 9)), [greedy(20)] * 8)
    stats = engine.stats()
    assert stats.decode_steps >= 20
    assert 1 <= stats.traces <= 4  # batches of 1, 2, 4 and 8 at one width
    assert stats.compile_s > 0
    assert stats.blocks_in_use == 0


def test_warming_up_compiles_ahead(make_engine, reference):
    engine = make_engine("device", num_blocks=50, warm_up=True, max_num_seqs=2, max_model_len=200)
    warm = engine.stats()
    assert warm.traces == 2 * 2 * 2  # batches of 1 and 2, widths of 16 and 32, greedy and sampled
    prompts = prompts_of([4, 130], seed=6)
    # New prompts, then both but for their last tokens from the cache, together and alone.
    for first, last in ((0, 2), (0, 2), (0, 1), (1, 2)):
        some = prompts[first:last]
        expected = [reference(prompt, 8) for prompt in some]
        assert together(engine, some, [greedy(8)] * len(some)) == expected
    assert engine.stats().traces == warm.traces
    assert engine.stats().compile_s == warm.compile_s
