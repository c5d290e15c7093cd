"""The one thread that touches MLX.

MLX's streams belong to threads: a lazy array evaluated on another thread raises, and a thread that
computed and exits without ``mx.clear_streams()`` can abort the process (mlx#3727, mlx-lm#1256). So
models are loaded, run and dropped on one thread a process, which all engines and embedders share.
Jobs run one at a time in the order of arrival; long work is cut into short jobs, each of which
posts the next, and so everybody's work interleaves.
"""

import atexit
import contextlib
import os
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TypeVar

from mlx_backends.errors import EngineClosedError, ForkedProcessError
from mlx_backends.memory_budget import MemoryBudget

T = TypeVar("T")
# A job may have MLX compile several kernels of 45 seconds, and an interpreter that ends under a
# thread which computes crashes.
_END_TIMEOUT_S = 300.0


def _nothing() -> None:
    pass


@dataclass(frozen=True, slots=True)
class _Job:
    run: Callable[[], None]
    on_drop: Callable[[], object]


class Worker:
    """Runs jobs on its own thread, in order.

    The thread starts with the first job and ends with ``close`` or at interpreter exit.

    Attributes:
        memory: What the models that run on the thread hold; for its jobs only.
    """

    def __init__(self, name: str = "mlx-backends") -> None:
        self._name = name
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.RLock()
        self._thread: threading.Thread | None = None
        self._pid = os.getpid()
        self._closed = False
        self._is_exiting = False
        self._has_ended = threading.Event()
        self.memory = MemoryBudget()  # touched on the thread only

    def post(self, job: Callable[[], None], on_drop: Callable[[], object] = _nothing) -> None:
        """Run ``job`` on the thread, soon; it must not raise.

        Args:
            job: What to run.
            on_drop: Called instead, on the same thread, if the worker closes first.

        Raises:
            EngineClosedError: The worker was closed.
            ForkedProcessError: The process was forked after the worker was made.
        """
        self.check_process()
        with self._lock:
            # A job that posts its successor while the worker closes sees it dropped, not refused.
            if self._closed and not self.is_current_thread():
                raise EngineClosedError("The MLX thread was closed; make a new engine.")
            if self._thread is None:
                self._start()
            self._jobs.put(_Job(job, on_drop))

    def run(self, function: Callable[[], T]) -> Future[T]:
        """Run ``function`` on the thread; the future holds its result or its exception."""
        future: Future[T] = Future()

        def job() -> None:
            if not future.set_running_or_notify_cancel():
                return
            try:
                future.set_result(function())
            except BaseException as error:
                future.set_exception(error)

        self.post(job, on_drop=future.cancel)
        return future

    @property
    def is_replaceable(self) -> bool:
        """Whether it is closed, or belongs to a parent process that had not started MLX yet."""
        if os.getpid() != self._pid:
            return self._thread is None
        return self._closed

    @property
    def is_usable(self) -> bool:
        return os.getpid() == self._pid and not self._closed

    def is_current_thread(self) -> bool:
        return threading.current_thread() is self._thread

    def check_process(self) -> None:
        """Raise ``ForkedProcessError`` in a child that was forked from the worker's process."""
        if os.getpid() != self._pid:
            raise ForkedProcessError(
                "This process was forked after mlx_backends had started its thread, and MLX does "
                "not survive a fork. Start workers with the 'spawn' method, or create models in "
                "the child only."
            )

    def close(self) -> None:
        """Finish the job at hand, drop those that wait, end the thread; idempotent."""
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._closed = True
            thread = self._thread
            self._jobs.put(None)
        if thread is not None and thread is not threading.current_thread():
            thread.join(_END_TIMEOUT_S)
        atexit.unregister(self._close_at_exit)

    def _close_at_exit(self) -> None:
        """As ``close``, but the thread only stops, and ends with the process.

        A thread that has been joined may still be running the destructors of what MLX keeps for
        it, beside those that the exiting process runs of what they rest on.
        """
        if os.getpid() != self._pid:
            return
        with self._lock:
            self._is_exiting = self._closed = True
            self._jobs.put(None)
        self._has_ended.wait(_END_TIMEOUT_S)

    def _start(self) -> None:
        # A daemon, because the interpreter joins other threads before it calls atexit handlers,
        # and this thread ends in one.
        self._thread = threading.Thread(target=self._main, name=self._name, daemon=True)
        self._thread.start()
        atexit.register(self._close_at_exit)

    def _main(self) -> None:
        while not self._closed:
            job = self._jobs.get()
            if job is None:
                break
            job.run()
            del job  # it may hold the last reference to a model
        self._drop_waiting_jobs()
        _clear_streams()
        self._has_ended.set()
        if self._is_exiting:
            threading.Event().wait()

    def _drop_waiting_jobs(self) -> None:
        with contextlib.suppress(queue.Empty):
            while True:
                job = self._jobs.get_nowait()
                if job is not None:
                    job.on_drop()


_shared: Worker | None = None
_shared_lock = threading.Lock()


def shared_worker() -> Worker:
    """The worker of this process, made at the first call or after the last one was closed.

    In a child forked after MLX had started, this is still the parent's worker, which refuses.
    """
    global _shared
    with _shared_lock:
        if _shared is None or _shared.is_replaceable:
            _shared = Worker()
        return _shared


def _replace_lock_after_fork() -> None:
    global _shared_lock
    _shared_lock = threading.Lock()


def _clear_streams() -> None:
    """Wait for what was started on any device, and free what MLX keeps for this thread."""
    import mlx.core as mx

    for device in (mx.Device(mx.cpu), mx.Device(mx.gpu)):
        if mx.is_available(device):
            mx.synchronize(mx.default_stream(device))
    mx.clear_streams()


os.register_at_fork(after_in_child=_replace_lock_after_fork)
