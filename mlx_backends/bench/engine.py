"""``bench engine``: this engine and mlx-lm on the same weights, round by round in turn."""

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_backends.bench.process import SystemProcess, SystemSpec
from mlx_backends.bench.random_model import SHAPES, make_model
from mlx_backends.bench.record import Comparison
from mlx_backends.bench.run import Run, medians
from mlx_backends.bench.workload import Workload, batch, decode, ragged, seen
from mlx_backends.config import Device
from mlx_backends.errors import EngineError
from mlx_backends.models.model_config import read_model_config
from mlx_backends.models.source import model_folder
from mlx_backends.text.tokenizer import Tokenizer

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
            ragged(32, 100, 8_000, 64),
            seen(4_096),
            *(batch(size, 256, 64) for size in _SIZES),
        ),
        has_pool_sweep=True,
    ),
}


@dataclass(frozen=True, slots=True)
class Target:
    """A model on disk."""

    name: str
    folder: Path
    vocab_size: int


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


def measure(options: Options) -> Iterator[Comparison]:
    """Measure workload after workload. Blocks for minutes between them.

    Raises:
        EngineError: A system failed.
    """
    is_gpu = uses_gpu(options)
    suite = SUITES[options.suite or ("gpu" if is_gpu else "cpu")]
    specs = _systems(is_gpu, options.device)
    workloads = [workload for workload in suite.workloads if re.search(options.only, workload.name)]
    with tempfile.TemporaryDirectory(prefix="mlx-backends-bench-") as scratch:
        for target in _targets(suite, options, Path(scratch)):
            yield from _compare(target, specs, workloads, options.rounds)
            if suite.has_pool_sweep and is_gpu and re.search(options.only, "pool"):
                yield from _sweep_pool(target, options)


def uses_gpu(options: Options) -> bool:
    return options.device != "cpu" and mx.is_available(mx.gpu)


def first_target(options: Options, scratch: Path) -> Target:
    """The model that the options name first, made in ``scratch`` if it has random weights."""
    suite = SUITES[options.suite or ("gpu" if uses_gpu(options) else "cpu")]
    return next(_targets(suite, options, scratch))


def _targets(suite: Suite, options: Options, scratch: Path) -> Iterator[Target]:
    """The models to measure, made when their turn comes."""
    if options.model is not None:
        folder = model_folder(options.model, "lm")
        vocab_size = read_model_config(folder).vocab_size
        yield Target(options.model, folder, vocab_size or Tokenizer.from_folder(folder).vocab_size)
        return
    for name in options.shapes or suite.shapes:
        shape = SHAPES[name]
        make_model(shape, scratch / shape.name)
        yield Target(shape.name, scratch / shape.name, shape.vocab_size)


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


def _compare(
    target: Target, specs: Sequence[SystemSpec], workloads: Sequence[Workload], rounds: int
) -> Iterator[Comparison]:
    """Every workload on every system."""
    with ExitStack() as stack:
        systems = []
        for spec in specs:
            systems.append(SystemProcess(spec, target.folder))
            stack.callback(systems[-1].close)
        for workload in workloads:
            runs, failures = _runs(workload, target.vocab_size, systems, rounds)
            results = {name: medians(of_system) for name, of_system in runs.items()}
            yield Comparison(target.name, workload.name, results, failures)


def _runs(
    workload: Workload, vocab_size: int, systems: Sequence[SystemProcess], rounds: int
) -> tuple[dict[str, list[Run]], dict[str, str]]:
    """One workload: in each round every system once, so that all meet the same disturbances.

    Returns:
        The runs of each system, and the errors of peers that failed, out of memory for example.
    """
    runs: dict[str, list[Run]] = {system.name: [] for system in systems}
    failures: dict[str, str] = {}
    for round_index in range(_WARM_UP_ROUND, rounds):
        prompts = workload.prompts(round_index, vocab_size)
        for system in [system for system in systems if system.name in runs]:
            try:
                _see_prefixes(system, workload, prompts)
                result = system.generate(prompts, workload.num_tokens)
            except EngineError as error:
                if system.name == OURS:
                    raise
                failures[system.name] = str(error)
                del runs[system.name]
                continue
            if round_index != _WARM_UP_ROUND:
                runs[system.name].append(result)
    return runs, failures


def _see_prefixes(
    system: SystemProcess, workload: Workload, prompts: Sequence[Sequence[int]]
) -> None:
    if workload.seen_prefix:
        system.generate([prompt[: workload.seen_prefix] for prompt in prompts], 1)


def _sweep_pool(target: Target, options: Options) -> Iterator[Comparison]:
    """One stream with KV pools of growing size, which a step must not notice."""
    for pool_bytes in POOL_SIZES:
        spec = SystemSpec(OURS, OURS, {"device": options.device, "pool_bytes": pool_bytes})
        workload = replace(decode(256, 64), name=f"pool of {pool_bytes / 2**30:g} GiB")
        yield from _compare(target, [spec], [workload], options.rounds)
