"""A queued request, read in the four ways that LlamaIndex asks for."""

import contextlib
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

from llama_index.core.base.llms.types import CitableBlock

from mlx_backends.engine.handle import RequestHandle
from mlx_backends.engine.prepared_chat import PreparedChat
from mlx_backends.llama_index._completion import Completion, Increment

ResponseT = TypeVar("ResponseT")
Respond = Callable[[Completion, Increment], ResponseT]
"""Writes the response after an increment from what came so far and the increment."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request, to be read once; a reader that leaves early aborts it."""

    handle: RequestHandle
    completion: Completion

    @classmethod
    def to(
        cls,
        chat: PreparedChat,
        passages: list[CitableBlock] | None = None,
        *,
        takes_one_call: bool = False,
    ) -> "Reply":
        """Queue the request."""
        model_name = chat.request.engine.model_name
        completion = Completion(
            model_name, chat.reader(), passages or (), takes_one_call=takes_one_call
        )
        return cls(chat.submit(), completion)

    def collect(self) -> Completion:
        with contextlib.closing(self.handle.stream()) as outputs:
            for output in outputs:
                self.completion.add(output)
        return self.completion

    async def acollect(self) -> Completion:
        async with contextlib.aclosing(self.handle.astream()) as outputs:
            async for output in outputs:
                self.completion.add(output)
        return self.completion

    def stream(self, respond: Respond[ResponseT]) -> Generator[ResponseT, None, None]:
        with contextlib.closing(self.handle.stream()) as outputs:
            for output in outputs:
                increment = self.completion.add(output)
                if increment.is_visible:
                    yield respond(self.completion, increment)

    async def astream(self, respond: Respond[ResponseT]) -> AsyncGenerator[ResponseT, None]:
        async with contextlib.aclosing(self.handle.astream()) as outputs:
            async for output in outputs:
                increment = self.completion.add(output)
                if increment.is_visible:
                    yield respond(self.completion, increment)
