"""What an adapter may expect of an engine: the real one and ``MockEngine`` both fit."""

from collections.abc import AsyncGenerator, Generator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from mlx_backends.core import SamplingParams, TokenOutput
from mlx_backends.engine.handle import RequestHandle
from mlx_backends.grammar.spec import Grammar
from mlx_backends.text.reasoning import ReasoningFormat
from mlx_backends.text.tool_formats import ToolFormat


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineStats:
    """Counters of an engine at one moment.

    Attributes:
        running: Sequences that are being prefilled or generate.
        waiting: Requests that have not begun.
        submitted: Requests accepted since the start; always the sum of ``running``, ``waiting``,
            ``finished``, ``failed`` and ``aborted``.
        finished: Requests that ended with ``stop`` or ``length``.
        failed: Requests that ended with an error.
        aborted: Requests whose caller gave up.
        prompt_tokens: Prompt tokens computed, those again included that a preemption threw away.
        cached_tokens: Prompt tokens whose KV entries were reused instead.
        completion_tokens: Tokens generated.
        preemptions: How often a sequence lost its KV entries to another.
        steps: Steps of prefill, decode or both.
        decode_steps: Steps that drew a token for running sequences.
        largest_batch: Most sequences that one of these drew a token for.
        host_s: Seconds spent in planning and launching steps.
        wait_s: Seconds spent in waiting for tokens that were launched.
        blocks_in_use: Blocks of the KV pool that running sequences hold.
        blocks_free: Blocks that can be had, those included that only the prefix cache holds.
        blocks_cached: Blocks that prompts can find by their beginning, in use or not.
        cache_bytes: Bytes of the blocks in use.
        pool_bytes: Bytes allocated for KV entries.
        planned_bytes: Weights, KV pool and the largest step, as counted before anything was
            allocated; 0 for models that keep no pool.
        traces: Decode steps compiled, one for each bucket of batch and context.
        compile_s: Seconds of the first run of each.
        operations: Operations of the decode step compiled last, views left out: about as many
            kernels does it launch.
    """

    running: int = 0
    waiting: int = 0
    submitted: int = 0
    finished: int = 0
    failed: int = 0
    aborted: int = 0
    prompt_tokens: int = 0
    cached_tokens: int = 0
    completion_tokens: int = 0
    preemptions: int = 0
    steps: int = 0
    decode_steps: int = 0
    largest_batch: int = 0
    host_s: float = 0.0
    wait_s: float = 0.0
    blocks_in_use: int = 0
    blocks_free: int = 0
    blocks_cached: int = 0
    cache_bytes: int = 0
    pool_bytes: int = 0
    planned_bytes: int = 0
    traces: int = 0
    compile_s: float = 0.0
    operations: int = 0


class ChatTokenizer(Protocol):
    """The part of ``mlx_backends.text.tokenizer.Tokenizer`` that adapters use."""

    @property
    def has_chat_template(self) -> bool: ...

    @property
    def added_token_ids(self) -> Mapping[str, int]: ...

    @property
    def special_token_ids(self) -> frozenset[int]: ...

    @property
    def tool_format(self) -> ToolFormat | None: ...

    @property
    def reasoning_format(self) -> ReasoningFormat | None: ...

    def encode(self, text: str, *, add_special_tokens: bool = False) -> list[int]: ...

    def decode(self, token_ids: Sequence[int], *, skip_special_tokens: bool = True) -> str: ...

    def count(self, text: str) -> int: ...

    def encode_chat(
        self,
        messages: Sequence[Mapping[str, Any]],
        *,
        tools: Sequence[Mapping[str, Any]] | None = None,
        add_generation_prompt: bool = True,
        continue_final_message: bool = False,
        **template_options: Any,
    ) -> list[int]: ...


class GenerationEngine(Protocol):
    """Continues tokenized prompts. All methods may be called from any thread.

    ``model_name``, ``context_window`` and ``tokenizer`` read the model's small files at their first
    use (blocking, up to a second); weights load with the first request.
    """

    @property
    def model_name(self) -> str: ...

    @property
    def context_window(self) -> int: ...

    @property
    def tokenizer(self) -> ChatTokenizer: ...

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
        """Queue a request and return at once; errors in the request itself raise here."""
        ...

    def stream(self, handle: RequestHandle) -> Generator[TokenOutput]: ...

    def astream(self, handle: RequestHandle) -> AsyncGenerator[TokenOutput]: ...

    def abort(self, handle: RequestHandle) -> None: ...

    def stats(self) -> EngineStats: ...

    def close(self) -> None: ...
