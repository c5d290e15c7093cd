"""A request that is being served: host values only, so that it can be tested without MLX."""

import time
from dataclasses import dataclass, field

from mlx_backends.core import FinishReason, Request, RequestMetrics, SamplingParams, Usage
from mlx_backends.engine.constraint import Constraint
from mlx_backends.engine.handle import OutputChannel
from mlx_backends.text.detokenizer import Detokenizer
from mlx_backends.text.stop import StopMatcher


@dataclass(slots=True, eq=False)
class Sequence:
    """The running state of one request.

    Attributes:
        request: What was asked.
        channel: Where outputs go.
        detokenizer: Turns generated ids into text.
        stop_matcher: Finds stop strings in that text.
        seed: Stream of random numbers: the caller's seed, or one drawn for this request.
        max_tokens: Most completion tokens, within the context window.
        constraint: Which tokens may come next; None allows all.
        num_computed_tokens: Prompt tokens whose KV entries exist.
        output_token_ids: Tokens generated so far.
        submitted_at, started_at, first_token_at: Times of ``time.perf_counter``, in seconds.
    """

    request: Request
    channel: OutputChannel
    detokenizer: Detokenizer
    stop_matcher: StopMatcher
    seed: int
    max_tokens: int
    constraint: Constraint | None = None
    num_computed_tokens: int = 0
    output_token_ids: list[int] = field(default_factory=list)
    submitted_at: float = field(default_factory=time.perf_counter)
    started_at: float | None = None
    first_token_at: float | None = None

    @property
    def request_id(self) -> str:
        return self.request.request_id

    @property
    def params(self) -> SamplingParams:
        return self.request.sampling_params

    @property
    def prompt_token_ids(self) -> tuple[int, ...]:
        return self.request.prompt_token_ids

    @property
    def num_prefill_tokens(self) -> int:
        """Prompt tokens to compute before the first decode step, which takes the last one."""
        return len(self.prompt_token_ids) - 1

    @property
    def is_prefilled(self) -> bool:
        return self.num_computed_tokens >= self.num_prefill_tokens

    @property
    def last_token_id(self) -> int:
        """The token that the next decode step takes."""
        return self.output_token_ids[-1] if self.output_token_ids else self.prompt_token_ids[-1]

    def mark_started(self) -> None:
        """Record that the sequence left the queue."""
        self.started_at = time.perf_counter()

    def append(self, token_id: int) -> None:
        """Record a generated token and the time of the first one."""
        if self.constraint is not None:
            token_id = self.constraint.accept(token_id)
        self.output_token_ids.append(token_id)
        if self.first_token_at is None:
            self.first_token_at = time.perf_counter()

    def finish_reason(self, stop_token_ids: frozenset[int]) -> FinishReason | None:
        """Whether the last token ends the completion, stop strings aside."""
        if self.ends_with_stop_token(stop_token_ids):
            return FinishReason.STOP
        if self.constraint is not None and self.constraint.is_finished:
            return FinishReason.STOP
        if len(self.output_token_ids) >= self.max_tokens:
            return FinishReason.LENGTH
        return None

    def ends_with_stop_token(self, stop_token_ids: frozenset[int]) -> bool:
        """Whether the last token only says that the completion ends, and so has no text."""
        last = self.output_token_ids[-1]
        is_end = last in stop_token_ids and (self.constraint or not self.params.ignore_eos)
        return last in self.params.stop_token_ids or bool(is_end)

    def usage(self) -> Usage:
        return Usage(
            prompt_tokens=len(self.prompt_token_ids), completion_tokens=len(self.output_token_ids)
        )

    def metrics(self, peak_memory_bytes: int) -> RequestMetrics:
        """Times up to now; a phase that was not reached counts as zero."""
        now = time.perf_counter()
        started = self.started_at or now
        first = self.first_token_at or now
        return RequestMetrics(
            queue_s=started - self.submitted_at,
            time_to_first_token_s=first - self.submitted_at,
            total_s=now - self.submitted_at,
            prefill_tokens_per_s=_rate(self.num_computed_tokens + 1, first - started),
            decode_tokens_per_s=_rate(len(self.output_token_ids) - 1, now - first),
            peak_memory_bytes=peak_memory_bytes,
        )


def _rate(count: int, seconds: float) -> float:
    return count / seconds if count > 0 and seconds > 0 else 0.0
