"""What an answer left behind besides its text; both frameworks fill it while they answer."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from mlx_backends.retrieval.hybrid_index import Hit


@dataclass(slots=True)
class Record:
    """Passages and figures of one answer.

    Attributes:
        hits: The passages that the model was shown, in the order of their numbers.
        retrieval_s: Time to embed the question and find them, in seconds.
        prompt_tokens: Length of the prompt.
        completion_tokens: Length of the answer.
        timings: Fields of ``RequestMetrics``.
    """

    hits: list[Hit] = field(default_factory=list)
    retrieval_s: float = 0.0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    timings: dict[str, Any] = field(default_factory=dict)

    @contextmanager
    def timed_retrieval(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.retrieval_s = time.perf_counter() - start
