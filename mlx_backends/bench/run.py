"""What one system took for one workload."""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Timing:
    """One request, in seconds from the moment all were submitted."""

    first_token_s: float
    total_s: float
    num_tokens: int


@dataclass(frozen=True, slots=True)
class Run:
    """One workload on one system.

    Attributes:
        timings: One for each request.
        prompt_tokens: Of all requests together.
        peak_memory_bytes: Highest memory of MLX during the run, weights and caches included; 0 if
            the system does not run on MLX.
        details: What only this system can tell.
    """

    timings: Sequence[Timing]
    prompt_tokens: int
    peak_memory_bytes: int
    details: Mapping[str, float] = field(default_factory=dict)

    def metrics(self) -> dict[str, float]:
        """Everything that is compared; decode speed of one request is without its first token."""
        total_s = max(timing.total_s for timing in self.timings)
        first_s = [timing.first_token_s for timing in self.timings]
        decoded = sum(timing.num_tokens - 1 for timing in self.timings)
        decoding_s = sum(timing.total_s - timing.first_token_s for timing in self.timings)
        return {
            "time to first token, s": statistics.median(first_s),
            "p95 time to first token, s": percentile(first_s, 95),
            "prefill, tokens/s": self.prompt_tokens / max(first_s),
            "decode of a stream, tokens/s": decoded / decoding_s if decoding_s else 0.0,
            "all tokens out, tokens/s": sum(t.num_tokens for t in self.timings) / total_s,
            "whole job, s": total_s,
            **(
                {"peak memory, GiB": self.peak_memory_bytes / 2**30}
                if self.peak_memory_bytes
                else {}
            ),
            **self.details,
        }


def percentile(values: Sequence[float], percent: float) -> float:
    """Nearest-rank percentile: the smallest value that ``percent`` of all do not exceed."""
    rank = math.ceil(len(values) * percent / 100)
    return sorted(values)[max(rank, 1) - 1]


def medians(runs: Sequence[Run]) -> dict[str, float]:
    """Median of each metric over rounds."""
    rounds = [run.metrics() for run in runs]
    return {name: statistics.median(metrics[name] for metrics in rounds) for name in rounds[0]}
