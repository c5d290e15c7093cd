"""The compiled decode step: model, attention and draw as one function of arrays.

``mx.compile`` traces it anew for every shape, so batch and table width come in powers of two. What
a step needs of the one before stays on the device: tokens go from output to input unread, contexts
grow by themselves, and the state of the pool's access is passed along.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import mlx.core as mx
import mlx.nn as nn

from mlx_backends.engine.device_pass import DecodePass
from mlx_backends.engine.graph_size import num_operations
from mlx_backends.engine.pool_access import PoolAccess
from mlx_backends.engine.sampler import RowArrays, draw
from mlx_backends.models.paging import PagingPlan


@dataclass(frozen=True, slots=True)
class DecodeInputs:
    """The arrays of one step. Rows beyond the sequences are padding.

    Attributes:
        tokens: (B,) int32, each row's last token.
        context_lens: (B,) int32, the new token included.
        growth: (B,) int32, 1 for a sequence and 0 for padding.
        prompt_lens: (B,) int32.
        block_tables: (B, W) int32.
        rows: How each row draws.
    """

    tokens: mx.array
    context_lens: mx.array
    growth: mx.array
    prompt_lens: mx.array
    block_tables: mx.array
    rows: RowArrays


@dataclass(frozen=True, slots=True)
class DecodeOutputs:
    """What one step leaves.

    Attributes:
        drawn: (B,) int32 tokens, or (B, V) logits to draw from.
        highest: (B,) the largest logit of each row.
        context_lens: (B,) int32, those of the next step.
    """

    drawn: mx.array
    highest: mx.array
    context_lens: mx.array


class DecodeStep:
    """Runs decode steps of one model.

    Attributes:
        traces: Number of functions compiled so far.
        compile_s: Seconds that their first runs took, the step itself included.
        operations: Operations of the one compiled last.
    """

    def __init__(self, model: nn.Module, plan: PagingPlan, access: PoolAccess) -> None:
        self._model = model
        self._plan = plan
        self._access = access
        self._compiled: dict[tuple[bool, bool, bool], Callable[..., Any]] = {}
        self._seen: set[tuple[object, ...]] = set()
        self.compile_s = 0.0
        self.operations = 0

    @property
    def traces(self) -> int:
        return len(self._seen)

    def run(self, inputs: DecodeInputs, *, draws_here: bool) -> DecodeOutputs:
        """Compute one step, lazily.

        Args:
            inputs: The arrays of the step.
            draws_here: Whether to return tokens, or logits for a draw that depends on the host.
        """
        rows = inputs.rows
        kind = (draws_here, rows.draws, rows.truncates)
        if kind not in self._compiled:
            self._compiled[kind] = mx.compile(self._function(rows if draws_here else None))
        bucket = (kind, *inputs.block_tables.shape)
        started = time.perf_counter()
        drawn, highest, context_lens, state = self._compiled[kind](
            inputs.tokens,
            inputs.context_lens,
            inputs.growth,
            inputs.prompt_lens,
            inputs.block_tables,
            rows.arrays,
            self._access.state,
        )
        self._access.restore(state)
        if bucket not in self._seen:
            self._seen.add(bucket)
            self.operations = num_operations(drawn, highest, context_lens, *state)
            mx.eval(drawn, highest, state)  # MLX compiles kernels when they first run
            self.compile_s += time.perf_counter() - started
        return DecodeOutputs(drawn, highest, context_lens)

    def _function(self, rows: RowArrays | None) -> Callable[..., Any]:
        """The step as a function of arrays; ``rows`` says which kinds of draw it is traced for."""

        def step(
            tokens: mx.array,
            context_lens: mx.array,
            growth: mx.array,
            prompt_lens: mx.array,
            block_tables: mx.array,
            row_arrays: list[mx.array],
            state: list[mx.array],
        ) -> tuple[mx.array, mx.array, mx.array, list[mx.array]]:
            self._access.restore(state)
            forward_pass = DecodePass(self._access, block_tables, context_lens)
            caches = self._plan.caches(forward_pass)
            drawn = self._model(tokens[:, None], cache=caches)[:, -1]
            highest = drawn.max(axis=-1)
            if rows is not None:
                positions = (context_lens - prompt_lens).astype(mx.uint32)
                drawn = draw(drawn, rows.with_arrays(row_arrays), positions).token_ids
            return drawn, highest, context_lens + growth, self._access.state

        return step
