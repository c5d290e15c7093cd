"""What MLX is asked to compute: operations and evaluations, counted as they happen.

A profiler's instrument: while it counts, it stands in front of MLX's two functions that evaluate,
and reads the graph of what they are given. Nothing is computed differently.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import mlx.core as mx

from mlx_backends.engine.graph_size import operations_of


@dataclass(slots=True)
class GraphCounts:
    """Sums so far.

    Attributes:
        operations: How often each operation stood in a graph that was evaluated.
        waits: Evaluations that were waited for (``mx.eval``).
        starts: Evaluations that were only started (``mx.async_eval``).
    """

    operations: Counter[str] = field(default_factory=Counter)
    waits: int = 0
    starts: int = 0

    def copy(self) -> "GraphCounts":
        return GraphCounts(self.operations.copy(), self.waits, self.starts)

    @property
    def num_operations(self) -> int:
        return self.operations.total()

    @property
    def num_compiled(self) -> int:
        """Operations that ``mx.compile`` made of several."""
        return sum(n for name, n in self.operations.items() if name.startswith("Compiled"))

    @property
    def num_custom(self) -> int:
        """Launches of custom kernels."""
        return self.operations["CustomKernel"]


@contextmanager
def counted_graphs() -> Iterator[GraphCounts]:
    """Count every evaluation of this process inside the block. For one user at a time."""
    counts = GraphCounts()
    wait, start = mx.eval, mx.async_eval

    def counting(evaluate: Callable[..., Any], count: Callable[[], None]) -> Callable[..., Any]:
        def run(*arrays: Any) -> Any:
            operations = operations_of(*_leaves(arrays))
            if operations:  # else all has been computed before, and this only looks
                counts.operations.update(operations)
                count()
            return evaluate(*arrays)

        return run

    def count_wait() -> None:
        counts.waits += 1

    def count_start() -> None:
        counts.starts += 1

    mx.eval, mx.async_eval = counting(wait, count_wait), counting(start, count_start)
    try:
        yield counts
    finally:
        mx.eval, mx.async_eval = wait, start


def _leaves(tree: Any) -> Iterator[mx.array]:
    if isinstance(tree, mx.array):
        yield tree
    elif isinstance(tree, dict):
        for value in tree.values():
            yield from _leaves(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _leaves(value)
