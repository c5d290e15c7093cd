"""Products of sparse arrays beside the dense one and SciPy's: time and bytes against density.

Products are chained through their outputs, so that no two overlap, and a chain is long, so that
what it costs to start one vanishes. It walks over several copies of the matrix, so that no cache
holds it. Its graph is built before the clock starts. Systems take turns; the median counts.
"""

import argparse
import importlib.util
import itertools
import json
import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np

from mlx_backends.bench.record import environment
from mlx_backends.bench.sparsity_plot import draw_sparsity
from mlx_backends.errors import MLXBackendsError
from mlx_backends.sparsity import SparseArray
from mlx_backends.sparsity.array import FormatName

DENSITIES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
_CACHE_BYTES = 256 << 20  # read between two readings of one matrix
_MAX_COPIES = 32
_ROUND_S = 0.03
_MIN_CALLS, _MAX_CALLS = 8, 1_000
_SAMPLED_ROWS = 64

# Builds so many dependent products and returns what starts them.
Chain = Callable[[int], Callable[[], None]]


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure.

    Attributes:
        device: ``"cpu"``, ``"gpu"``, or ``"auto"``: the GPU where there is one.
        size: Rows and columns; None is 8192 on a GPU and 4096 on a CPU.
        vectors: Dense vectors that are multiplied at once.
        densities: Shares of entries; 2:4 has one density only.
        rounds: How often each is measured.
    """

    device: str = "auto"
    size: int | None = None
    vectors: int = 1
    densities: Sequence[float] = DENSITIES
    rounds: int = 5

    @property
    def is_gpu(self) -> bool:
        return self.device == "gpu" or (self.device == "auto" and mx.is_available(mx.gpu))

    @property
    def side(self) -> int:
        return self.size or (8_192 if self.is_gpu else 4_096)

    @property
    def dtype(self) -> mx.Dtype:
        """bfloat16 on a GPU; float32 on a CPU, where MLX has no fast product in 16 bits."""
        return mx.bfloat16 if self.is_gpu else mx.float32


@dataclass(frozen=True, slots=True)
class Point:
    """One system at one density.

    Attributes:
        system: Name of the format, ``"dense"``, or SciPy's class.
        density: Share of elements that are stored.
        microseconds: Median of one product.
        host_microseconds: Processor time of the calling thread in it: evaluation only, the graph
            is built before.
        megabytes: What is stored.
        speed_up: Time of the dense product in the same rounds, divided by this one's.
        error: Largest error of sampled outputs against float64, relative to the largest output.
    """

    system: str
    density: float
    microseconds: float
    host_microseconds: float
    megabytes: float
    speed_up: float
    error: float


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the options of ``bench sparsity``."""
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--size", type=int, help="rows and columns (default: by the device)")
    parser.add_argument("--vectors", type=int, default=1, help="multiplied at once (default 1)")
    parser.add_argument("--density", type=float, action="append", default=[])
    parser.add_argument("--rounds", type=int, default=5, help="measured rounds (default 5)")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--plots", type=Path, help="write a PNG into this folder")


def run(arguments: argparse.Namespace, report: Callable[[str], None]) -> int:
    """Run what was asked for; returns the exit status."""
    options = Options(
        device=arguments.device,
        size=arguments.size,
        vectors=arguments.vectors,
        densities=tuple(arguments.density) or DENSITIES,
        rounds=arguments.rounds,
    )
    figures: dict[str, Any] = {}
    for figures in measure(options, report):
        if arguments.json:  # each time: a run that is broken off leaves what it has
            arguments.json.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    for system, density in figures["break_even"].items():
        report(f"{system}: as fast as dense at a density of {density:.1%}")
    if arguments.plots:
        draw_sparsity(figures, arguments.plots)
    return 0


def measure(options: Options, report: Callable[[str], None]) -> Iterator[dict[str, Any]]:
    """Measure every system, one density after the other; yields all figures so far, as for JSON."""
    figures: dict[str, Any] = {
        "environment": environment(options.is_gpu),
        "size": options.side,
        "dtype": str(options.dtype).removeprefix("mlx.core."),
        "vectors": options.vectors,
        "failed": [],
    }
    device = mx.gpu if options.is_gpu else mx.cpu
    points: list[Point] = []
    with mx.stream(device):
        for density in options.densities:
            for point in _measure_density(options, density, figures["failed"].append):
                points.append(point)
                report(
                    f"{point.density:6.1%} {point.system:>12}: {point.microseconds:10,.1f} us, "
                    f"host {point.host_microseconds:8,.1f}  x{point.speed_up:6.2f} of dense  "
                    f"{point.megabytes:8,.1f} MB  error {point.error:.0e}"
                )
            yield figures | {
                "points": [asdict(point) for point in points],
                "break_even": break_even(points),
            }


def break_even(points: Sequence[Point]) -> dict[str, float]:
    """The density at which each system is as fast as the dense product.

    Interpolated on logarithms. A system that is faster at all measured densities gets the highest
    one, one that is slower at all gets 0.
    """
    found = {}
    for system in dict.fromkeys(point.system for point in points if point.system != "dense"):
        curve = sorted((p.density, p.speed_up) for p in points if p.system == system)
        found[system] = curve[-1][0] if curve[-1][1] >= 1 else 0.0
        for (low, fast), (high, slow) in itertools.pairwise(curve):
            if fast >= 1 > slow:
                share = math.log(fast) / math.log(fast / slow)
                found[system] = math.exp(math.log(low) + share * math.log(high / low))
    return found


def _measure_density(
    options: Options, density: float, on_failure: Callable[[str], None]
) -> Iterator[Point]:
    """The systems at one density, measured in turns; one that raises is left out and named."""
    systems: dict[str, _System] = {}
    for name, make in _systems(options, density):
        try:
            systems[name] = make()
        except (MLXBackendsError, RuntimeError, ValueError) as error:
            on_failure(f"{name} at {density}: {error!s:.300}")
    samples: dict[str, list[_Sample]] = {name: [] for name in systems}
    lengths = {name: _length(system.chain) for name, system in systems.items()}
    for _ in range(options.rounds):
        for name, system in systems.items():
            samples[name].append(_sample(system.chain, lengths[name]))
    seconds = {name: statistics.median(s.seconds for s in taken) for name, taken in samples.items()}
    for name, system in systems.items():
        yield Point(
            name,
            system.density,
            seconds[name] * 1e6,
            statistics.median(sample.host_seconds for sample in samples[name]) * 1e6,
            system.bytes / 1e6,
            seconds["dense"] / seconds[name],
            system.error,
        )


@dataclass(frozen=True, slots=True)
class _Sample:
    """What one product of a chain took, on the clock and of the calling thread."""

    seconds: float
    host_seconds: float


@dataclass(frozen=True, slots=True)
class _System:
    chain: Chain
    bytes: int
    density: float
    error: float


def _systems(options: Options, density: float) -> Iterator[tuple[str, Callable[[], _System]]]:
    """What makes each system."""
    entries = _random_matrix(options, density, block=1)
    blocks = _random_matrix(options, density, block=32)
    shape = (options.side, options.vectors) if options.vectors > 1 else (options.side,)
    x = _unit(mx.random.normal(shape, key=mx.random.key(3)), options)
    yield "dense", partial(_dense_system, entries, x)
    yield "csr", partial(_sparse_system, "csr", entries, x)
    yield "bsr", partial(_sparse_system, "bsr", blocks, x)
    if density == 0.5:
        yield "2:4", partial(_sparse_system, "2:4", _two_of_four(options), x)
    if not options.is_gpu and importlib.util.find_spec("scipy") is not None:
        yield "scipy csr", partial(_scipy_system, "csr_array", entries, x)
        yield "scipy bsr", partial(_scipy_system, "bsr_array", blocks, x, blocksize=(32, 32))


def _random_matrix(options: Options, density: float, *, block: int) -> mx.array:
    """Normal entries in random places, scaled so that a product keeps a vector's length."""
    side = options.side
    mask = mx.random.uniform(shape=(side // block, side // block), key=mx.random.key(1)) < density
    mask = mx.repeat(mx.repeat(mask, block, axis=0), block, axis=1) if block > 1 else mask
    normal = mx.random.normal((side, side), key=mx.random.key(2)) / math.sqrt(density * side)
    matrix = mx.where(mask, normal, 0.0).astype(options.dtype)
    mx.eval(matrix)
    return matrix


def _two_of_four(options: Options) -> mx.array:
    """The larger of each two normal numbers."""
    fours = mx.random.normal((options.side, options.side // 4, 4), key=mx.random.key(2))
    # One of each pair: enough for 2:4, and no sort of millions of short rows. Equals do occur.
    a, b, c, d = (fours[..., i] for i in range(4))
    first, third = mx.abs(a) >= mx.abs(b), mx.abs(c) >= mx.abs(d)
    matrix = mx.stack([a * first, b * ~first, c * third, d * ~third], axis=-1)
    matrix = matrix.reshape(options.side, options.side)
    matrix = _unit(matrix, options)
    mx.eval(matrix)
    return matrix


def _unit(matrix: mx.array, options: Options) -> mx.array:
    return (matrix / mx.sqrt(matrix.square().sum(axis=0).mean())).astype(options.dtype)


def _dense_system(matrix: mx.array, x: mx.array) -> _System:
    x = x[:, None] if x.ndim == 1 else x
    copies = [matrix + 0 for _ in range(_copies(matrix.nbytes))]
    mx.eval(copies)
    error = _error(matrix, x, matrix @ x)
    return _System(_chain(copies, x), matrix.nbytes, 1.0, error)


def _sparse_system(name: FormatName, dense: mx.array, x: mx.array) -> _System:
    sparse = SparseArray.from_dense(dense, format=name)
    copies = [_copy(sparse) for _ in range(_copies(sparse.nbytes))]
    return _System(_chain(copies, x), sparse.nbytes, sparse.density, _error(dense, x, sparse @ x))


def _scipy_system(name: str, dense: mx.array, x: mx.array, **options: Any) -> _System:
    import scipy.sparse

    matrix = getattr(scipy.sparse, name)(np.array(dense), **options)
    num_bytes = matrix.data.nbytes + matrix.indices.nbytes + matrix.indptr.nbytes
    copies = [matrix.copy() for _ in range(_copies(num_bytes))]
    first = np.array(x)

    def chain(calls: int) -> Callable[[], None]:
        def compute() -> None:
            y = first
            for i in range(calls):
                y = copies[i % len(copies)] @ y

        return compute

    error = _error(dense, x, mx.array(matrix @ first))
    return _System(chain, num_bytes, matrix.data.size / dense.size, error)


def _chain(matrices: Sequence[Any], x: mx.array) -> Chain:
    mx.eval(x)

    def chain(calls: int) -> Callable[[], None]:
        y = x
        for i in range(calls):
            y = matrices[i % len(matrices)] @ y
        return lambda: mx.async_eval(y)

    return chain


def _copy(sparse: SparseArray) -> SparseArray:
    """The same matrix in memory of its own."""
    arrays = {name: array + mx.zeros((), array.dtype) for name, array in sparse.arrays.items()}
    mx.eval(arrays)
    return SparseArray.from_arrays(arrays, sparse.shape, format=sparse.format)


def _copies(num_bytes: int) -> int:
    return min(max(1, -(-_CACHE_BYTES // max(num_bytes, 1))), _MAX_COPIES)


def _error(dense: mx.array, x: mx.array, product: mx.array) -> float:
    rows = mx.arange(0, len(dense), max(1, len(dense) // _SAMPLED_ROWS))
    matrix, vectors, out = (
        np.array(array.astype(mx.float32), np.float64) for array in (dense[rows], x, product[rows])
    )
    expected = matrix @ vectors
    return float(np.abs(out - expected).max() / np.abs(expected).max())


def _length(chain: Chain) -> int:
    """Calls that take about the time of a round."""
    chain(2)()
    calls = _MIN_CALLS
    # Doubled until starting a chain no longer counts: a first guess from a few calls is far off.
    while calls < _MAX_CALLS and _sample(chain, calls).seconds * calls < _ROUND_S:
        calls *= 2
    return min(calls, _MAX_CALLS)


def _sample(chain: Chain, calls: int) -> _Sample:
    start = chain(calls)
    mx.synchronize()
    began, host_began = time.perf_counter(), time.thread_time()
    start()
    host = time.thread_time() - host_began
    mx.synchronize()
    return _Sample((time.perf_counter() - began) / calls, host / calls)
