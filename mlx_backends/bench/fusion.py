"""``bench fusion``: the compiled decode step with fused kernels and without, on one model, in turn.

Only the step is compiled and run, at one batch and context, so that a short run on a GPU suffices.
Without a GPU the emulator stands in for one: that shows that it works, and its times mean nothing.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_backends import kernels
from mlx_backends.bench.graph_counter import operations_of
from mlx_backends.bench.random_model import SHAPES, make_model
from mlx_backends.bench.record import environment
from mlx_backends.cache.kv_pool import KVPool
from mlx_backends.engine.decode_batch import scratch_inputs
from mlx_backends.engine.decode_step import DecodeInputs, DecodeStep
from mlx_backends.engine.pool_access import KernelAccess
from mlx_backends.models import fused_qwen3
from mlx_backends.models.loader import load_language_model
from mlx_backends.models.paging import plan_paging

_BLOCK_SIZE = 16
_VARIANTS = {
    "plain": {},
    "qk-norm and rope": {"attention": True, "residual": False},
    "and residual norm": {"attention": True, "residual": True},
}


class _Variant:
    """A compiled step of the model as its layers were when it first ran."""

    def __init__(self, step: DecodeStep, inputs: DecodeInputs) -> None:
        self._step = step
        self._inputs = inputs
        started = time.perf_counter()
        self.logits = step.run(inputs, draws_here=False).drawn
        mx.eval(self.logits)
        self.first_s = time.perf_counter() - started
        self._launch()
        outputs = step.run(inputs, draws_here=True)
        self.operations = operations_of([outputs.drawn])
        mx.eval(outputs.drawn)

    def _launch(self) -> mx.array:
        drawn = self._step.run(self._inputs, draws_here=True).drawn
        mx.async_eval(drawn)
        return drawn

    def time(self, num_steps: int) -> tuple[float, float]:
        """Milliseconds a step, launched one ahead: by the clock, and of this thread."""
        previous = self._launch()
        mx.eval(previous)
        started, host = time.perf_counter(), time.thread_time()
        for _ in range(num_steps):
            current = self._launch()
            mx.eval(previous)
            previous = current
        mx.eval(previous)
        took, host = time.perf_counter() - started, time.thread_time() - host
        return 1e3 * took / num_steps, 1e3 * host / num_steps


def measure(
    folder: Path, *, batch: int, context: int, num_steps: int, rounds: int
) -> dict[str, Any]:
    """Figures of each variant; ``difference`` is that of logits, relative to the largest."""
    variants: dict[str, _Variant] = {}
    for name, options in _VARIANTS.items():
        loaded = load_language_model(folder, device="auto", dtype="auto", memory_limit_bytes=None)
        plan = plan_paging(loaded.model)
        if options:
            fused_qwen3.install(loaded.model, **options)
        pool = KVPool(
            plan.layers,
            -(-context // _BLOCK_SIZE) * batch,
            _BLOCK_SIZE,
            plan.dtype,
        )
        inputs = _inputs(pool, batch, context)
        variants[name] = _Variant(DecodeStep(loaded.model, plan, KernelAccess(pool)), inputs)
    samples: dict[str, list[tuple[float, float]]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, variant in variants.items():
            samples[name].append(variant.time(num_steps))
    expected = variants["plain"].logits.astype(mx.float32)
    scale = mx.abs(expected).max().item()
    figures = {}
    for name, variant in variants.items():
        steps, hosts = zip(*samples[name], strict=True)
        difference = mx.abs(variant.logits.astype(mx.float32) - expected).max().item()
        figures[name] = {
            "step_ms": statistics.median(steps),
            "host_ms": statistics.median(hosts),
            "operations": variant.operations.total(),
            "custom_kernels": variant.operations["CustomKernel"],
            "first_s": variant.first_s,
            "difference": difference / scale,
        }
    return figures


def _inputs(pool: KVPool, batch: int, context: int) -> DecodeInputs:
    width = max(16, 1 << (-(-context // _BLOCK_SIZE) - 1).bit_length())
    inputs = scratch_inputs(batch, width, pool.scratch_block, temperature=0.0)
    per_row = -(-context // _BLOCK_SIZE)
    tables = mx.full((batch, width), pool.scratch_block, dtype=mx.int32)
    tables[:, :per_row] = mx.arange(batch * per_row, dtype=mx.int32).reshape(batch, per_row)
    return DecodeInputs(
        tokens=mx.arange(1, batch + 1, dtype=mx.int32),
        context_lens=mx.full((batch,), context, dtype=mx.int32),
        growth=inputs.growth,
        prompt_lens=inputs.prompt_lens,
        block_tables=tables,
        rows=inputs.rows,
    )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``bench fusion``."""
    parser.add_argument("--model", help="folder of a Qwen3 model, instead of random weights")
    parser.add_argument("--shape", default="qwen3-0.6b-4bit", choices=tuple(SHAPES))
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--context", type=int, default=512)
    parser.add_argument("--steps", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", type=Path, help="write the figures here")


def run(options: argparse.Namespace, report: Callable[[str], None]) -> int:
    """Run ``bench fusion``; returns the exit status."""
    is_emulated = kernels.host() is None
    if is_emulated:
        report("no GPU: on the emulator, where times mean nothing")
        mx.disable_compile()
    with kernels.emulated() if is_emulated else nullcontext(), tempfile.TemporaryDirectory() as new:
        folder = Path(options.model or new)
        if not options.model:
            make_model(SHAPES[options.shape], folder)
        figures = measure(
            folder,
            batch=options.batch,
            context=options.context,
            num_steps=options.steps,
            rounds=options.rounds,
        )
    for name, row in figures.items():
        report(f"{name:<18}" + "  ".join(f"{key} {value:.4g}" for key, value in row.items()))
    if options.json:
        content = {"environment": environment(not is_emulated), "figures": figures}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    if is_emulated:
        mx.enable_compile()
    return 0
