"""One step of generation, over and over: schedule, run, update. Lives on the MLX thread."""

from dataclasses import replace

from mlx_backends.core import FinishReason, Logprob, TokenLogprobs, TokenOutput
from mlx_backends.engine.interface import EngineStats
from mlx_backends.engine.runner import Runner, StepResult
from mlx_backends.engine.scheduler import Scheduler, Step
from mlx_backends.engine.sequence import Sequence
from mlx_backends.errors import MLXBackendsError, NumericalError, as_typed
from mlx_backends.text.tokenizer import Tokenizer


class Loop:
    """Serves the sequences of one engine.

    A fault while a step runs ends the sequences of that step, with a typed error, and no others.
    """

    def __init__(self, scheduler: Scheduler, runner: Runner, tokenizer: Tokenizer) -> None:
        self._scheduler = scheduler
        self._runner = runner
        self._tokenizer = tokenizer
        self._stats = EngineStats()

    @property
    def has_unfinished(self) -> bool:
        return self._scheduler.has_unfinished

    def stats(self) -> EngineStats:
        """Counters as of the last step."""
        return replace(
            self._stats,
            running=self._scheduler.num_running,
            waiting=self._scheduler.num_waiting,
            cache_bytes=self._runner.cache_bytes,
        )

    def add(self, sequence: Sequence) -> None:
        self._count(submitted=1)
        self._scheduler.add(sequence)

    def step(self) -> None:
        """Advance every running sequence by one token, and one prompt by one chunk."""
        self._drop_abandoned()
        admitted, step = self._scheduler.schedule()
        for sequence in admitted:
            self._start(sequence)
        self._prefill(step)
        self._decode(step)

    def fail_all(self, error: MLXBackendsError) -> None:
        """End every unfinished sequence with an error."""
        for sequence in self._scheduler:
            self._fail(sequence, error)

    def _drop_abandoned(self) -> None:
        for sequence in self._scheduler:
            if sequence.channel.is_abandoned:
                self._finish(sequence, FinishReason.ABORT)

    def _start(self, sequence: Sequence) -> None:
        sequence.mark_started()
        self._runner.allocate(sequence)

    def _prefill(self, step: Step) -> None:
        if step.prefill is None:
            return
        chunk = step.prefill
        try:
            self._runner.prefill(chunk)
        except Exception as error:
            self._fail(chunk.sequence, as_typed(error, "A step of the model"))
            return
        self._count(prompt_tokens=chunk.stop - chunk.start)

    def _decode(self, step: Step) -> None:
        if not step.decode:
            return
        try:
            results = self._runner.decode_step(step.decode)
        except Exception as error:
            for sequence in step.decode:
                self._fail(sequence, as_typed(error, "A step of the model"))
            return
        for sequence, result in zip(step.decode, results, strict=True):
            try:
                self._update(sequence, result)
            except Exception as error:
                self._fail(sequence, as_typed(error, "The end of a step"))

    def _update(self, sequence: Sequence, result: StepResult) -> None:
        """Take in a token: turn it into text, see whether it is the last, hand it out."""
        if result.token_id is None:
            self._fail(sequence, _numerical_error(sequence))
            return
        sequence.append(result.token_id)
        token_id = sequence.output_token_ids[-1]
        self._count(completion_tokens=1, prompt_tokens=len(sequence.output_token_ids) == 1)
        reason = sequence.finish_reason(self._tokenizer.eos_token_ids)
        text, stop_string = self._new_text(sequence, reason)
        output = TokenOutput(
            request_id=sequence.request_id,
            token_ids=(token_id,),
            text=text,
            logprobs=self._logprobs(token_id, result),
        )
        if stop_string is not None:
            self._finish(sequence, FinishReason.STOP, output, stop_string)
        elif reason is not None:
            is_stop_id = token_id in sequence.params.stop_token_ids
            self._finish(sequence, reason, output, token_id if is_stop_id else None)
        else:
            sequence.channel.put(output)

    def _new_text(self, sequence: Sequence, reason: FinishReason | None) -> tuple[str, str | None]:
        """Text that the last token decided, and the stop string that it completed, if any."""
        matcher, detokenizer = sequence.stop_matcher, sequence.detokenizer
        is_stop_token = sequence.ends_with_stop_token(self._tokenizer.eos_token_ids)
        decoded = "" if is_stop_token else detokenizer.add(sequence.output_token_ids[-1])
        if reason is not None:
            decoded += detokenizer.finish()
        found = matcher.feed(decoded)
        if found.matched is not None or reason is None:
            return found.text_to_emit, found.matched
        return found.text_to_emit + matcher.finish(), None

    def _logprobs(self, token_id: int, result: StepResult) -> tuple[TokenLogprobs, ...]:
        if result.logprob is None:
            return ()
        text_of = self._tokenizer.token_text
        top = tuple(Logprob(i, text_of(i), value) for i, value in result.top)
        # A token that a constraint put in the place of the one drawn was certain.
        logprob = result.logprob if token_id == result.token_id else 0.0
        chosen = Logprob(token_id, text_of(token_id), logprob)
        return (TokenLogprobs(chosen, top),)

    def _finish(
        self,
        sequence: Sequence,
        reason: FinishReason,
        output: TokenOutput | None = None,
        stop_reason: str | int | None = None,
    ) -> None:
        self._release(sequence)
        is_abort = reason is FinishReason.ABORT
        self._count(aborted=is_abort, finished=not is_abort)
        sequence.channel.put(
            replace(
                output or TokenOutput(request_id=sequence.request_id),
                finish_reason=reason,
                stop_reason=stop_reason,
                usage=sequence.usage(),
                metrics=sequence.metrics(self._runner.peak_memory_bytes),
            )
        )

    def _fail(self, sequence: Sequence, error: MLXBackendsError) -> None:
        self._release(sequence)
        self._count(failed=1)
        sequence.channel.fail(error)

    def _release(self, sequence: Sequence) -> None:
        self._scheduler.remove(sequence)
        self._runner.free(sequence)

    def _count(self, **increments: int) -> None:
        stats = self._stats
        self._stats = replace(
            stats, **{name: getattr(stats, name) + value for name, value in increments.items()}
        )


def _numerical_error(sequence: Sequence) -> NumericalError:
    return NumericalError(
        f"The model gave NaN or infinite logits after {len(sequence.prompt_token_ids):,} prompt "
        f"and {len(sequence.output_token_ids):,} completion tokens. The weights may be damaged, or "
        "dtype='float16' may overflow: try dtype='bfloat16' or 'float32'."
    )
