"""The engine as callers see it: submit requests from any thread, read their outputs.

Checks a request on the caller's thread, so that a bad one raises where it was made, and hands it to
the MLX thread, where a ``Loop`` serves it. The engine posts one step at a time to that thread, and
so shares it with the embedders of the process.
"""

import gc
import itertools
import threading
from collections import deque
from collections.abc import AsyncGenerator, Generator
from collections.abc import Sequence as Seq
from dataclasses import replace
from typing import TYPE_CHECKING

from mlx_backends.config import (
    EngineConfig,
    memory_limit_from_environment,
    model_from_environment,
)
from mlx_backends.core import Request, SamplingParams, TokenOutput
from mlx_backends.engine.admission import check_cache_salt, check_prompt, fit_to_pool, new_sequence
from mlx_backends.engine.handle import RequestHandle
from mlx_backends.engine.interface import EngineStats
from mlx_backends.engine.model_files import ModelFiles, read_model_files
from mlx_backends.engine.sequence import Sequence
from mlx_backends.errors import (
    EngineClosedError,
    OverloadedError,
    as_typed,
)
from mlx_backends.grammar.spec import Grammar
from mlx_backends.models.source import BUNDLED
from mlx_backends.text.tokenizer import Tokenizer
from mlx_backends.worker import Worker, shared_worker

if TYPE_CHECKING:
    from mlx_backends.engine.loop import Loop


class Engine:
    """Generates text with one language model.

    Nothing is loaded by the constructor: the tokenizer is read when the first prompt is made, the
    weights when the first request runs. All methods may be called from any thread.

    Args:
        config: Which model, and within which bounds.
        worker: Thread that runs MLX; the process's shared one by default.
    """

    def __init__(self, config: EngineConfig | None = None, *, worker: Worker | None = None) -> None:
        self.config = config or EngineConfig()
        self._worker = worker or shared_worker()
        self._lock = threading.Lock()
        self._files_lock = threading.Lock()
        self._files: ModelFiles | None = None
        self._loop: Loop | None = None
        self._incoming: deque[Sequence] = deque()
        self._is_stepping = False
        self._is_closed = False
        self._stats = EngineStats()
        self._request_numbers = itertools.count()

    def __enter__(self) -> "Engine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    @property
    def model_name(self) -> str:
        """The model as it is named by the configuration, the environment, or ``bundled``."""
        return self.config.model or model_from_environment("lm") or BUNDLED

    @property
    def context_window(self) -> int:
        """Most tokens of prompt and completion together."""
        return self._model_files().context_window

    @property
    def tokenizer(self) -> Tokenizer:
        return self._model_files().tokenizer

    def load(self) -> None:
        """Load the weights now rather than with the first request; blocks until they are there.

        Raises:
            ModelError: The model cannot be loaded.
            MemoryLimitError: The weights do not fit the memory limit.
        """
        self._check_usable()
        self._model_files()
        self._stats = self._worker.run(self._loaded_loop).result().stats()

    def submit(
        self,
        prompt_token_ids: Seq[int],
        sampling_params: SamplingParams | None = None,
        *,
        request_id: str | None = None,
        priority: int = 0,
        cache_salt: str | None = None,
        grammar: Grammar | None = None,
    ) -> RequestHandle:
        """Queue a request and return at once. Read it with ``stream`` or ``astream``.

        Args:
            prompt_token_ids: Made with ``engine.tokenizer``.
            sampling_params: How to continue; greedy up to the context window by default.
            request_id: A name of your own for the outputs.
            priority: Smaller runs first.
            cache_salt: Requests reuse cached prompts only of requests with the same salt.
            grammar: What the completion must look like; it then always does, and ends.

        Raises:
            GrammarError: The grammar is malformed, too complex, or cannot be satisfied within
                ``max_tokens``.
            RequestError: The prompt is empty, too long or holds ids outside the vocabulary.
            OverloadedError: Too many requests wait.
            MemoryLimitError: Its KV entries would never fit; before the model is loaded, the
                stream raises it.
            EngineClosedError: The engine was closed.
            ForkedProcessError: This process was forked after the engine had started.
            ModelError: The model's small files cannot be used.
        """
        self._check_usable()
        files = self._model_files()
        check_prompt(prompt_token_ids, files)
        check_cache_salt(cache_salt)
        request = Request(
            request_id=request_id or f"request-{next(self._request_numbers)}",
            prompt_token_ids=tuple(prompt_token_ids),
            sampling_params=sampling_params or SamplingParams(),
            priority=priority,
            cache_salt=cache_salt,
        )
        sequence = new_sequence(request, files, grammar)
        loop = self._loop
        if loop is not None:
            fit_to_pool(sequence, loop.pool_tokens)
        self._enqueue(sequence)
        return RequestHandle(request, sequence.channel)

    def stream(self, handle: RequestHandle) -> Generator[TokenOutput]:
        """Yield the request's outputs; leaving the loop early aborts it.

        Raises:
            EngineError: The request failed while it ran.
            ModelError: The weights could not be loaded.
        """
        return handle.stream()

    def astream(self, handle: RequestHandle) -> AsyncGenerator[TokenOutput]:
        """As ``stream``, on an event loop; cancelling the task aborts the request."""
        return handle.astream()

    def abort(self, handle: RequestHandle) -> None:
        """Stop a request; its stream ends with the finish reason ``abort``."""
        handle.abort()

    def stats(self) -> EngineStats:
        """Counters as of the last step, requests that arrived since included."""
        with self._lock:
            arrived = len(self._incoming)
            return replace(
                self._stats,
                waiting=self._stats.waiting + arrived,
                submitted=self._stats.submitted + arrived,
            )

    def close(self) -> None:
        """End all requests with ``EngineClosedError`` and free the model's memory; idempotent."""
        with self._lock:
            if self._is_closed:
                return
            self._is_closed = True
            is_idle = self._loop is None and not self._is_stepping
        if is_idle or not self._worker.is_usable:
            return
        closing = self._worker.run(self._shut_down)
        if not self._worker.is_current_thread():
            closing.result()

    @property
    def is_idle(self) -> bool:
        """Whether no request waits or runs."""
        with self._lock:
            return not self._incoming and not (self._loop and self._loop.has_unfinished)

    def unload(self) -> None:
        """Free the model's memory; it loads again with the next request. On the MLX thread only."""
        self._loop = None
        gc.collect()  # a model's modules refer to each other
        _clear_mlx_cache()

    def _model_files(self) -> ModelFiles:
        with self._files_lock:
            if self._files is None:
                self._files = read_model_files(self.config)
            return self._files

    def _check_usable(self) -> None:
        self._worker.check_process()
        if self._is_closed:
            raise EngineClosedError("The engine was closed; make a new one.")

    def _enqueue(self, sequence: Sequence) -> None:
        with self._lock:
            num_waiting = self._stats.waiting + len(self._incoming)
            if num_waiting >= self.config.max_num_waiting:
                raise OverloadedError(
                    f"{num_waiting:,} requests wait already, as many as max_num_waiting allows. "
                    "Try again later, or raise it."
                )
            self._check_usable()
            self._incoming.append(sequence)
            self._post_step()

    def _post_step(self) -> None:
        """Ask the MLX thread for a step, unless one is due. Call with the lock held."""
        if not self._is_stepping:
            self._worker.post(self._step, on_drop=self._shut_down)
            self._is_stepping = True

    def _step(self) -> None:
        """Run one step on the MLX thread, and post the next if there is more to do."""
        if self._is_closed:
            return
        try:
            loop = self._loaded_loop()
            self._worker.memory.touch(self)
            self._take_incoming(loop)
            loop.step()
        except Exception as error:
            self._fail_all(error)
        with self._lock:
            self._is_stepping = False
            self._stats = self._loop.stats() if self._loop else self._stats
            if self._incoming or (self._loop and self._loop.has_unfinished):
                self._post_step()

    def _loaded_loop(self) -> "Loop":
        """The loop, made on the MLX thread when it is first needed."""
        if self._loop is None:
            self._loop = self._make_loop()
        return self._loop

    def _make_loop(self) -> "Loop":
        # Here, not at the top: mlx_lm takes two seconds to import.
        from mlx_backends.engine.build import build_loop

        files = self._model_files()
        return self._worker.memory.fit(
            self,
            self.config.memory_limit_bytes or memory_limit_from_environment(),
            lambda left: build_loop(files, self.config, left),
            size=lambda loop: loop.stats().planned_bytes,
        )

    def _take_incoming(self, loop: "Loop") -> None:
        with self._lock:
            if not self._incoming:
                return
            while self._incoming:
                loop.add(self._incoming.popleft())
            self._stats = loop.stats()

    def _fail_all(self, error: Exception) -> None:
        """End every request that was accepted so far."""
        typed = as_typed(error, "The engine")
        with self._lock:
            arrived = list(self._incoming)
            self._incoming.clear()
            count = len(arrived)
            self._stats = replace(
                self._stats,
                submitted=self._stats.submitted + count,
                failed=self._stats.failed + count,
            )
        for sequence in arrived:
            sequence.channel.fail(typed)
        if self._loop is not None:
            self._loop.fail_all(typed)

    def _shut_down(self) -> None:
        """Give up on the MLX thread: fail what is left and drop the model."""
        self._fail_all(EngineClosedError("The engine was closed while the request ran."))
        self.unload()
        self._worker.memory.release(self)


def _clear_mlx_cache() -> None:
    import mlx.core as mx

    mx.clear_cache()
