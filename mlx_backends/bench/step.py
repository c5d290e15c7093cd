"""``bench step``: one decode step of a model, taken apart, with and without ``mx.compile``.

The engine itself runs, through its public interface, one request after another. What a token costs
is a difference: a longer answer minus a shorter one, by the tokens between them.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, get_args

import mlx.core as mx

from mlx_backends.bench.graph_counter import counted_graphs
from mlx_backends.bench.random_model import SHAPES, make_model
from mlx_backends.bench.record import environment
from mlx_backends.config import Device, EngineConfig
from mlx_backends.core import SamplingParams
from mlx_backends.engine.engine import Engine
from mlx_backends.worker import shared_worker

_FEW, _MORE = 4, 12
_PROMPT_TOKENS = 32


@dataclass(frozen=True, slots=True)
class StepProfile:
    """What one step costs: a token of each sequence.

    Attributes:
        operations: Nodes of MLX's graph; each is one kernel on a GPU, or a few.
        by_name: The same by operation, the most frequent first.
        fused: Operations that ``mx.compile`` made of several.
        custom_kernels: Launches of kernels of this package.
        waits: Evaluations that are waited for.
        starts: Evaluations that are only started, so that Python goes on.
        step_ms: Time from step to step.
        host_ms: Processor time of the thread that builds graphs and hands them over.
    """

    operations: float
    by_name: Mapping[str, float]
    fused: float
    custom_kernels: float
    waits: float
    starts: float
    step_ms: float
    host_ms: float


@dataclass(frozen=True, slots=True)
class StepReport:
    """A model's decode step.

    Attributes:
        model: As it was named.
        batch: Sequences that decode together.
        environment: Machine and versions.
        plain: With ``mx.compile`` switched off.
        compiled: As the engine runs.
        cold_s: First answer of the process, kernels and graphs compiled.
        warm_s: The same answer again.
        traces: Steps that were traced for it, one for each bucket of batch and context.
    """

    model: str
    batch: int
    environment: Mapping[str, str | int]
    plain: StepProfile
    compiled: StepProfile
    cold_s: float
    warm_s: float
    traces: int

    def table(self) -> str:
        """Plain text: a line for each figure, before and after ``mx.compile``."""
        rows = [
            ("operations a step", "operations", ",.0f"),
            ("of them fused by mx.compile", "fused", ",.0f"),
            ("custom kernels a step", "custom_kernels", ",.0f"),
            ("evaluations waited for a step", "waits", ".2f"),
            ("evaluations started a step", "starts", ".2f"),
            ("host time a step, ms", "host_ms", ",.2f"),
            ("time a step, ms", "step_ms", ",.2f"),
        ]
        device = self.environment["device"]
        title = f"{self.model} on {device}, {self.batch} at once"
        lines = [title, f"{'':<34}{'plain':>12}{'mx.compile':>12}"]
        for label, name, style in rows:
            cells = (format(getattr(p, name), style) for p in (self.plain, self.compiled))
            lines.append(f"{label:<34}" + "".join(f"{cell:>12}" for cell in cells))
        lines.append(
            f"first answer of {_FEW} tokens: cold {self.cold_s:.2f} s, warm {self.warm_s:.3f} s, "
            f"{self.traces} steps traced"
        )
        most = list(self.compiled.by_name.items())[:8]
        lines.append("most frequent: " + ", ".join(f"{name} {count:.0f}" for name, count in most))
        return "\n".join(lines) + "\n"


def profile(
    model: str, *, device: Device = "auto", batch: int = 1, num_tokens: int = 32, rounds: int = 5
) -> StepReport:
    """Load a model and take its decode step apart.

    Args:
        model: Local folder, Hub id or ``bundled``.
        device: As in ``EngineConfig``.
        batch: Sequences that decode together.
        num_tokens: Tokens of the answers that are timed.
        rounds: Timed answers with and without ``mx.compile``, in turn.

    Raises:
        ModelError: The model cannot be loaded.
    """
    with Engine(EngineConfig(model=model, device=device)) as engine:
        engine.load()
        prompts = _prompts(engine, batch)

        def answer(count: int) -> float:
            return _answer(engine, prompts, count)

        cold_s, warm_s = answer(_FEW), answer(_FEW)
        traces = engine.stats().traces
        counts, times = {}, {}
        for is_compiled in (False, True):
            with _compilation(is_compiled):
                counts[is_compiled] = _count(answer)
                answer(num_tokens)
        samples: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
        for _ in range(rounds):
            for is_compiled in (False, True):
                with _compilation(is_compiled):
                    samples[is_compiled].append(_time(answer, num_tokens))
        for is_compiled, pairs in samples.items():
            steps, hosts = zip(*pairs, strict=True)
            times[is_compiled] = {
                "step_ms": statistics.median(steps),
                "host_ms": statistics.median(hosts),
            }
        is_gpu = device != "cpu" and mx.is_available(mx.gpu)
        plain, compiled = (StepProfile(**counts[on], **times[on]) for on in (False, True))
        where = environment(is_gpu)
        return StepReport(model, batch, where, plain, compiled, cold_s, warm_s, traces)


def _prompts(engine: Engine, batch: int) -> list[list[int]]:
    """Prompts that begin differently, so that none waits for another's KV entries."""
    vocabulary = min(engine.tokenizer.vocab_size, 1_000)
    return [
        [(17 * i + 5 + 29 * row) % vocabulary for i in range(_PROMPT_TOKENS)]
        for row in range(batch)
    ]


def _answer(engine: Engine, prompts: list[list[int]], count: int) -> float:
    params = SamplingParams(temperature=0.0, max_tokens=count, ignore_eos=True)
    # The thread that computes waits until all are there, so that every step has all of them.
    are_there = threading.Event()
    shared_worker().run(are_there.wait)
    try:
        handles = [engine.submit(prompt, params) for prompt in prompts]
    finally:
        started = time.perf_counter()
        are_there.set()
    for handle in handles:
        handle.result()
    return time.perf_counter() - started


@contextmanager
def _compilation(is_on: bool) -> Iterator[None]:
    """Switch ``mx.compile`` on or off for the whole process."""
    if not is_on:
        mx.disable_compile()
    try:
        yield
    finally:
        mx.enable_compile()


def _count(answer: Callable[[int], float]) -> dict[str, Any]:
    """Graph and evaluations of one step."""
    answer(_MORE)
    with counted_graphs() as counts:
        answer(_FEW)
        few = counts.copy()
        answer(_MORE)
        more = counts.copy()
    span = _MORE - _FEW

    def each(attribute: str) -> float:
        before = getattr(few, attribute)
        return (getattr(more, attribute) - 2 * before) / span

    names = sorted(more.operations, key=lambda name: -more.operations[name])
    by_name = {name: (more.operations[name] - 2 * few.operations[name]) / span for name in names}
    return {
        "operations": each("num_operations"),
        "by_name": {_short(name): count for name, count in by_name.items() if count > 0},
        "fused": each("num_compiled"),
        "custom_kernels": each("num_custom"),
        "waits": each("waits"),
        "starts": each("starts"),
    }


def _short(name: str) -> str:
    return name if len(name) <= 60 else f"{name[:57]}..."


def _time(answer: Callable[[int], float], num_tokens: int) -> tuple[float, float]:
    """Milliseconds a step, by the clock and of the MLX thread's processor time."""
    few_host, few = _with_host_time(answer, _FEW)
    more_host, more = _with_host_time(answer, num_tokens)
    span = num_tokens - _FEW
    return 1e3 * (more - few) / span, 1e3 * (more_host - few_host) / span


def _with_host_time(answer: Callable[[int], float], count: int) -> tuple[float, float]:
    worker = shared_worker()
    before = worker.run(time.thread_time).result()
    duration = answer(count)
    return worker.run(time.thread_time).result() - before, duration


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``bench step``."""
    parser.add_argument("--model", default="bundled", help="folder or Hub id (default: bundled)")
    parser.add_argument("--shape", choices=tuple(SHAPES), help="random weights instead")
    parser.add_argument("--batch", type=int, default=1, help="sequences at once (default 1)")
    parser.add_argument("--device", choices=get_args(Device), default="auto")
    parser.add_argument("--tokens", type=int, default=32, help="tokens of a timed answer")
    parser.add_argument("--rounds", type=int, default=5, help="timed answers (default 5)")
    parser.add_argument("--json", type=Path, help="write the figures here")


def run(options: argparse.Namespace, report: Callable[[str], None]) -> int:
    """Run ``bench step``; returns the exit status."""
    with tempfile.TemporaryDirectory(prefix="mlx-backends-step-") as scratch:
        model = options.model
        if options.shape:
            model = str(Path(scratch) / options.shape)
            make_model(SHAPES[options.shape], Path(model))
        found = profile(
            model,
            device=options.device,
            batch=max(options.batch, 1),
            num_tokens=max(options.tokens, _MORE),
            rounds=max(options.rounds, 1),
        )
    found = replace(found, model=options.shape or options.model)
    report(found.table())
    if options.json:
        options.json.write_text(json.dumps(asdict(found), indent=1) + "\n", encoding="utf-8")
    return 0
