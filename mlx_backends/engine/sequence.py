"""A request that is being served: host values only, so that it can be tested without MLX."""

import time
from dataclasses import dataclass, field

from mlx_backends.cache.block_table import BlockTable
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
        token_ids: The prompt and the tokens generated so far.
        output_token_ids: Tokens generated so far.
        table: The blocks that hold its KV entries.
        arrival: Its place among all sequences that the scheduler was given.
        num_prefill_tokens: Tokens that prefill computes before the first decode step: the prompt
            or, after a preemption, the prompt and the outputs so far.
        num_computed_tokens: Tokens whose KV entries exist once the steps launched so far have run.
        num_cached_tokens: Prompt tokens whose KV entries were reused instead of computed.
        num_in_flight: Tokens that were launched but not read yet.
        num_preemptions: How often it lost its blocks, to another sequence or to its fault.
        is_tainted: Whether its KV entries rest on some that cannot be trusted. Tokens in flight are
            then to be dropped; those read before came from sound entries, as the device works in
            order.
        submitted_at, started_at, first_token_at: Times of ``time.perf_counter``, in seconds.
    """

    request: Request
    channel: OutputChannel
    detokenizer: Detokenizer
    stop_matcher: StopMatcher
    seed: int
    max_tokens: int
    constraint: Constraint | None = None
    token_ids: list[int] = field(init=False)
    output_token_ids: list[int] = field(default_factory=list)
    table: BlockTable = field(init=False)
    arrival: int = 0
    num_prefill_tokens: int = 0
    num_computed_tokens: int = 0
    num_cached_tokens: int = 0
    num_in_flight: int = 0
    num_preemptions: int = 0
    is_tainted: bool = False
    submitted_at: float = field(default_factory=time.perf_counter)
    started_at: float | None = None
    first_token_at: float | None = None

    def __post_init__(self) -> None:
        self.token_ids = list(self.request.prompt_token_ids)
        self.table = BlockTable(self.request.cache_salt)

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
    def block_ids(self) -> list[int]:
        """Block ``i`` holds the KV entries of the tokens from ``i * block_size`` on."""
        return self.table.block_ids

    @property
    def max_kv_tokens(self) -> int:
        """Most KV entries it can come to hold: nothing follows the last token, so it needs none."""
        return len(self.prompt_token_ids) + self.max_tokens - 1

    @property
    def is_prefilled(self) -> bool:
        return self.num_computed_tokens >= self.num_prefill_tokens

    @property
    def can_decode(self) -> bool:
        """Whether one more token may be launched: at most one may be unread by then."""
        num_launched = len(self.output_token_ids) + self.num_in_flight
        return self.is_prefilled and self.num_in_flight <= 1 and num_launched < self.max_tokens

    @property
    def last_token_id(self) -> int:
        """The token that the next decode step takes, unless one is in flight."""
        return self.token_ids[-1]

    def mark_started(self) -> None:
        """Record when the sequence first left the queue."""
        if self.started_at is None:
            self.started_at = time.perf_counter()

    def append(self, token_id: int) -> None:
        """Record a generated token, which is no longer in flight, and the time of the first one.

        A constraint may put another token in the place of the one that was drawn.
        """
        if self.constraint is not None:
            token_id = self.constraint.accept(token_id)
        self.token_ids.append(token_id)
        self.output_token_ids.append(token_id)
        self.num_in_flight -= 1
        if self.first_token_at is None:
            self.first_token_at = time.perf_counter()

    def drop_in_flight(self) -> None:
        """Forget the next token that was launched, which was read and is not to be trusted."""
        self.num_in_flight -= 1

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

    def usage(self, num_kept_tokens: int = 0) -> Usage:
        """What it cost in tokens; ``num_kept_tokens`` of the prompt stay in the prefix cache."""
        return Usage(
            prompt_tokens=len(self.prompt_token_ids),
            completion_tokens=len(self.output_token_ids),
            cached_tokens=self.num_cached_tokens,
            cache_creation_tokens=max(0, num_kept_tokens - self.num_cached_tokens),
        )

    def metrics(self, peak_memory_bytes: int) -> RequestMetrics:
        """Times up to now; a phase that was not reached counts as zero."""
        now = time.perf_counter()
        started = self.started_at or now
        first = self.first_token_at or now
        num_computed = min(self.num_computed_tokens, len(self.prompt_token_ids))
        return RequestMetrics(
            queue_s=started - self.submitted_at,
            time_to_first_token_s=first - self.submitted_at,
            total_s=now - self.submitted_at,
            prefill_tokens_per_s=_rate(num_computed - self.num_cached_tokens, first - started),
            decode_tokens_per_s=_rate(len(self.output_token_ids) - 1, now - first),
            peak_memory_bytes=peak_memory_bytes,
        )


def _rate(count: int, seconds: float) -> float:
    return count / seconds if count > 0 and seconds > 0 else 0.0
