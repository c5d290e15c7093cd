"""Hands a request's outputs from the engine's thread to its one reader, blocking or awaiting."""

import asyncio
import contextlib
import threading
from collections import deque
from collections.abc import AsyncGenerator, Generator, Sequence
from dataclasses import replace

from mlx_backends.core import Request, TokenOutput


class OutputChannel:
    """A queue with one writer (the engine's thread) and one reader.

    The reader may block (``read``) or await (``aread``). ``abandon`` is the reader's word that it
    wants no more; the engine looks at ``is_abandoned`` once a step, so it needs no lock and may
    be called from anywhere, a garbage collector's callback included.
    """

    def __init__(self) -> None:
        self._outputs: deque[TokenOutput] = deque()
        self._error: BaseException | None = None
        self._is_complete = False
        self._changed = threading.Condition(threading.RLock())
        self._waiter: tuple[asyncio.AbstractEventLoop, asyncio.Future[None]] | None = None
        self.is_abandoned = False

    def put(self, output: TokenOutput) -> None:
        """Append an output; one with a ``finish_reason`` is the last."""
        with self._changed:
            self._outputs.append(output)
            self._is_complete = self._is_complete or output.finish_reason is not None
            self._wake_reader()

    def fail(self, error: BaseException) -> None:
        """End the stream with an error, which the reader meets after the outputs before it."""
        with self._changed:
            if not self._is_complete:
                self._error = error
                self._is_complete = True
            self._wake_reader()

    def abandon(self) -> None:
        self.is_abandoned = True

    def read(self) -> Generator[TokenOutput]:
        """Yield outputs as they come, blocking between them."""
        while True:
            with self._changed:
                while not self._outputs and not self._is_complete:
                    self._changed.wait()
                output = self._take()
            if output is None:
                return
            yield output

    async def aread(self) -> AsyncGenerator[TokenOutput]:
        """Yield outputs as they come, without blocking the event loop."""
        loop = asyncio.get_running_loop()
        while True:
            with self._changed:
                is_ready = bool(self._outputs) or self._is_complete
                output = self._take() if is_ready else None
                waiter = None if is_ready else self._new_waiter(loop)
            if waiter is not None:
                await waiter
            elif output is not None:
                yield output
            else:
                return

    def _new_waiter(self, loop: asyncio.AbstractEventLoop) -> asyncio.Future[None]:
        waiter = loop.create_future()
        self._waiter = (loop, waiter)
        return waiter

    def _take(self) -> TokenOutput | None:
        """Next output, or None at the end; raises the error that ended the stream."""
        if self._outputs:
            return self._outputs.popleft()
        if self._error is not None:
            raise self._error
        return None

    def _wake_reader(self) -> None:
        self._changed.notify_all()
        if self._waiter is None:
            return
        loop, waiter = self._waiter
        self._waiter = None
        with contextlib.suppress(RuntimeError):  # the reader's loop was closed
            loop.call_soon_threadsafe(_resolve, waiter)


class RequestHandle:
    """The caller's end of a submitted request, to be read once. Dropping it aborts the request."""

    __slots__ = ("__weakref__", "_channel", "request")

    def __init__(self, request: Request, channel: OutputChannel) -> None:
        self.request = request
        self._channel = channel

    @property
    def request_id(self) -> str:
        return self.request.request_id

    @property
    def is_aborted(self) -> bool:
        """Whether its caller has given up or read it to its end."""
        return self._channel.is_abandoned

    def abort(self) -> None:
        """Stop generating; harmless if the request has ended."""
        self._channel.abandon()

    def stream(self) -> Generator[TokenOutput]:
        """Yield the outputs; leaving the loop early aborts the request."""
        try:
            yield from self._channel.read()
        finally:
            self.abort()

    async def astream(self) -> AsyncGenerator[TokenOutput]:
        """As ``stream``, on an event loop; cancelling the task aborts the request."""
        try:
            async for output in self._channel.aread():
                yield output
        finally:
            self.abort()

    def result(self) -> TokenOutput:
        """Wait for the end; returns the whole completion as one output."""
        with contextlib.closing(self.stream()) as outputs:
            return join_outputs(list(outputs))

    async def aresult(self) -> TokenOutput:
        """As ``result``, on an event loop."""
        async with contextlib.aclosing(self.astream()) as outputs:
            return join_outputs([output async for output in outputs])

    def __del__(self) -> None:
        self.abort()


def join_outputs(outputs: Sequence[TokenOutput]) -> TokenOutput:
    """One output that holds everything the given ones brought."""
    return replace(
        outputs[-1],
        token_ids=tuple(token_id for output in outputs for token_id in output.token_ids),
        text="".join(output.text for output in outputs),
        logprobs=tuple(entry for output in outputs for entry in output.logprobs),
    )


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)
