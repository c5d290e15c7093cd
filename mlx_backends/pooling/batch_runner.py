"""Runs a model's forward passes batch by batch on the MLX thread, results in each caller's order.

Each batch is one job on the worker, so that generation of a running request goes on between two
batches of a large document. Everything of one model runs through one runner, which batches the rows
of all calls that wait (``batching``). Batches are launched before the results of those before are
read, so that the device does not wait for the host.
"""

import asyncio
import contextlib
import queue
import threading
from collections import deque
from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from mlx_backends.config import memory_limit_from_environment
from mlx_backends.errors import (
    EngineClosedError,
    EngineError,
    MemoryLimitError,
    as_typed,
)
from mlx_backends.pooling.batch_model import BatchModel, Entries
from mlx_backends.pooling.batching import BatchQueue, Call, Delivery, Place, deliver
from mlx_backends.pooling.row_results import OnProgress, RowResults
from mlx_backends.pooling.stats import PoolingStats
from mlx_backends.worker import Worker

Row = TypeVar("Row", bound=Sized)


class BatchRunner(Generic[Row]):
    """Loads a model at its first batch and runs it; all methods may be called from any thread.

    Args:
        load: Makes the model, on the worker's thread, within some bytes; None is no limit.
        worker: The thread that touches MLX.
        name: Gives the model's name.
        noun: What the owner calls itself in errors, such as ``embedder``.
        output: Name of an entry of the result in errors, such as ``vector of texts``.
    """

    def __init__(
        self,
        load: Callable[[int | None], BatchModel[Row]],
        *,
        worker: Worker,
        name: Callable[[], str],
        noun: str,
        output: str,
    ) -> None:
        self._load = load
        self._name = name
        self._worker = worker
        self._noun = noun
        self._output = output
        self._lock = threading.Lock()
        self._queue: BatchQueue[Row] = BatchQueue()
        self._is_stepping = False
        self._stats = PoolingStats()
        # Touched on the worker's thread only.
        self._model: BatchModel[Row] | None = None
        self._launched: deque[_Launched[Row]] = deque()
        self.is_closed = False

    @property
    def stats(self) -> PoolingStats:
        return self._stats

    @property
    def model_name(self) -> str:
        return self._name()

    @property
    def is_idle(self) -> bool:
        """Whether no row waits and no batch is on its way. On the MLX thread only."""
        with self._lock:
            return not self._queue and not self._launched

    def unload(self) -> None:
        """Free the model's memory; it loads again with the next row. On the MLX thread only."""
        self._model = None
        mx.clear_cache()

    def run(
        self,
        rows: Sequence[Row],
        shape: tuple[int, ...],
        *,
        on_progress: OnProgress | None = None,
    ) -> NDArray[np.float32]:
        """Run the model over all rows.

        Args:
            rows: Token rows.
            shape: Of one row's result.
            on_progress: Called on this thread after each batch with the number of rows done and
                the number of all.

        Returns:
            Shape (len(rows), *shape), in the order of ``rows``.

        Raises:
            NumericalError: The model gave NaN or infinity.
            EngineClosedError: The runner or its worker was closed.
            ForkedProcessError: The process was forked after the worker was made.
            ModelError: The model cannot be loaded or run.
        """
        result = RowResults(len(rows), shape, self._output, on_progress)
        deliveries: queue.SimpleQueue[Delivery] = queue.SimpleQueue()
        call = Call(rows, deliveries.put)
        self._enqueue(call)
        try:
            while not result.is_complete:
                result.put(deliveries.get())
        finally:
            self._drop(call)
        return result.array

    async def arun(
        self,
        rows: Sequence[Row],
        shape: tuple[int, ...],
        *,
        on_progress: OnProgress | None = None,
    ) -> NDArray[np.float32]:
        """As ``run``, without blocking the event loop; cancelling stops before the next batch."""
        result = RowResults(len(rows), shape, self._output, on_progress)
        deliveries: asyncio.Queue[Delivery] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def hand_over(delivery: Delivery) -> None:
            with contextlib.suppress(RuntimeError):  # the loop was closed, nobody waits
                loop.call_soon_threadsafe(deliveries.put_nowait, delivery)

        call = Call(rows, hand_over)
        self._enqueue(call)
        try:
            while not result.is_complete:
                result.put(await deliveries.get())
                await asyncio.sleep(0)  # a queue that has more would not let a cancellation in
        finally:
            self._drop(call)
        return result.array

    def check_open(self) -> None:
        """Raise ``EngineClosedError`` after ``close``."""
        if self.is_closed:
            raise EngineClosedError(f"The {self._noun} was closed; make a new one.")

    def close(self) -> None:
        """Free the model's memory once the batch at hand is done; idempotent."""
        self.is_closed = True
        with contextlib.suppress(EngineError):  # the worker has ended, or belongs to our parent
            self._worker.post(self._shut_down)

    def _enqueue(self, call: Call[Row]) -> None:
        self._worker.check_process()
        self.check_open()
        if not call.rows:
            return
        with self._lock:
            self._post_step()
            self._queue.add(call)

    def _drop(self, call: Call[Row]) -> None:
        with self._lock:
            self._queue.drop(call)

    def _post_step(self) -> None:
        """Ask the MLX thread for a batch, unless one is due. Call with the lock held."""
        if not self._is_stepping:
            self._worker.post(self._step, on_drop=self._worker_closed)
            self._is_stepping = True

    def _step(self) -> None:
        """Launch batches on the MLX thread, read those before, and post the next step."""
        num_before = len(self._launched)
        try:
            self.check_open()
            self._launch(self._loaded())
        except Exception as error:
            self._fail_all(as_typed(error, f"The {self._noun}"))
        for _ in range(num_before):
            self._collect()
        with self._lock:
            self._is_stepping = False
            if self._queue:
                self._post_step()
                return
        while self._launched:
            self._collect()

    def _loaded(self) -> BatchModel[Row]:
        """The model, made within the memory limit when it is first needed."""
        memory = self._worker.memory
        if self._model is None:
            limit = memory_limit_from_environment()
            self._model = memory.fit(self, limit, self._load, lambda model: model.memory_bytes)
        memory.touch(self)
        return self._model

    def _launch(self, model: BatchModel[Row]) -> None:
        """Start as many batches as the model computes side by side."""
        with self._lock:
            batches = [self._queue.take(model.limits) for _ in range(model.num_streams)]
        started = [self._start(model, places) for places in batches if places]
        launched = [one for one in started if one is not None]
        try:
            model.launch([one.entries for one in launched])
        except Exception as error:
            for one in launched:
                deliver(one.places, as_typed(error, f"The {self._noun}"))
        else:
            self._launched += launched

    def _start(self, model: BatchModel[Row], places: list[Place[Row]]) -> "_Launched[Row] | None":
        """Build one batch's forward pass; None if that failed, and its calls know."""
        rows = [call.rows[index] for call, index in places]
        try:
            self._require_room(model, max(map(len, rows)))
            entries = model(rows)
        except Exception as error:
            deliver(places, as_typed(error, f"The {self._noun}"))
            return None
        self._count(rows, model)
        return _Launched(places, entries)

    def _require_room(self, model: BatchModel[Row], longest: int) -> None:
        """Refuse a row whose batch would pass the memory limit."""
        limit, extra = memory_limit_from_environment(), model.extra_bytes(longest)
        used = self._worker.memory.used_bytes
        if limit is not None and extra and used + extra > limit:
            raise MemoryLimitError(
                f"A row of {longest:,} tokens needs {extra:,} bytes; models hold {used:,} of the "
                f"memory limit of {limit:,}. Raise MLX_BACKENDS_MEMORY_LIMIT or lower max_length."
            )

    def _count(self, rows: Sequence[Row], model: BatchModel[Row]) -> None:
        lengths, before = list(map(len, rows)), self._stats
        self._stats = replace(
            before,
            rows=before.rows + len(rows),
            batches=before.batches + 1,
            tokens=before.tokens + sum(lengths),
            padded_tokens=before.padded_tokens + model.limits.tokens_of(lengths),
        )

    def _collect(self) -> None:
        """Wait for the batch that was launched first, and hand out its results."""
        if not self._launched:
            return
        launched = self._launched.popleft()
        try:
            entries = launched.entries.result()
        except Exception as error:
            deliver(launched.places, as_typed(error, f"The {self._noun}"))
        else:
            deliver(launched.places, entries)

    def _fail_all(self, error: Exception) -> None:
        with self._lock:
            calls = self._queue.drop_all()
        for call in calls:
            call.deliver(error)

    def _worker_closed(self) -> None:
        self._fail_launched_and_waiting(
            EngineClosedError(f"The MLX thread was closed while the {self._noun} ran.")
        )

    def _shut_down(self) -> None:
        self._fail_launched_and_waiting(
            EngineClosedError(f"The {self._noun} was closed while it ran.")
        )
        self.unload()
        self._worker.memory.release(self)

    def _fail_launched_and_waiting(self, error: EngineClosedError) -> None:
        while self._launched:
            self._collect()
        self._fail_all(error)


@dataclass(frozen=True, slots=True)
class _Launched(Generic[Row]):
    """A batch on its way: whose rows it holds, and what they become."""

    places: list[Place[Row]]
    entries: Entries
