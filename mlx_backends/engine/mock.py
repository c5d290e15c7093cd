"""An engine that recites: for users' tests and for the edges of adapters. Loads nothing."""

import itertools
import re
import threading
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from mlx_backends.core import (
    FinishReason,
    Logprob,
    Request,
    RequestMetrics,
    SamplingParams,
    TokenLogprobs,
    TokenOutput,
    Usage,
)
from mlx_backends.engine.handle import OutputChannel, RequestHandle
from mlx_backends.engine.interface import EngineStats
from mlx_backends.errors import ContextLengthError, EngineClosedError, RequestError
from mlx_backends.grammar.spec import Grammar
from mlx_backends.text.reasoning import ReasoningFormat
from mlx_backends.text.tool_formats import JSON_TOOLS, ToolFormat

Reply = str | Exception


class MockTokenizer:
    """One token for each UTF-8 byte; chat turns are written ``role: content`` on a line each."""

    has_chat_template = True
    vocab_size = 256
    added_token_ids: Mapping[str, int] = MappingProxyType({})
    special_token_ids: frozenset[int] = frozenset()
    tool_format: ToolFormat | None = JSON_TOOLS
    reasoning_format: ReasoningFormat | None = None

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]:
        return list(text.encode())

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str:
        return bytes(token_ids).decode(errors="replace")

    def count(self, text: str) -> int:
        return len(text.encode())

    def apply_chat_template(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        **template_options: Any,
    ) -> str:
        turns = "\n".join(f"{m['role']}: {m.get('content') or ''}" for m in messages)
        return turns + ("\nassistant: " if add_generation_prompt else "")

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        **template_options: Any,
    ) -> list[int]:
        text = self.apply_chat_template(
            messages,
            tools=tools,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=continue_final_message,
            **template_options,
        )
        return self.encode(text)


@dataclass(frozen=True, slots=True)
class MockCall:
    """What a ``MockEngine`` was asked."""

    prompt: str
    sampling_params: SamplingParams
    grammar: Grammar | None = None


class MockEngine:
    """Answers requests with scripted replies, word by word, in the order given.

    ``max_tokens``, ``stop`` and aborting act as in the real engine, with words for tokens.

    Replies may hold tool calls, as ``<tool_call>{"name": ..., "arguments": {...}}</tool_call>``;
    grammars are not enforced.

    Args:
        replies: Texts to recite, over and over; an exception is raised by its stream; a function
            gets the prompt and returns the text.
        model_name: What ``model_name`` reports.
        context_window: Longest prompt, in bytes.

    Attributes:
        calls: Every request so far, for assertions.
    """

    def __init__(
        self,
        replies: Sequence[Reply] | Callable[[str], str] = ("Hello.",),
        *,
        model_name: str = "mock",
        context_window: int = 100_000,
    ) -> None:
        self._reply = replies if callable(replies) else _recite(replies)
        self._ids = itertools.count()
        self._lock = threading.Lock()
        self._closed = False
        self.model_name = model_name
        self.context_window = context_window
        self.tokenizer = MockTokenizer()
        self.calls: list[MockCall] = []

    def submit(
        self,
        prompt_token_ids: Sequence[int],
        sampling_params: SamplingParams | None = None,
        *,
        request_id: str | None = None,
        priority: int = 0,
        cache_salt: str | None = None,
        grammar: Grammar | None = None,
    ) -> RequestHandle:
        """Queue a request; as in the real engine, a bad one raises here."""
        self._check(prompt_token_ids)
        params = sampling_params or SamplingParams()
        prompt = self.tokenizer.decode(prompt_token_ids)
        with self._lock:
            self.calls.append(MockCall(prompt, params, grammar))
            reply = self._reply(prompt)
            name = request_id or f"mock-{next(self._ids)}"
        request = Request(
            request_id=name,
            prompt_token_ids=tuple(prompt_token_ids),
            sampling_params=params,
            priority=priority,
            cache_salt=cache_salt,
        )
        channel = OutputChannel()
        if isinstance(reply, Exception):
            channel.fail(reply)
        else:
            for output in _outputs(request, reply):
                channel.put(output)
        return RequestHandle(request, channel)

    def stream(self, handle: RequestHandle) -> Generator[TokenOutput]:
        return handle.stream()

    def astream(self, handle: RequestHandle) -> AsyncGenerator[TokenOutput]:
        return handle.astream()

    def abort(self, handle: RequestHandle) -> None:
        handle.abort()

    def stats(self) -> EngineStats:
        return EngineStats(submitted=len(self.calls), finished=len(self.calls))

    def close(self) -> None:
        self._closed = True

    def _check(self, prompt_token_ids: Sequence[int]) -> None:
        if self._closed:
            raise EngineClosedError("The engine was closed; make a new one.")
        if not prompt_token_ids:
            raise RequestError("The prompt is empty; give at least one token.")
        if len(prompt_token_ids) >= self.context_window:
            raise ContextLengthError(len(prompt_token_ids), self.context_window)


def _recite(replies: Sequence[Reply]) -> Callable[[str], Reply]:
    endless = itertools.cycle(replies)
    return lambda _prompt: next(endless)


def _outputs(request: Request, reply: str) -> Iterator[TokenOutput]:
    """The outputs of a reply: one for each word, the last one empty with the usage."""
    params = request.sampling_params
    text, stop = _cut_at_stop(reply, params.stop)
    words = re.findall(r"\S+\s*|\s+", text)
    limit = len(words) if params.max_tokens is None else params.max_tokens
    for index, word in enumerate(words[:limit]):
        yield TokenOutput(
            request_id=request.request_id,
            token_ids=(index,),
            text=word,
            logprobs=_certain(index, word, params),
        )
    yield TokenOutput(
        request_id=request.request_id,
        finish_reason=FinishReason.LENGTH if len(words) > limit else FinishReason.STOP,
        stop_reason=stop if len(words) <= limit else None,
        usage=Usage(
            prompt_tokens=len(request.prompt_token_ids), completion_tokens=min(len(words), limit)
        ),
        metrics=RequestMetrics(
            queue_s=0.0,
            time_to_first_token_s=0.001,
            total_s=0.002,
            prefill_tokens_per_s=1_000.0,
            decode_tokens_per_s=1_000.0,
            peak_memory_bytes=0,
        ),
    )


def _cut_at_stop(text: str, stop: tuple[str, ...]) -> tuple[str, str | None]:
    found = [(text.index(string), string) for string in stop if string in text]
    if not found:
        return text, None
    position, string = min(found)
    return text[:position], string


def _certain(token_id: int, word: str, params: SamplingParams) -> tuple[TokenLogprobs, ...]:
    if not params.logprobs:
        return ()
    chosen = Logprob(token_id, word, 0.0)
    return (TokenLogprobs(chosen, (chosen,) * min(1, params.top_logprobs)),)
