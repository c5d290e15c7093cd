"""Runs a model's forward passes batch by batch on the MLX thread, results in the caller's order.

Each batch is one job on the worker, so that generation of a running request goes on between two
batches of a large document. Everything of one model runs through one runner.
"""

import asyncio
import contextlib
from collections.abc import Callable, Sequence, Sized
from concurrent.futures import CancelledError, Future
from functools import partial
from typing import Generic, TypeVar

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from mlx_backends.errors import EngineClosedError, EngineError, NumericalError
from mlx_backends.pooling.batching import plan_batches
from mlx_backends.worker import Worker

Row = TypeVar("Row", bound=Sized)
OnProgress = Callable[[int, int], None]
Model = Callable[[Sequence[Row]], NDArray[np.float32]]


class BatchRunner(Generic[Row]):
    """Loads a model at its first batch and runs it; all methods may be called from any thread.

    Args:
        load: Makes the model, on the worker's thread. The model takes some rows and returns an
            array with one entry for each, in memory of its own.
        worker: The thread that touches MLX.
        noun: What the owner calls itself in errors, such as ``embedder``.
        output: Name of an entry of the result in errors, such as ``vector of texts``.
    """

    def __init__(
        self, load: Callable[[], Model[Row]], *, worker: Worker, noun: str, output: str
    ) -> None:
        self._load = load
        self._worker = worker
        self._noun = noun
        self._output = output
        self._model: Model[Row] | None = None  # touched on the worker's thread only
        self.is_closed = False

    def run(
        self,
        rows: Sequence[Row],
        shape: tuple[int, ...],
        *,
        max_batch_tokens: int,
        on_progress: OnProgress | None = None,
    ) -> NDArray[np.float32]:
        """Run the model over all rows.

        Args:
            rows: Token rows; their lengths decide which share a forward pass.
            shape: Of one row's result.
            max_batch_tokens: Padded tokens of one forward pass.
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
        result = _Result(len(rows), shape, self._output, on_progress)
        for batch in plan_batches([len(row) for row in rows], max_batch_tokens):
            result.put(batch, self._wait(self._submit(rows, batch)))
        return result.array

    async def arun(
        self,
        rows: Sequence[Row],
        shape: tuple[int, ...],
        *,
        max_batch_tokens: int,
        on_progress: OnProgress | None = None,
    ) -> NDArray[np.float32]:
        """As ``run``, without blocking the event loop; cancelling stops before the next batch."""
        result = _Result(len(rows), shape, self._output, on_progress)
        for batch in plan_batches([len(row) for row in rows], max_batch_tokens):
            result.put(batch, await self._await(self._submit(rows, batch)))
        return result.array

    def check_open(self) -> None:
        """Raise ``EngineClosedError`` after ``close``."""
        if self.is_closed:
            raise EngineClosedError(f"The {self._noun} was closed; make a new one.")

    def close(self) -> None:
        """Free the model's memory once the batch at hand is done; idempotent."""
        self.is_closed = True
        with contextlib.suppress(EngineError):  # the worker has ended, or belongs to our parent
            self._worker.post(self._drop_model)

    def _submit(self, rows: Sequence[Row], batch: Sequence[int]) -> Future[NDArray[np.float32]]:
        return self._worker.run(partial(self._forward, [rows[index] for index in batch]))

    def _forward(self, rows: list[Row]) -> NDArray[np.float32]:
        """Run one batch, on the worker's thread."""
        self.check_open()
        if self._model is None:
            self._model = self._load()
        return self._model(rows)

    def _wait(self, future: Future[NDArray[np.float32]]) -> NDArray[np.float32]:
        try:
            return future.result()
        except CancelledError:
            raise self._worker_closed() from None

    async def _await(self, future: Future[NDArray[np.float32]]) -> NDArray[np.float32]:
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if self._worker.is_usable:
                raise
            raise self._worker_closed() from None

    def _worker_closed(self) -> EngineClosedError:
        return EngineClosedError(f"The MLX thread was closed while the {self._noun} ran.")

    def _drop_model(self) -> None:
        self._model = None
        mx.clear_cache()


class _Result:
    """Entries in the order of the rows, filled batch by batch."""

    def __init__(
        self, num_rows: int, shape: tuple[int, ...], output: str, on_progress: OnProgress | None
    ) -> None:
        self.array = np.empty((num_rows, *shape), np.float32)
        self._output = output
        self._num_done = 0
        self._on_progress = on_progress

    def put(self, batch: Sequence[int], values: NDArray[np.float32]) -> None:
        finite = np.isfinite(values).reshape(len(batch), -1).all(axis=1)
        if not finite.all():
            index = batch[int(np.argmin(finite))]
            raise NumericalError(
                f"The {self._output}[{index}] has NaN or infinite entries. The weights may be "
                "damaged, or their type too narrow: try dtype='float32'."
            )
        self.array[batch] = values
        self._num_done += len(batch)
        if self._on_progress is not None:
            self._on_progress(self._num_done, len(self.array))
