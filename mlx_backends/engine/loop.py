"""One step of generation, over and over: plan, launch, collect. Lives on the MLX thread.

Where the runner can run ahead, a step is launched before the tokens of the one before are read, so
that the device never waits for the host. A sequence that turns out to have ended then has one token
too many on its way, which is dropped.
"""

import time
from collections.abc import Callable
from collections.abc import Sequence as Seq
from dataclasses import replace
from functools import partial
from typing import TypeVar

from mlx_backends.core import FinishReason, TokenOutput
from mlx_backends.engine.admission import fit_to_pool
from mlx_backends.engine.counters import Counters
from mlx_backends.engine.drawing import needs_host
from mlx_backends.engine.interface import EngineStats
from mlx_backends.engine.launched import Launched, StepResult
from mlx_backends.engine.output import take_in
from mlx_backends.engine.runner import PackingRunner, PrefillPackingRunner, Runner
from mlx_backends.engine.scheduler import Scheduler
from mlx_backends.engine.sequence import Sequence
from mlx_backends.engine.step import PrefillChunk, Step
from mlx_backends.errors import MemoryLimitError, MLXBackendsError, NumericalError, as_typed
from mlx_backends.text.tokenizer import Tokenizer

T = TypeVar("T")
_Piece = tuple[Seq[Sequence], Callable[[], Launched | None]]


class Loop:
    """Serves the sequences of one engine.

    A fault while a step runs ends the sequences it ran for, with a typed error, and no others.
    Those that had taken over KV entries of theirs compute them again.
    """

    def __init__(
        self,
        scheduler: Scheduler,
        runner: Runner,
        tokenizer: Tokenizer,
        *,
        planned_bytes: int = 0,
    ) -> None:
        self._scheduler = scheduler
        self._runner = runner
        self._packing = runner if isinstance(runner, PackingRunner) else None
        self._packs_prefill = runner if isinstance(runner, PrefillPackingRunner) else None
        self._tokenizer = tokenizer
        self._planned_bytes = planned_bytes
        self._counters = Counters()
        self._live: set[Sequence] = set()
        self._launched: list[Launched] = []

    @property
    def has_unfinished(self) -> bool:
        return self._scheduler.has_unfinished

    @property
    def pool_tokens(self) -> int:
        """Tokens that all blocks hold."""
        return self._scheduler.blocks.num_blocks * self._scheduler.blocks.block_size

    def stats(self) -> EngineStats:
        """Counters as of the last step."""
        return self._counters.stats(self._scheduler, self._runner.stats, self._planned_bytes)

    def add(self, sequence: Sequence) -> None:
        """Queue a sequence, or end it with an error if it can never fit."""
        self._counters.submitted += 1
        self._live.add(sequence)
        try:
            fit_to_pool(sequence, self.pool_tokens)
        except MemoryLimitError as error:
            self._fail(sequence, error)
        else:
            self._scheduler.add(sequence)

    def step(self) -> None:
        """Launch the next step, then collect the tokens of the one before."""
        self._drop_abandoned()
        if not self._can_run_ahead() or self._has_only_first_tokens():
            self._collect()
        launched = self._launch_next()
        self._collect()
        self._launched = launched
        if not self._runner.runs_ahead:
            self._collect()

    def fail_all(self, error: MLXBackendsError) -> None:
        """End every unfinished sequence with an error."""
        self._launched = []
        for sequence in self._scheduler:
            self._fail(sequence, error)

    def _drop_abandoned(self) -> None:
        for sequence in self._scheduler:
            if sequence.channel.is_abandoned:
                self._finish(sequence, TokenOutput(request_id=sequence.request_id))

    def _can_run_ahead(self) -> bool:
        """Whether no draw of the next step depends on a token that was not read."""
        return not any(needs_host(s) for one in self._launched for s in one.sequences)

    def _has_only_first_tokens(self) -> bool:
        """Whether nobody's stream would stall if the first tokens of all were read at once."""
        sequences = [sequence for one in self._launched for sequence in one.sequences]
        return not any(sequence.output_token_ids for sequence in sequences)

    def _launch_next(self) -> list[Launched]:
        started = time.perf_counter()
        step = self._scheduler.schedule()
        launched = self._launch(step)
        self._counters.count_step(step)
        self._counters.host_s += time.perf_counter() - started
        return launched

    def _launch(self, step: Step) -> list[Launched]:
        if step.copies:
            sequences = [chunk.sequence for chunk in step.prefill]
            self._guarded(sequences, lambda: self._runner.copy_blocks(step.copies))
        launched = [self._guarded(*piece) for piece in self._pieces(step)]
        return [one for one in launched if one is not None]

    def _pieces(self, step: Step) -> list[_Piece]:
        """What to compute; a fault ends the sequences of its piece."""
        chunks = [chunk for chunk in step.prefill if chunk.sequence in self._live]
        packing = self._packing
        if packing is not None:
            sequences = [*step.decode, *(chunk.sequence for chunk in chunks)]
            return [(sequences, partial(packing.run, chunks, step.decode))] if sequences else []
        pieces = self._prefill_pieces(chunks)
        if step.decode:
            pieces.append((step.decode, partial(self._runner.decode, step.decode)))
        return pieces

    def _prefill_pieces(self, chunks: list[PrefillChunk]) -> list[_Piece]:
        packing = self._packs_prefill
        if packing is not None and chunks:
            return [([c.sequence for c in chunks], partial(packing.prefill_together, chunks))]
        return [([c.sequence], partial(self._runner.prefill, c)) for c in chunks]

    def _collect(self) -> None:
        """Wait for the tokens that were launched, and give each to its sequence."""
        launched, self._launched = self._launched, []
        for one in launched:
            started = time.perf_counter()
            results = self._guarded(one.sequences, one.results)
            self._counters.wait_s += time.perf_counter() - started
            for sequence, result in zip(one.sequences, results or (), strict=False):
                if sequence.is_tainted:
                    sequence.drop_in_flight()
                elif sequence in self._live:
                    self._guarded([sequence], partial(self._update, sequence, result))

    def _guarded(self, sequences: Seq[Sequence], function: Callable[[], T]) -> T | None:
        """Call a function; if it raises, fail these sequences instead."""
        try:
            return function()
        except Exception as error:
            for sequence in sequences:
                self._fail(sequence, as_typed(error, "A step of the model"))
            return None

    def _update(self, sequence: Sequence, result: StepResult) -> None:
        if result.token_id is None:
            self._fail(sequence, _numerical_error(sequence))
            return
        self._counters.completion_tokens += 1
        output = take_in(sequence, result, self._tokenizer)
        if output.finish_reason is None:
            sequence.channel.put(output)
        else:
            self._finish(sequence, output)

    def _finish(self, sequence: Sequence, output: TokenOutput) -> None:
        """End a sequence with its last output; one without a finish reason is an abort."""
        usage = sequence.usage(self._num_kept_tokens(sequence))
        self._release(sequence)
        reason = output.finish_reason or FinishReason.ABORT
        self._counters.aborted += reason is FinishReason.ABORT
        self._counters.finished += reason is not FinishReason.ABORT
        sequence.channel.put(
            replace(
                output,
                finish_reason=reason,
                usage=usage,
                metrics=sequence.metrics(self._runner.peak_memory_bytes),
            )
        )

    def _num_kept_tokens(self, sequence: Sequence) -> int:
        """Prompt tokens in blocks that later requests can find."""
        blocks = self._scheduler.blocks
        if sequence.is_tainted or not blocks.prefix_caching:
            return 0
        num_computed = min(sequence.num_computed_tokens, len(sequence.prompt_token_ids))
        return num_computed - num_computed % blocks.block_size

    def _fail(self, sequence: Sequence, error: MLXBackendsError) -> None:
        if sequence not in self._live:
            return
        self._release(sequence, is_tainted=True)
        self._counters.failed += 1
        sequence.channel.fail(error)

    def _release(self, sequence: Sequence, *, is_tainted: bool = False) -> None:
        self._live.discard(sequence)
        self._scheduler.remove(sequence, is_tainted=is_tainted)
        self._runner.free(sequence)


def _numerical_error(sequence: Sequence) -> NumericalError:
    return NumericalError(
        f"The model gave NaN or infinite logits after {len(sequence.prompt_token_ids):,} prompt "
        f"and {len(sequence.output_token_ids):,} completion tokens. The weights may be damaged, or "
        "dtype='float16' may overflow: try dtype='bfloat16' or 'float32'."
    )
