"""What an engine has done so far, counted on the MLX thread."""

from dataclasses import dataclass

from mlx_backends.engine.interface import EngineStats
from mlx_backends.engine.runner import RunnerStats
from mlx_backends.engine.scheduler import Scheduler
from mlx_backends.engine.step import Step


@dataclass(slots=True)
class Counters:
    """Sums since the start; the names and meanings are those of ``EngineStats``."""

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

    def count_step(self, step: Step) -> None:
        """Count what a step was planned to do."""
        self.steps += not step.is_empty
        self.decode_steps += bool(step.decode)
        self.largest_batch = max(self.largest_batch, len(step.decode))
        self.preemptions += len(step.preempted)
        for chunk in step.prefill:
            self.prompt_tokens += chunk.stop - chunk.start
            if chunk.is_last and chunk.sequence.num_preemptions == 0:
                self.cached_tokens += chunk.sequence.num_cached_tokens

    def stats(
        self, scheduler: Scheduler, runner: RunnerStats, planned_bytes: int = 0
    ) -> EngineStats:
        """The sums so far, and what scheduler and runner hold now."""
        blocks = scheduler.blocks
        return EngineStats(
            running=scheduler.num_running,
            waiting=scheduler.num_waiting,
            submitted=self.submitted,
            finished=self.finished,
            failed=self.failed,
            aborted=self.aborted,
            prompt_tokens=self.prompt_tokens,
            cached_tokens=self.cached_tokens,
            completion_tokens=self.completion_tokens,
            preemptions=self.preemptions,
            steps=self.steps,
            decode_steps=self.decode_steps,
            largest_batch=self.largest_batch,
            host_s=self.host_s,
            wait_s=self.wait_s,
            blocks_in_use=blocks.num_in_use,
            blocks_free=blocks.num_available,
            blocks_cached=blocks.num_cached,
            cache_bytes=blocks.num_in_use * runner.bytes_per_block,
            pool_bytes=runner.pool_bytes,
            planned_bytes=planned_bytes,
            traces=runner.traces,
            compile_s=runner.compile_s,
            operations=runner.operations,
        )
