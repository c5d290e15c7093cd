"""The MLX thread: order, results, errors, closing."""

import threading
from concurrent.futures import CancelledError

import pytest

from mlx_backends.errors import EngineClosedError
from mlx_backends.worker import Worker, shared_worker


@pytest.fixture
def worker():
    worker = Worker("test")
    yield worker
    worker.close()


def test_jobs_run_in_order_on_one_thread(worker):
    threads = set()

    def job(number):
        threads.add(threading.current_thread())
        return number

    futures = [worker.run(lambda n=n: job(n)) for n in range(100)]
    assert [future.result() for future in futures] == list(range(100))
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def test_an_exception_reaches_the_caller_and_the_thread_goes_on(worker):
    with pytest.raises(ZeroDivisionError):
        worker.run(lambda: 1 / 0).result()
    assert worker.run(lambda: 5).result() == 5


def test_closing_ends_the_thread_and_cancels_what_waits(worker):
    release = threading.Event()
    running = worker.run(lambda: release.wait(10))
    waiting = worker.run(lambda: None)
    dropped = threading.Event()
    worker.post(lambda: None, on_drop=dropped.set)
    closing = threading.Thread(target=worker.close)
    closing.start()
    while worker.is_usable:
        pass
    release.set()
    closing.join()
    assert running.result() is True
    with pytest.raises(CancelledError):
        waiting.result(5)
    assert dropped.wait(5)
    with pytest.raises(EngineClosedError):
        worker.run(lambda: None)


def test_closing_from_a_job_does_not_wait_for_itself(worker):
    worker.run(worker.close).result(5)
    assert not worker.is_usable


def test_the_shared_worker_is_replaced_once_closed():
    first = shared_worker()
    assert shared_worker() is first
