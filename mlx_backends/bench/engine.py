"""``bench engine``: this engine and mlx-lm on the same weights, round by round in turn."""

import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_backends.bench.process import SystemProcess, SystemSpec
from mlx_backends.bench.random_model import SHAPES, Shape, make_model
from mlx_backends.bench.record import Comparison, Record, environment
from mlx_backends.bench.run import Run, medians
from mlx_backends.bench.workload import Workload, batch, decode, ragged, seen
from mlx_backends.config import Device

OURS = "mlx-backends"
POOL_SIZES = (64 << 20, 256 << 20, 1 << 30, 4 << 30, 16 << 30)
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
    "smoke": Suite(("tiny",), (decode(48, 4), seen(64), ragged(3, 5, 40, 3))),
    "cpu": Suite(
        ("llama-30m", "llama-120m"),
        (decode(128, 32), seen(256), ragged(8, 16, 128, 16)),
    ),
    "gpu": Suite(
        ("qwen3-0.6b-4bit", "llama-3.2-1b-4bit"),
        (
            decode(512, 128),
            decode(16_384, 128),
            seen(4_096),
            ragged(32, 100, 8_000, 64),
            *(batch(size, 256, 64) for size in _SIZES),
        ),
        has_pool_sweep=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Options:
    """How to run a suite.

    Attributes:
        device: As in ``EngineConfig``; decides the suite where none is named.
        suite: Name of ``SUITES``; None is ``gpu`` or ``cpu``.
        shapes: Names of ``SHAPES``; empty is the suite's.
        rounds: Measured rounds; one more comes before them, to compile and to fill caches.
        report: Called with a line for each step.
    """

    device: Device = "auto"
    suite: str | None = None
    shapes: tuple[str, ...] = ()
    rounds: int = 3
    report: Callable[[str], None] = print


def run(options: Options) -> Record:
    """Measure everything. Blocks for minutes.

    Raises:
        EngineError: A system failed.
    """
    is_gpu = options.device != "cpu" and mx.is_available(mx.gpu)
    suite = SUITES[options.suite or ("gpu" if is_gpu else "cpu")]
    comparisons: list[Comparison] = []
    for name in options.shapes or suite.shapes:
        shape = SHAPES[name]
        with tempfile.TemporaryDirectory(prefix="mlx-backends-bench-") as scratch:
            folder = Path(scratch) / shape.name
            options.report(f"{shape.name}: making random weights")
            make_model(shape, folder)
            comparisons += _compare(shape, folder, _systems(is_gpu, options.device), suite, options)
            if suite.has_pool_sweep and is_gpu:
                comparisons += _sweep_pool(shape, folder, options)
    return Record(environment(is_gpu), comparisons)


def _systems(is_gpu: bool, device: Device) -> list[SystemSpec]:
    """This engine first, then its peers."""
    options: dict[str, Any] = {"device": device, "pool_bytes": _GPU_POOL_BYTES if is_gpu else None}
    ours = SystemSpec(OURS, "mlx-backends", options)
    if is_gpu:
        return [ours, SystemSpec("mlx-lm", "mlx-lm", options)]
    installed = SystemSpec("mlx-lm as installed", "mlx-lm", options, {"MLX_BACKENDS_BLAS": "off"})
    with_openblas = SystemSpec("mlx-lm with OpenBLAS", "mlx-lm", options, uses_gemv=False)
    with_ours = SystemSpec("mlx-lm with our BLAS shim", "mlx-lm", options)
    return [ours, installed, with_openblas, with_ours]


def _compare(
    shape: Shape, folder: Path, specs: Sequence[SystemSpec], suite: Suite, options: Options
) -> list[Comparison]:
    """Every workload on every system."""
    with ExitStack() as stack:
        systems = [SystemProcess(spec, folder) for spec in specs]
        for system in systems:
            stack.callback(system.close)
        return [_measure(shape, workload, systems, options) for workload in suite.workloads]


def _measure(
    shape: Shape, workload: Workload, systems: Sequence[SystemProcess], options: Options
) -> Comparison:
    """One workload: in each round every system once, so that all meet the same disturbances."""
    runs: dict[str, list[Run]] = {system.name: [] for system in systems}
    for round_index in range(_WARM_UP_ROUND, options.rounds):
        prompts = workload.prompts(round_index, shape.vocab_size)
        for system in systems:
            _see_prefixes(system, workload, prompts)
            result = system.generate(prompts, workload.num_tokens)
            if round_index != _WARM_UP_ROUND:
                runs[system.name].append(result)
    results = {name: medians(of_system) for name, of_system in runs.items()}
    comparison = Comparison(shape.name, workload.name, results)
    options.report(comparison.table())
    return comparison


def _see_prefixes(
    system: SystemProcess, workload: Workload, prompts: Sequence[Sequence[int]]
) -> None:
    if workload.seen_prefix:
        system.generate([prompt[: workload.seen_prefix] for prompt in prompts], 1)


def _sweep_pool(shape: Shape, folder: Path, options: Options) -> list[Comparison]:
    """One stream with KV pools of growing size, which a step must not notice."""
    comparisons = []
    workload = replace(decode(256, 64), name="pool")
    for pool_bytes in POOL_SIZES:
        spec = SystemSpec(OURS, OURS, {"device": options.device, "pool_bytes": pool_bytes})
        named = replace(workload, name=f"pool of {pool_bytes / 2**30:g} GiB")
        with ExitStack() as stack:
            system = SystemProcess(spec, folder)
            stack.callback(system.close)
            comparisons.append(_measure(shape, named, [system], options))
    return comparisons
