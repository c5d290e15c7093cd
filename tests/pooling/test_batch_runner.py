"""Calls that come at the same time share forward passes, and fail alone."""

import asyncio
import threading

import mlx.core as mx
import numpy as np
import pytest

from mlx_backends.errors import EngineError, MemoryLimitError, NumericalError
from mlx_backends.pooling.batch_runner import BatchRunner
from mlx_backends.pooling.batching import BatchLimits
from mlx_backends.pooling.padded_forward import LazyEntries


class SumModel:
    """Stands for a model: a row's result is the sum of its ids; remembers its batches."""

    def __init__(self) -> None:
        self.limits = BatchLimits(max_tokens=100, pass_tokens=50)
        self.num_streams = 1
        self.memory_bytes = 1
        self.batches: list[list[list[int]]] = []
        self.before_batch = lambda: True

    def extra_bytes(self, longest):
        return 10**9 if longest > self.limits.max_tokens else 0

    def __call__(self, rows):
        self.before_batch()
        self.batches.append(list(rows))
        if any(row == [13] for row in rows):
            raise ValueError("thirteen")
        sums = [float(sum(row)) if row != [0] else float("nan") for row in rows]
        return LazyEntries(mx.array(sums))

    def launch(self, batches):
        mx.async_eval(*[batch.array for batch in batches])


@pytest.fixture
def model():
    return SumModel()


@pytest.fixture
def runner(model, worker):
    return BatchRunner(
        lambda _: model, worker=worker, name=lambda: "sums", noun="adder", output="sum of rows"
    )


@pytest.fixture
def held_worker(worker):
    """The worker, busy until the event is set."""
    release = threading.Event()
    worker.run(lambda: release.wait(5))
    yield release
    release.set()


async def test_tasks_that_wait_share_a_batch(runner, model, held_worker):
    tasks = [asyncio.create_task(runner.arun([[n, n]], ())) for n in range(1, 9)]
    await asyncio.sleep(0.05)
    held_worker.set()
    results = await asyncio.gather(*tasks)
    assert [result.tolist() for result in results] == [[2.0 * n] for n in range(1, 9)]
    assert len(model.batches) == 1
    assert runner.stats.batches == 1


def test_threads_that_wait_share_a_batch(runner, model, held_worker):
    results = {}

    def call(n: int) -> None:
        results[n] = runner.run([[n] * 3] * 2, ()).tolist()

    threads = [threading.Thread(target=call, args=(n,)) for n in range(1, 6)]
    for thread in threads:
        thread.start()
    while len(runner._queue._turns) < 5:
        pass
    held_worker.set()
    for thread in threads:
        thread.join()
    assert results == {n: [3.0 * n] * 2 for n in range(1, 6)}
    assert len(model.batches) == 1


async def test_nan_fails_only_the_call_that_has_it(runner, held_worker):
    good, bad = (asyncio.create_task(runner.arun(rows, ())) for rows in ([[1], [2]], [[3], [0]]))
    await asyncio.sleep(0.05)
    held_worker.set()
    assert (await good).tolist() == [1.0, 2.0]
    with pytest.raises(NumericalError, match=r"sum of rows\[1\]"):
        await bad


async def test_a_fault_reaches_all_calls_of_its_batch_and_no_others(runner, model, held_worker):
    calls = [asyncio.create_task(runner.arun(rows, ())) for rows in ([[13]], [[2]], [[5] * 60])]
    await asyncio.sleep(0.05)
    held_worker.set()
    first, second, third = await asyncio.gather(*calls, return_exceptions=True)
    assert isinstance(first, EngineError)
    assert "thirteen" in str(first)
    assert isinstance(second, EngineError)
    assert third.tolist() == [300.0]
    assert runner.run([[4]], ()).tolist() == [4.0]


async def test_batches_side_by_side_keep_their_order(runner, model):
    model.num_streams = 3
    rows = [[n] * (1 + n % 70) for n in range(1, 200)]
    results = await asyncio.gather(*(runner.arun(rows, ()) for _ in range(2)))
    for result in results:
        assert result.tolist() == [float(sum(row)) if row != [0] else 0 for row in rows]


def test_a_row_that_passes_the_memory_limit_is_refused_alone(runner, monkeypatch):
    monkeypatch.setenv("MLX_BACKENDS_MEMORY_LIMIT", "1MB")
    with pytest.raises(MemoryLimitError, match="A row of 101 tokens"):
        runner.run([[1] * 101], ())
    assert runner.run([[1] * 100], ()).tolist() == [100.0]


def test_padding_is_reported(runner):
    assert runner.stats.padding_waste == 0
    runner.run([[1] * 10, [1] * 6], ())
    stats = runner.stats
    assert (stats.rows, stats.batches, stats.tokens, stats.padded_tokens) == (2, 1, 16, 20)
    assert stats.padding_waste == pytest.approx(0.2)


def test_an_error_in_the_callers_progress_stops_its_rows(runner, model, worker):
    def stop(done: int, total: int) -> None:
        raise KeyboardInterrupt

    # The first batch is delivered when the second has started; the third waits for the caller.
    has_left = threading.Event()
    model.before_batch = lambda: len(model.batches) < 2 or has_left.wait(5)
    with pytest.raises(KeyboardInterrupt):
        runner.run([[1] * 60] * 20, (), on_progress=stop)
    has_left.set()
    worker.run(lambda: None).result()
    worker.run(lambda: None).result()
    assert len(model.batches) <= 3
    np.testing.assert_array_equal(runner.run([[2]], ()), [2.0])
