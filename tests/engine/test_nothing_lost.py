"""Many callers, each with its own facts, on the bundled model; and requests given up anywhere."""

import os
import random
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from mlx_backends import Engine, EngineConfig, FinishReason, SamplingParams
from mlx_backends.text.grounding import grounded_messages

from .conftest import MODES, collect, greedy, prompts_of

NAMES = ("Alder", "Birch", "Cedar", "Elm")
SOAK_SECONDS = float(os.environ.get("SOAK_SECONDS", "600"))


@pytest.fixture(scope="module")
def bundled_engine():
    with Engine(EngineConfig(model="bundled")) as engine:
        yield engine


def port_of(index):
    """A number of four digits for each request, each once."""
    return 1_009 + 37 * index % 8_990


def ask(engine, index, **options):
    """Ask for a port that no other request knows; returns the handle and the right answer."""
    ports = [port_of(len(NAMES) * index + row) for row in range(len(NAMES))]
    passages = [f"The default port of {n} is {p}." for n, p in zip(NAMES, ports, strict=True)]
    row = index % len(NAMES)
    messages = grounded_messages(f"What is the default port of {NAMES[row]}?", passages)
    prompt = engine.tokenizer.encode_chat(messages)
    handle = engine.submit(prompt, SamplingParams(max_tokens=24), **options)
    return handle, f"[{row + 1}] {ports[row]}"


def not_the_models_own(engine, answers):
    """Of answers that are wrong, those that the model does not give when it is asked alone.

    A model this small doubles a digit in one of some thousand answers; the engine must not.
    """
    return [(index, text) for index, text in answers if ask(engine, index)[0].result().text != text]


def wait_until_idle(engine):
    deadline = time.monotonic() + 60
    while (stats := engine.stats()).running or stats.waiting:
        assert time.monotonic() < deadline, stats
        time.sleep(0.005)
    engine._worker.run(engine._loop._scheduler.check_integrity).result()
    assert stats.blocks_in_use == 0
    assert stats.submitted == stats.finished + stats.failed + stats.aborted
    return stats


@pytest.mark.parametrize(
    ("num_callers", "num_requests"),
    [(8, 4), pytest.param(64, 20, marks=[pytest.mark.slow, pytest.mark.timeout(1_800)])],
)
def test_every_answer_holds_its_own_fact_and_no_other(bundled_engine, num_callers, num_requests):
    answers = {}

    def call(caller):
        for request in range(num_requests):
            index = caller * num_requests + request
            handle, expected = ask(bundled_engine, index)
            answers[index] = (handle.result().text, expected)

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(num_callers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == num_callers * num_requests
    wrong = [(index, text) for index, (text, expected) in answers.items() if text != expected]
    assert len(wrong) <= len(answers) / 100
    assert not_the_models_own(bundled_engine, wrong) == []
    assert wait_until_idle(bundled_engine).failed == 0


@pytest.mark.parametrize("mode", MODES)
def test_requests_given_up_in_flight_leave_no_block_and_no_harm(make_engine, reference, mode):
    """Many share prefixes, the pool is small, and steps run ahead on one of the runners."""
    engine = make_engine(mode, num_blocks=60)
    rng = random.Random(4)
    (prefix,) = prompts_of([60], seed=4)
    survivors = []
    for index in range(120):
        prompt = [*prefix[: rng.randint(1, 60)], *(rng.randrange(3, 500) for _ in range(9))]
        handle = engine.submit(prompt, greedy(30), priority=rng.randint(-1, 1))
        if index % 12 == 0:
            survivors.append((prompt, handle))
        else:
            time.sleep(rng.random() * 0.004)
            handle.abort()
    for prompt, handle in survivors:
        assert collect(engine, handle)[0] == reference(prompt, 30)
    stats = wait_until_idle(engine)
    assert stats.aborted >= 100


def fill_prefix_cache(engine):
    """Compute new prompts until every block of the pool holds one, and the index knows them all.

    Until then memory grows as it should: the pool doubles, and a block has a kilobyte of index.
    """
    rng = random.Random(0)
    stats = engine.stats()
    while stats.blocks_cached < 0.99 * (stats.blocks_in_use + stats.blocks_free or 1):
        prompt = [rng.randrange(300, 2_000) for _ in range(1_600)]
        engine.submit(prompt, greedy(1)).result()
        stats = wait_until_idle(engine)


def resident_bytes():
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.soak
@pytest.mark.timeout(SOAK_SECONDS + 900)
@pytest.mark.skipif(
    not Path("/proc/self/statm").exists(), reason="memory is read from Linux's /proc"
)
def test_a_long_mixed_load_leaks_nothing(bundled_engine, record_property):
    """Answers, abandoned streams, long sampled texts and salts, on eight threads."""
    fill_prefix_cache(bundled_engine)
    end = time.monotonic() + SOAK_SECONDS
    wrong = []

    def call(caller):
        rng = random.Random(caller)
        while time.monotonic() < end:
            salt = rng.choice((None, None, f"tenant {rng.randrange(50)}"))
            index = rng.randrange(2_000)
            handle, expected = ask(bundled_engine, index, cache_salt=salt)
            kind = rng.randrange(4)
            if kind == 0:
                time.sleep(rng.random() * 0.05)
                handle.abort()
            elif kind == 1:
                ids = [rng.randrange(300, 2_000) for _ in range(rng.randint(1, 300))]
                params = SamplingParams(max_tokens=64, temperature=1.0, ignore_eos=True)
                bundled_engine.submit(ids, params).result()
                handle.abort()
            else:
                result = handle.result()
                if result.finish_reason is not FinishReason.STOP or result.text != expected:
                    wrong.append((index, result.text))

    threads = [threading.Thread(target=call, args=(caller,)) for caller in range(8)]
    for thread in threads:
        thread.start()
    samples, begin = [], time.monotonic()
    while any(thread.is_alive() for thread in threads):
        samples.append((time.monotonic() - begin, resident_bytes()))
        time.sleep(0.5)
    # MLX's buffers and the allocator's arenas settle first.
    seconds, sizes = np.array([s for s in samples if s[0] > SOAK_SECONDS / 3]).T
    slope = np.polyfit(seconds / 60, sizes / 1e6, 1)[0]
    record_property("megabytes_a_minute", round(float(slope), 3))
    print(f"\n{slope:.3f} MB a minute; {bundled_engine.stats()}")
    assert len(wrong) <= bundled_engine.stats().finished / 100
    assert not_the_models_own(bundled_engine, wrong) == []
    assert wait_until_idle(bundled_engine).failed == 0
    assert slope < 1
