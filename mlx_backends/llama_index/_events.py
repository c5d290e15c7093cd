"""LlamaIndex's callback decorators for streams, with an end to every stream.

``llm_chat_callback`` and ``llm_completion_callback`` put a generator of their own around a
method's stream and never close the inner one. Closing the outer one then leaves the request to the
garbage collector, and an event handler that keeps the exception keeps the request running.
"""

import contextlib
import functools
from collections.abc import AsyncGenerator, Callable, Generator
from typing import Any, TypeVar, cast

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
Callback = Callable[[], Callable[[Callable[..., Any]], Callable[..., Any]]]


def closing_stream(callback: Callback) -> Callable[[F], F]:
    """Decorate a method that returns a stream: emit the callback's events, close both ends."""

    def decorate(method: F) -> F:
        @functools.wraps(method)
        def stream_with_events(*args: Any, **kwargs: Any) -> Generator[Any, None, None]:
            opened = []

            def open_stream(*args: Any, **kwargs: Any) -> Generator[Any, None, None]:
                opened.append(method(*args, **kwargs))
                return opened[0]

            return _read(callback()(open_stream)(*args, **kwargs), opened[0])

        return cast("F", stream_with_events)

    return decorate


def aclosing_stream(callback: Callback) -> Callable[[F], F]:
    """As ``closing_stream``, for an async method that returns an async stream."""

    def decorate(method: F) -> F:
        @functools.wraps(method)
        async def stream_with_events(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
            opened = []

            async def open_stream(*args: Any, **kwargs: Any) -> AsyncGenerator[Any, None]:
                opened.append(await method(*args, **kwargs))
                return opened[0]

            return _aread(await callback()(open_stream)(*args, **kwargs), opened[0])

        return cast("F", stream_with_events)

    return decorate


def _read(
    events: Generator[T, None, None], stream: Generator[T, None, None]
) -> Generator[T, None, None]:
    with contextlib.closing(stream), contextlib.closing(events):
        yield from events


async def _aread(
    events: AsyncGenerator[T, None], stream: AsyncGenerator[T, None]
) -> AsyncGenerator[T, None]:
    async with contextlib.aclosing(stream), contextlib.aclosing(events):
        async for item in events:
            yield item
