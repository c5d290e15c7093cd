"""The engine on a tiny random model: the tokens are mlx-lm's, and nothing is lost or left over."""

import asyncio
import random
import threading
import time

import mlx.core as mx
import numpy as np
import pytest
from mlx_lm.generate import generate_step
from mlx_lm.utils import load_model
from safetensors.numpy import load_file, save_file

from mlx_backends import Engine, EngineConfig, FinishReason, SamplingParams
from mlx_backends.errors import (
    ContextLengthError,
    EngineClosedError,
    ModelLoadError,
    ModelNotFoundError,
    NumericalError,
    OverloadedError,
    RequestError,
    TokenIdError,
    UnsupportedModelError,
)

from .conftest import collect

PROMPT = "The size of the river is"


def wait_until_idle(engine):
    deadline = time.monotonic() + 20
    while (stats := engine.stats()).running or stats.waiting:
        assert time.monotonic() < deadline, stats
        time.sleep(0.005)
    return stats


def mlx_lm_tokens(folder, prompt_ids, count):
    model, _ = load_model(folder)
    steps = generate_step(mx.array(prompt_ids), model, max_tokens=count)
    return [int(token) for token, _ in steps]


# What comes out


@pytest.mark.parametrize("length", [1, 2, 15, 16, 17, 33, 200])
def test_greedy_tokens_are_those_of_mlx_lm(engine, run, tiny_lm, length):
    prompt = [3 + (7 * i) % 400 for i in range(length)]
    ids, _, _ = run(prompt, max_tokens=24, ignore_eos=True)
    assert ids == mlx_lm_tokens(tiny_lm, prompt, 24)
    assert len(set(ids)) > 2


def test_text_is_the_decoded_ids(engine, run):
    for seed in range(20):
        ids, text, _ = run(PROMPT, max_tokens=40, temperature=12.0, seed=seed, ignore_eos=True)
        assert text == engine.tokenizer.decode(ids)


def test_the_last_output_tells_what_it_cost(run, engine):
    ids, _, last = run(PROMPT, max_tokens=12, ignore_eos=True)
    assert last.finish_reason is FinishReason.LENGTH
    assert last.usage.prompt_tokens == len(engine.tokenizer.encode(PROMPT))
    assert last.usage.completion_tokens == len(ids) == 12
    metrics = last.metrics
    assert 0 <= metrics.queue_s <= metrics.time_to_first_token_s <= metrics.total_s
    assert metrics.prefill_tokens_per_s > 0
    assert metrics.decode_tokens_per_s > 0
    assert metrics.peak_memory_bytes > 100_000


def test_only_the_last_output_has_a_finish_reason(engine):
    ids = engine.tokenizer.encode(PROMPT)
    outputs = list(engine.stream(engine.submit(ids, SamplingParams(max_tokens=9, ignore_eos=True))))
    assert [o.finish_reason is None for o in outputs] == [True] * 8 + [False]
    assert [o.usage is None for o in outputs] == [True] * 8 + [False]


def test_an_end_of_sequence_token_ends_it_and_is_no_text(engine, run):
    ids, _, _ = run(PROMPT, max_tokens=8, ignore_eos=True)
    third = ids[2]
    stopped, text, last = run(PROMPT, max_tokens=8, ignore_eos=True, stop_token_ids=[third])
    assert stopped == ids[: ids.index(third) + 1]
    assert (last.finish_reason, last.stop_reason) == (FinishReason.STOP, third)
    assert text == engine.tokenizer.decode(stopped[:-1])


def test_a_stop_string_ends_it_across_token_borders(run):
    _, text, _ = run(PROMPT, max_tokens=30, ignore_eos=True)
    for begin in range(1, len(text) - 3):
        stop = text[begin : begin + 3]
        _, cut, last = run(PROMPT, max_tokens=30, ignore_eos=True, stop=(stop,))
        assert cut == text[: text.index(stop)]
        assert (last.finish_reason, last.stop_reason) == (FinishReason.STOP, stop)


def test_text_held_for_a_stop_that_never_comes_is_given_at_the_end(run):
    _, text, _ = run(PROMPT, max_tokens=10, ignore_eos=True)
    _, same, last = run(PROMPT, max_tokens=10, ignore_eos=True, stop=(text[-2:] + "never",))
    assert same == text
    assert last.finish_reason is FinishReason.LENGTH


def test_a_seed_repeats_and_no_seed_does_not(run):
    def sampled(seed):
        return run(PROMPT, max_tokens=20, temperature=12.0, seed=seed, ignore_eos=True)[0]

    assert sampled(5) == sampled(5)
    assert sampled(5) != sampled(6)
    assert sampled(None) != sampled(None)


def test_min_tokens_holds_back_the_end(engine, run):
    eos = min(engine.tokenizer.eos_token_ids)
    ids, _, _ = run([5, eos, eos, eos], max_tokens=12, min_tokens=12)
    assert len(ids) == 12
    assert eos not in ids


def test_logprobs_name_the_chosen_token_and_the_best(engine):
    params = SamplingParams(max_tokens=6, logprobs=True, top_logprobs=4, ignore_eos=True)
    ids, _, _ = collect(engine, engine.submit([5, 6, 7], params))
    entries = [
        entry
        for output in engine.stream(engine.submit([5, 6, 7], params))
        for entry in output.logprobs
    ]
    assert [entry.chosen.token_id for entry in entries] == ids
    for entry in entries:
        assert len(entry.top) == 4
        assert entry.top[0] == entry.chosen  # greedy
        assert all(a.logprob >= b.logprob for a, b in zip(entry.top, entry.top[1:], strict=False))
        assert entry.chosen.logprob < 0


def test_the_context_window_ends_a_completion(engine):
    prompt = [5] * (engine.context_window - 3)
    ids, _, last = collect(engine, engine.submit(prompt, SamplingParams(ignore_eos=True)))
    assert len(ids) == 3
    assert last.finish_reason is FinishReason.LENGTH


# Many at once


def test_each_of_many_gets_what_it_gets_alone(engine, run):
    rng = random.Random(1)
    prompts = [[rng.randrange(3, 500) for _ in range(rng.randint(1, 60))] for _ in range(40)]
    params = [
        {"max_tokens": rng.randint(1, 20), "temperature": t, "seed": i, "ignore_eos": True}
        for i, t in enumerate([0.0, 0.8] * 20)
    ]
    alone = [run(p, **o)[0] for p, o in zip(prompts, params, strict=True)]
    handles = [engine.submit(p, SamplingParams(**o)) for p, o in zip(prompts, params, strict=True)]
    together = [collect(engine, handle)[0] for handle in handles]
    assert together == alone


def test_callers_on_threads_and_on_an_event_loop_share_the_engine(engine, run):
    expected = run(PROMPT, max_tokens=10, ignore_eos=True)[0]
    ids = engine.tokenizer.encode(PROMPT)
    params = SamplingParams(max_tokens=10, ignore_eos=True)
    results = []

    def block():
        results.append(collect(engine, engine.submit(ids, params))[0])

    async def one():
        return list((await engine.submit(ids, params).aresult()).token_ids)

    async def several():
        results.extend(await asyncio.gather(*(one() for _ in range(8))))

    threads = [threading.Thread(target=lambda: asyncio.run(several())) for _ in range(2)]
    threads += [threading.Thread(target=block) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 20


async def test_the_event_loop_never_waits_for_the_engine(engine, worst_loop_gap):
    async def one(seed):
        params = SamplingParams(max_tokens=60, temperature=1.0, seed=seed, ignore_eos=True)
        async for _ in engine.astream(engine.submit([5] * 100, params)):
            pass

    gap = await worst_loop_gap(lambda: asyncio.gather(*(one(seed) for seed in range(4))))
    assert gap < 0.05


# Giving up


def test_500_cancels_at_random_phases_leave_nothing_behind(engine, run):
    expected = run(PROMPT, max_tokens=12, ignore_eos=True)[0]
    rng = random.Random(2)
    kept = []
    for index in range(500):
        prompt = [rng.randrange(3, 500) for _ in range(rng.randint(1, 120))]
        handle = engine.submit(prompt, SamplingParams(max_tokens=50, ignore_eos=True))
        way = index % 5
        if way == 0:
            del handle  # dropped, never read
        elif way == 1:
            engine.abort(handle)
            assert list(engine.stream(handle))[-1].finish_reason is FinishReason.ABORT
        elif way == 2:
            stream = engine.stream(handle)
            for _ in range(rng.randint(0, 5)):
                next(stream)
            stream.close()
        elif way == 3:
            kept.append(handle)
            engine.abort(handle)
        else:
            time.sleep(rng.random() * 0.003)
            engine.abort(handle)
    assert run(PROMPT, max_tokens=12, ignore_eos=True)[0] == expected
    stats = wait_until_idle(engine)
    assert stats.cache_bytes == stats.blocks_in_use == 0
    engine._worker.run(engine._loop._scheduler.check_integrity).result()
    assert stats.submitted == stats.finished + stats.failed + stats.aborted
    assert stats.aborted >= 450


async def test_cancelling_a_task_aborts_its_request(engine):
    before = engine.stats().aborted
    started = asyncio.Event()

    async def read():
        async for _ in engine.astream(engine.submit([5], SamplingParams(ignore_eos=True))):
            started.set()

    task = asyncio.create_task(read())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert wait_until_idle(engine).aborted == before + 1


# Errors


def test_a_prompt_over_the_context_window_gives_both_numbers(engine):
    with pytest.raises(ContextLengthError, match=r"600 tokens.*512"):
        engine.submit([5] * 600)


@pytest.mark.parametrize("bad", [512, -1, 2**40, "5", 1.5, None])
def test_ids_outside_the_vocabulary_never_reach_mlx(engine, bad):
    with pytest.raises(TokenIdError, match="token 2"):
        engine.submit([5, 6, bad])


def test_an_empty_prompt_is_refused(engine):
    with pytest.raises(RequestError, match="empty"):
        engine.submit([])


@pytest.mark.parametrize("salt", ["", "x" * 300])
def test_cache_salts_are_bounded(engine, salt):
    with pytest.raises(RequestError, match="cache_salt"):
        engine.submit([5], cache_salt=salt)


def test_a_full_queue_is_a_typed_error(tiny_lm):
    config = EngineConfig(model=str(tiny_lm), max_num_seqs=1, max_num_waiting=3)
    with Engine(config) as engine:
        handles = []
        with pytest.raises(OverloadedError, match="max_num_waiting"):
            handles.extend(
                engine.submit([5], SamplingParams(max_tokens=400, ignore_eos=True))
                for _ in range(50)
            )
        for handle in handles:
            engine.abort(handle)
        wait_until_idle(engine)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_damaged_weights_are_a_numerical_error_not_a_text(make_lm, value):
    folder = make_lm()
    weights = load_file(folder / "model.safetensors")
    weights["model.norm.weight"][3] = value
    save_file(weights, folder / "model.safetensors")
    with Engine(EngineConfig(model=str(folder))) as engine:
        with pytest.raises(NumericalError, match="NaN or infinite"):
            collect(engine, engine.submit([5, 6], SamplingParams(max_tokens=5)))
        assert wait_until_idle(engine).failed == 1


def test_closing_ends_what_runs_with_a_typed_error(tiny_lm):
    engine = Engine(EngineConfig(model=str(tiny_lm)))
    handle = engine.submit([5], SamplingParams(ignore_eos=True))
    stream = engine.stream(handle)
    next(stream)
    engine.close()
    with pytest.raises(EngineClosedError):
        list(stream)
    with pytest.raises(EngineClosedError):
        engine.submit([5])
    engine.close()


def test_closing_frees_the_weights(make_lm):
    mx.clear_cache()
    before = mx.get_active_memory()
    engine = Engine(EngineConfig(model=str(make_lm(hidden_size=256, intermediate_size=2048))))
    collect(engine, engine.submit([5], SamplingParams(max_tokens=3)))
    assert mx.get_active_memory() > before + 5_000_000
    engine.close()
    assert mx.get_active_memory() < before + 500_000


def test_loading_ahead_of_the_first_request(tiny_lm, tmp_path):
    with Engine(EngineConfig(model=str(tiny_lm))) as engine:
        engine.load()
        assert engine._loop is not None
        assert len(engine.submit([5], SamplingParams(max_tokens=2)).result().token_ids) == 2
    with pytest.raises(ModelNotFoundError):
        Engine(EngineConfig(model=str(tmp_path / "none"))).load()


def test_the_constructor_reads_nothing():
    engine = Engine(EngineConfig(model="/nonexistent/model"))
    with pytest.raises(ModelNotFoundError):
        engine.submit([5])


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"hidden_size": 32}, ModelLoadError),
        ({"num_hidden_layers": 3}, ModelLoadError),
        ({"model_type": "no_such_architecture"}, UnsupportedModelError),
        ({"num_attention_heads": 0}, ModelLoadError),
        ({"rope_scaling": {"type": "no such"}}, ModelLoadError),
    ],
)
def test_weights_that_do_not_fit_the_config_are_a_typed_error(make_lm, changes, error):
    import json

    folder = make_lm()
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    with Engine(EngineConfig(model=str(folder))) as engine, pytest.raises(error):
        collect(engine, engine.submit([5], SamplingParams(max_tokens=2)))


def test_truncated_weights_are_a_typed_error_and_another_engine_goes_on(make_lm, engine, run):
    folder = make_lm()
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with Engine(EngineConfig(model=str(folder))) as broken, pytest.raises(ModelLoadError):
        collect(broken, broken.submit([5]))
    assert run(PROMPT, max_tokens=2, ignore_eos=True)[0]


def test_a_memory_limit_below_the_weights_is_refused(tiny_lm):
    from mlx_backends.errors import MemoryLimitError

    config = EngineConfig(model=str(tiny_lm), memory_limit_bytes=10_000)
    with Engine(config) as engine, pytest.raises(MemoryLimitError, match="10,000"):
        collect(engine, engine.submit([5]))
