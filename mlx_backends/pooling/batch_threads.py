"""Threads that compute batches beside the MLX thread."""

import queue
import threading
import weakref
from collections.abc import Callable
from concurrent.futures import Future
from typing import Generic, TypeVar

Result = TypeVar("Result")
_Job = tuple[Callable[[], Result], Future[Result]] | None


class BatchThreads(Generic[Result]):
    """A fixed number of threads, which end when this object is gone.

    A ``ThreadPoolExecutor`` takes nothing more once the main thread has ended, though other threads
    of the program may still embed. These are daemons: the runner waits for what it has launched.

    Args:
        count: Jobs that run at once.
    """

    def __init__(self, count: int) -> None:
        self._jobs: queue.SimpleQueue[_Job[Result]] = queue.SimpleQueue()
        for number in range(count):
            name = f"mlx-backends-batch-{number}"
            threading.Thread(target=_work, args=(self._jobs,), name=name, daemon=True).start()
        weakref.finalize(self, _stop, self._jobs, count).atexit = False

    def submit(self, job: Callable[[], Result]) -> Future[Result]:
        """Run a job on the next free thread, jobs in the order of their coming."""
        future: Future[Result] = Future()
        self._jobs.put((job, future))
        return future


def _work(jobs: "queue.SimpleQueue[_Job[Result]]") -> None:
    while (taken := jobs.get()) is not None:
        job, future = taken
        try:
            future.set_result(job())
        except BaseException as error:  # whoever waits is told, whatever it is
            future.set_exception(error)
        del taken, job, future  # else the last batch lives until the next


def _stop(jobs: "queue.SimpleQueue[_Job[Result]]", count: int) -> None:
    for _ in range(count):
        jobs.put(None)
