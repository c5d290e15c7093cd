"""The vocabulary that every layer speaks: requests, their outputs and what they cost.

Plain frozen dataclasses of Python values. This module imports neither MLX nor a framework, so that
adapters, scheduler and tests can share it.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from mlx_backends.errors import ConfigError

MAX_STOP_STRINGS = 64
MAX_STOP_LENGTH = 4_096
MAX_TOP_LOGPROBS = 100
MAX_SEED = 2**64 - 1


class FinishReason(StrEnum):
    """Why a completion ended."""

    STOP = "stop"
    """An end-of-sequence token or a stop string was reached."""
    LENGTH = "length"
    """``max_tokens`` or the context window was reached."""
    ABORT = "abort"
    """The caller aborted the request or stopped reading it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SamplingParams:
    """How the next token is chosen and when a completion ends.

    The order of application is mlx-lm's: penalties, then log-probabilities, then ``top_p``,
    ``min_p``, ``top_k``, then the draw at ``temperature``.

    Attributes:
        max_tokens: Most completion tokens; None means as many as the context window leaves.
        min_tokens: End-of-sequence tokens cannot be drawn before this many tokens.
        temperature: 0 is greedy.
        top_p: Smallest set of tokens whose probability reaches this; 1 keeps all.
        top_k: The k likeliest tokens; 0 keeps all.
        min_p: Tokens at least this likely relative to the likeliest; 0 keeps all.
        repetition_penalty: Divides (multiplies, if negative) the logits of recent tokens; 1 is off
            (Keskar et al. 2019, arXiv:1909.05858).
        repetition_context_size: How many recent tokens, prompt included, the penalty looks at.
        presence_penalty: Subtracted once from the logits of tokens in the completion so far.
        frequency_penalty: Subtracted once per occurrence in the completion so far.
        seed: Makes the draws of this request reproducible, whatever runs beside it.
        stop: Strings that end the completion; they are not part of the text.
        stop_token_ids: Token ids that end the completion, besides the model's own.
        ignore_eos: Go on after an end-of-sequence token (for benchmarks).
        logprobs: Report the log-probability of every token.
        top_logprobs: Report so many likeliest alternatives at every position; implies
            ``logprobs``.
        skip_special_tokens: Leave control tokens out of the text.

    Raises:
        ConfigError: A value has the wrong type or is out of its range.
    """

    max_tokens: int | None = None
    min_tokens: int = 0
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    repetition_context_size: int = 20
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    stop_token_ids: tuple[int, ...] = ()
    ignore_eos: bool = False
    logprobs: bool = False
    top_logprobs: int = 0
    skip_special_tokens: bool = True

    def __post_init__(self) -> None:
        if self.max_tokens is not None:
            _require_int("max_tokens", self.max_tokens, 1)
        _require_int("min_tokens", self.min_tokens, 0)
        _require_float("temperature", self.temperature, 0.0, 100.0)
        _require_float("top_p", self.top_p, 0.0, 1.0)
        _require_int("top_k", self.top_k, 0)
        _require_float("min_p", self.min_p, 0.0, 1.0)
        _require_float("repetition_penalty", self.repetition_penalty, 0.01, 100.0)
        _require_int("repetition_context_size", self.repetition_context_size, 0)
        _require_float("presence_penalty", self.presence_penalty, -2.0, 2.0)
        _require_float("frequency_penalty", self.frequency_penalty, -2.0, 2.0)
        if self.seed is not None:
            _require_int("seed", self.seed, 0, MAX_SEED)
        _require_int("top_logprobs", self.top_logprobs, 0, MAX_TOP_LOGPROBS)
        for name in ("logprobs", "ignore_eos", "skip_special_tokens"):
            _require_bool(name, getattr(self, name))
        object.__setattr__(self, "logprobs", self.logprobs or self.top_logprobs > 0)
        object.__setattr__(self, "stop", _normalized_stop(self.stop))
        object.__setattr__(self, "stop_token_ids", _as_tuple("stop_token_ids", self.stop_token_ids))
        for token_id in self.stop_token_ids:
            _require_int("stop_token_ids", token_id, 0)

    @property
    def is_greedy(self) -> bool:
        return self.temperature == 0.0

    @classmethod
    def from_options(cls, **options: Any) -> "SamplingParams":
        """Make parameters from an adapter's options; None stands for the default.

        Raises:
            ConfigError: An option has no such name, a wrong type or a value out of its range.
        """
        allowed = sorted(f.name for f in fields(cls))
        unknown = sorted(set(options) - set(allowed))
        if unknown:
            raise ConfigError(
                f"Unknown option {', '.join(map(repr, unknown))}. "
                f"Sampling options are: {', '.join(allowed)}."
            )
        return cls(**{name: value for name, value in options.items() if value is not None})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What a caller asked for: a tokenized prompt and how to continue it.

    Attributes:
        request_id: Unique within an engine.
        prompt_token_ids: At least one id, each inside the vocabulary.
        sampling_params: How to continue.
        priority: Smaller runs first; equal priorities run in the order of arrival.
        cache_salt: Requests share cached KV blocks only with requests of the same salt.
    """

    request_id: str
    prompt_token_ids: tuple[int, ...]
    sampling_params: SamplingParams = field(default_factory=SamplingParams)
    priority: int = 0
    cache_salt: str | None = None


@dataclass(frozen=True, slots=True)
class Logprob:
    """A token and its natural-log probability before temperature and truncation."""

    token_id: int
    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class TokenLogprobs:
    """The chosen token at one position and its likeliest alternatives, best first."""

    chosen: Logprob
    top: tuple[Logprob, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a request cost, in tokens.

    Attributes:
        prompt_tokens: All prompt tokens, cached ones included.
        completion_tokens: Tokens generated, the end-of-sequence token included.
        cached_tokens: Prompt tokens whose KV entries were reused instead of computed.
        cache_creation_tokens: Prompt tokens whose KV entries were computed and kept for others.
    """

    prompt_tokens: int
    completion_tokens: int
    cached_tokens: int = 0
    cache_creation_tokens: int = 0

    @property
    def total_tokens(self) -> int:
        return self.prompt_tokens + self.completion_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestMetrics:
    """What a request cost, in time and memory.

    Attributes:
        queue_s: From submission to the start of its prefill, in seconds.
        time_to_first_token_s: From submission to the first token, in seconds.
        total_s: From submission to the end, in seconds.
        prefill_tokens_per_s: Prompt tokens computed (not cached) per second of prefill.
        decode_tokens_per_s: Tokens after the first per second; 0 if there was only one.
        peak_memory_bytes: Highest memory MLX held in this process up to the end of the request.
    """

    queue_s: float
    time_to_first_token_s: float
    total_s: float
    prefill_tokens_per_s: float
    decode_tokens_per_s: float
    peak_memory_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenOutput:
    """One increment of a completion.

    Joined over a stream, ``token_ids`` and ``text`` are the whole completion. Text can lag behind
    the ids: bytes of an unfinished character and the beginning of a possible stop string are held
    back until they are decided.

    Attributes:
        request_id: The request that this belongs to.
        token_ids: The new tokens.
        text: The new text.
        logprobs: One entry for each new token, if asked for.
        finish_reason: Set on the last output, and only there.
        stop_reason: The stop string or stop token id that ended it, if one did.
        usage: Set on the last output.
        metrics: Set on the last output.
    """

    request_id: str
    token_ids: tuple[int, ...] = ()
    text: str = ""
    logprobs: tuple[TokenLogprobs, ...] = ()
    finish_reason: FinishReason | None = None
    stop_reason: str | int | None = None
    usage: Usage | None = None
    metrics: RequestMetrics | None = None


def _normalized_stop(stop: str | Sequence[str] | None) -> tuple[str, ...]:
    strings = (stop,) if isinstance(stop, str) else _as_tuple("stop", stop or ())
    if len(strings) > MAX_STOP_STRINGS:
        raise ConfigError(f"stop has {len(strings)} strings; at most {MAX_STOP_STRINGS}.")
    for string in strings:
        if not isinstance(string, str) or not string or len(string) > MAX_STOP_LENGTH:
            raise ConfigError(
                f"stop must hold non-empty strings of at most {MAX_STOP_LENGTH:,} characters; "
                f"got {string!r:.80}."
            )
    return strings


def _as_tuple(name: str, value: object) -> tuple[Any, ...]:
    if not isinstance(value, Iterable):
        raise ConfigError(f"{name} must be a list; got {value!r:.80}.")
    return tuple(value)


def _require_bool(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise ConfigError(f"{name} must be True or False; got {value!r:.80}.")


def _require_int(name: str, value: object, low: int, high: int | None = None) -> None:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigError(f"{name} must be an integer; got {value!r:.80}.")
    if value < low or (high is not None and value > high):
        bound = f"at least {low:,}" if high is None else f"between {low:,} and {high:,}"
        raise ConfigError(f"{name} must be {bound}; got {value:,}.")


def _require_float(name: str, value: object, low: float, high: float) -> None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise ConfigError(f"{name} must be a number; got {value!r:.80}.")
    if not math.isfinite(value) or not low <= value <= high:
        raise ConfigError(f"{name} must be between {low:g} and {high:g}; got {value}.")
