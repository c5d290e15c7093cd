"""A tokenized request before it is queued: what the adapters make, of whichever framework."""

import contextlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mlx_backends.core import SamplingParams, TokenOutput
from mlx_backends.engine.handle import RequestHandle
from mlx_backends.engine.interface import GenerationEngine
from mlx_backends.grammar.spec import Grammar


@dataclass(frozen=True, slots=True)
class PreparedRequest:
    """A tokenized prompt, how to continue it, and the engine that shall."""

    engine: GenerationEngine
    prompt_token_ids: Sequence[int]
    sampling_params: SamplingParams
    grammar: Grammar | None = None

    def submit(self) -> RequestHandle:
        return self.engine.submit(self.prompt_token_ids, self.sampling_params, grammar=self.grammar)


def results(requests: Iterable[PreparedRequest]) -> list[TokenOutput]:
    """The whole completions, in order. All are submitted before the first is awaited.

    One that fails aborts the others.
    """
    with contextlib.ExitStack() as stack:
        return [handle.result() for handle in _submitted(requests, stack)]


async def aresults(requests: Iterable[PreparedRequest]) -> list[TokenOutput]:
    """As ``results``, on an event loop."""
    with contextlib.ExitStack() as stack:
        return [await handle.aresult() for handle in _submitted(requests, stack)]


def _submitted(
    requests: Iterable[PreparedRequest], stack: contextlib.ExitStack
) -> list[RequestHandle]:
    handles = []
    for request in requests:
        handles.append(request.submit())
        stack.callback(handles[-1].abort)
    return handles
