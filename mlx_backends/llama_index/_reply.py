"""A queued request, read in the four ways that LlamaIndex asks for."""

import contextlib
from collections.abc import AsyncGenerator, Callable, Generator
from dataclasses import dataclass
from typing import TypeVar

from mlx_backends.engine.handle import RequestHandle
from mlx_backends.engine.prepared import PreparedRequest
from mlx_backends.llama_index._convert import Completion

ResponseT = TypeVar("ResponseT")
Respond = Callable[[Completion, str], ResponseT]
"""Writes the response after an increment from what came so far and the increment's text."""


@dataclass(frozen=True, slots=True)
class Reply:
    """The answer to a request, to be read once; a reader that leaves early aborts it."""

    model_name: str
    handle: RequestHandle

    @classmethod
    def to(cls, request: PreparedRequest) -> "Reply":
        """Queue the request."""
        return cls(request.engine.model_name, request.submit())

    def collect(self) -> Completion:
        completion = Completion(self.model_name)
        completion.add(self.handle.result())
        return completion

    async def acollect(self) -> Completion:
        completion = Completion(self.model_name)
        completion.add(await self.handle.aresult())
        return completion

    def stream(self, respond: Respond[ResponseT]) -> Generator[ResponseT, None, None]:
        completion = Completion(self.model_name)
        with contextlib.closing(self.handle.stream()) as outputs:
            for output in outputs:
                completion.add(output)
                if output.text or output.finish_reason:
                    yield respond(completion, output.text)

    async def astream(self, respond: Respond[ResponseT]) -> AsyncGenerator[ResponseT, None]:
        completion = Completion(self.model_name)
        async with contextlib.aclosing(self.handle.astream()) as outputs:
            async for output in outputs:
                completion.add(output)
                if output.text or output.finish_reason:
                    yield respond(completion, output.text)
