"""``bench engine``: this engine and mlx-lm on the same weights, round by round in turn."""

import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_backends.bench import llama_cpp
from mlx_backends.bench.process import SystemProcess, SystemSpec
from mlx_backends.bench.random_model import SHAPES, Shape, make_model
from mlx_backends.bench.record import Comparison
from mlx_backends.bench.run import Run, medians
from mlx_backends.bench.workload import Workload, asked_again, batch, decode, ragged, seen
from mlx_backends.config import Device
from mlx_backends.errors import EngineError
from mlx_backends.models.model_config import read_model_config
from mlx_backends.models.source import model_folder
from mlx_backends.text.tokenizer import Tokenizer

OURS = "mlx-backends"
POOL_SIZES = (64 << 20, 1 << 30, 16 << 30)
_WARM_UP_ROUND = -1
# Room for the longest workload's KV entries; more prompts than fit wait their turn.
_GPU_POOL_BYTES = 8 << 30


@dataclass(frozen=True, slots=True)
class Suite:
    """What is measured on one kind of device.

    Attributes:
        shapes: Names of ``SHAPES``.
        workloads: For all systems.
        has_pool_sweep: Whether a step's time against the size of the pool is measured too.
    """

    shapes: tuple[str, ...]
    workloads: tuple[Workload, ...]
    has_pool_sweep: bool = False


_SIZES = (1, 2, 4, 8, 16, 32)
SUITES = {
    "smoke": Suite(("tiny",), (decode(48, 4), seen(64), asked_again(64), ragged(3, 5, 40, 3))),
    "cpu": Suite(
        ("llama-30m", "llama-120m"),
        (decode(128, 32), seen(256), asked_again(256), ragged(8, 16, 128, 16)),
    ),
    "gpu": Suite(
        ("qwen3-0.6b-4bit", "llama-3.2-1b-4bit"),
        (
            decode(512, 128),
            decode(16_384, 128),
            seen(4_096),
            asked_again(4_096),
            *(batch(size, 256, 64) for size in _SIZES),
            # The last of them fills a card of 80 GB where prompts are padded to the longest.
            *(ragged(32, 100, most, 64, is_alone=True) for most in (2_000, 4_000, 8_000)),
        ),
        has_pool_sweep=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Target:
    """A model on disk, or to be put there with random weights if it has a shape."""

    name: str
    folder: Path
    vocab_size: int
    shape: Shape | None = None

    def make(self) -> None:
        if self.shape is not None and not self.folder.exists():
            make_model(self.shape, self.folder)


@dataclass(frozen=True, slots=True)
class Options:
    """How to run a suite.

    Attributes:
        device: As in ``EngineConfig``; decides the suite where none is named.
        suite: Name of ``SUITES``; None is ``gpu`` or ``cpu``.
        model: Local folder, Hub id or ``bundled``, to measure instead of random weights.
        shapes: Names of ``SHAPES``; empty is the suite's.
        only: Regular expression for the names of the workloads to measure; empty is all.
        rounds: Measured rounds; one more comes before them, to compile and to fill caches.
    """

    device: Device = "auto"
    suite: str | None = None
    model: str | None = None
    shapes: tuple[str, ...] = ()
    only: str = ""
    rounds: int = 3


class Progress:
    """Tells what is done, and when the time is up.

    Args:
        report: Gets a line each time.
        seconds: After which nothing new is begun; None is never.
    """

    def __init__(self, report: Callable[[str], None], seconds: float | None = None) -> None:
        self._report = report
        self._seconds = seconds
        self._started = time.perf_counter()

    def say(self, line: str) -> None:
        self._report(f"[{time.perf_counter() - self._started:6.1f} s] {line}")

    @property
    def is_over(self) -> bool:
        return self._seconds is not None and time.perf_counter() - self._started > self._seconds


def measure(options: Options, progress: Progress) -> Iterator[Comparison]:
    """Measure workload after workload. Blocks for minutes between them."""
    is_gpu = uses_gpu(options)
    suite = SUITES[options.suite or ("gpu" if is_gpu else "cpu")]
    specs = _systems(is_gpu, options.device)
    workloads = [workload for workload in suite.workloads if re.search(options.only, workload.name)]
    has_sweep = suite.has_pool_sweep and is_gpu and re.search(options.only, "pool")
    with tempfile.TemporaryDirectory(prefix="mlx-backends-bench-") as scratch, ExitStack() as stack:
        # All at once: their imports take longer than some of what is measured.
        targets = [
            (target, _start([*specs, *_llama_cpp(target, is_gpu)], target.folder, stack))
            for target in _targets(suite, options, Path(scratch))
        ]
        for target, systems in targets:
            target.make()
            progress.say(f"{target.name} is made")
            yield from _compare(target, systems, workloads, options.rounds, progress)
        if has_sweep:
            yield from _sweep_pool(targets[0][0], options, progress)


def _start(specs: Sequence[SystemSpec], folder: Path, stack: ExitStack) -> list[SystemProcess]:
    systems = [SystemProcess(spec, folder) for spec in specs]
    for system in systems:
        stack.callback(system.close)
    return systems


def uses_gpu(options: Options) -> bool:
    return options.device != "cpu" and mx.is_available(mx.gpu)


def first_target(options: Options, scratch: Path) -> Target:
    """The model that the options name first, made in ``scratch`` if it has random weights."""
    suite = SUITES[options.suite or ("gpu" if uses_gpu(options) else "cpu")]
    target = _targets(suite, options, scratch)[0]
    target.make()
    return target


def _targets(suite: Suite, options: Options, scratch: Path) -> list[Target]:
    """The models to measure, not made yet."""
    if options.model is not None:
        folder = model_folder(options.model, "lm")
        size = read_model_config(folder).vocab_size or Tokenizer.from_folder(folder).vocab_size
        return [Target(options.model, folder, size)]
    shapes = [SHAPES[name] for name in options.shapes or suite.shapes]
    return [Target(s.name, scratch / s.name, s.vocab_size, shape=s) for s in shapes]


def _systems(is_gpu: bool, device: Device) -> list[SystemSpec]:
    """This engine first, then its peers."""
    options: dict[str, Any] = {"device": device, "pool_bytes": _GPU_POOL_BYTES if is_gpu else None}
    ours = SystemSpec(OURS, "mlx-backends", options)
    if is_gpu:
        return [ours, SystemSpec("mlx-lm", "mlx-lm", options)]
    installed = SystemSpec("mlx-lm as installed", "mlx-lm", options, {"MLX_BACKENDS_BLAS": "off"})
    with_openblas = SystemSpec("mlx-lm with OpenBLAS", "mlx-lm", options, uses_few_rows=False)
    with_ours = SystemSpec("mlx-lm with our BLAS shim", "mlx-lm", options)
    return [ours, installed, with_openblas, with_ours]


def _llama_cpp(target: Target, is_gpu: bool) -> list[SystemSpec]:
    if is_gpu or target.shape is None or not llama_cpp.can_serve(target.shape):
        return []
    return [
        SystemSpec(f"llama.cpp {name}", "llama.cpp", {"is_quantized": is_quantized})
        for name, is_quantized in (("f32", False), ("q8_0", True))
    ]


def _compare(
    target: Target,
    systems: Sequence[SystemProcess],
    workloads: Sequence[Workload],
    rounds: int,
    progress: Progress,
) -> Iterator[Comparison]:
    """Every workload on every system, as far as the time goes; ends the systems.

    A workload that the first system fails at has no comparison; ``progress`` has told why.
    """
    for workload in workloads:
        runs, failures = _runs(workload, target.vocab_size, systems, rounds, progress)
        results = {name: medians(of_system) for name, of_system in runs.items() if of_system}
        if systems[0].name in results:
            yield Comparison(target.name, workload.name, results, failures)
    for system in systems:
        system.close()


def _runs(
    workload: Workload,
    vocab_size: int,
    systems: Sequence[SystemProcess],
    rounds: int,
    progress: Progress,
) -> tuple[dict[str, list[Run]], dict[str, str]]:
    """One workload: in each round every system once, so that all meet the same disturbances.

    A workload that wants the memory for itself has one system after the other.

    Returns:
        The runs of each system, and the errors of those that failed, out of memory for example.
    """
    runs: dict[str, list[Run]] = {system.name: [] for system in systems}
    failures: dict[str, str] = {}
    for round_index, system in _turns(workload, systems, rounds):
        if progress.is_over:
            break
        if system.name in failures:
            continue
        if workload.is_alone:
            for other in systems:
                if other is not system:
                    other.unload()
        prompts = workload.prompts(round_index, vocab_size)
        try:
            system.start_round()
            _see_prefixes(system, workload, prompts)
            result = system.generate(prompts, workload.num_tokens)
        except EngineError as error:
            progress.say(f"{system.name} failed: {error}")
            failures[system.name] = str(error)
            del runs[system.name]
            continue
        what = "warm-up" if round_index == _WARM_UP_ROUND else f"round {round_index + 1}"
        metrics = result.metrics()
        progress.say(
            f"{workload.name}, {what}, {system.name}: {metrics['whole job, s']:.3f} s, first "
            f"token {metrics['p95 time to first token, s']:.3f} s (loaded in "
            f"{system.load_s:.1f} s)"
        )
        if round_index != _WARM_UP_ROUND:
            runs[system.name].append(result)
    return runs, failures


def _turns(
    workload: Workload, systems: Sequence[SystemProcess], rounds: int
) -> list[tuple[int, SystemProcess]]:
    """Who runs which round, in order."""
    numbers = range(_WARM_UP_ROUND, rounds)
    if workload.is_alone:
        return [(number, system) for system in systems for number in numbers]
    return [(number, system) for number in numbers for system in systems]


def _see_prefixes(
    system: SystemProcess, workload: Workload, prompts: Sequence[Sequence[int]]
) -> None:
    if workload.seen_prefix:
        system.generate([prompt[: workload.seen_prefix] for prompt in prompts], 1)


def _sweep_pool(target: Target, options: Options, progress: Progress) -> Iterator[Comparison]:
    """One stream with KV pools of growing size in turn, which a step must not notice."""
    with ExitStack() as stack:
        sizes = {f"pool of {size / 2**30:g} GiB": size for size in POOL_SIZES}
        specs = [
            SystemSpec(name, OURS, {"device": options.device, "pool_bytes": size})
            for name, size in sizes.items()
        ]
        systems = _start(specs, target.folder, stack)
        runs, _ = _runs(decode(256, 128), target.vocab_size, systems, options.rounds, progress)
        for name in sizes:
            if runs.get(name):
                yield Comparison(target.name, name, {OURS: medians(runs[name])})
