"""What a run of a benchmark leaves: where it ran, and the medians of every system."""

import importlib.metadata
import json
import os
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import mlx.core as mx

from mlx_backends import fast_blas

_PACKAGES = ("mlx", "mlx-lm", "mlx-backends", "numpy", "scipy-openblas32")
_NAME_WIDTH = 30


@dataclass(frozen=True, slots=True)
class Comparison:
    """One workload on one model.

    Attributes:
        shape: Name of the model's shape.
        workload: Name of the workload.
        results: Medians by metric, by system; the first system is the one that ratios divide.
        failures: What went wrong with systems that have no results.
    """

    shape: str
    workload: str
    results: Mapping[str, Mapping[str, float]]
    failures: Mapping[str, str] = field(default_factory=dict)

    def ratios(self) -> dict[str, dict[str, float]]:
        """The first system's value divided by each other's, by metric."""
        (_, ours), *others = self.results.items()
        return {
            name: {
                metric: ours[metric] / value
                for metric, value in theirs.items()
                if value and metric in ours
            }
            for name, theirs in others
        }

    def table(self) -> str:
        """Plain text: a line for each metric, a column for each system and its ratio."""
        names = list(self.results)
        ratios = self.ratios()
        lines = [f"{self.shape}, {self.workload}"]
        lines.append(" " * _NAME_WIDTH + "".join(f"  {name:>26}" for name in names))
        for metric in self.results[names[0]]:
            cells = [
                _cell(self.results[n].get(metric), ratios.get(n, {}).get(metric)) for n in names
            ]
            lines.append(f"{metric:<{_NAME_WIDTH}}" + "".join(f"  {cell:>26}" for cell in cells))
        lines += [f"{name} failed: {error}" for name, error in self.failures.items()]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Record:
    """A whole run.

    Attributes:
        environment: Machine, versions, BLAS.
        comparisons: In the order of measurement.
    """

    environment: Mapping[str, str | int]
    comparisons: list[Comparison]

    def write(self, path: Path) -> None:
        """Write as JSON, ratios included."""
        content = asdict(self)
        for entry, comparison in zip(content["comparisons"], self.comparisons, strict=True):
            entry["ratios"] = comparison.ratios()
        path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def environment(is_gpu: bool) -> dict[str, str | int]:
    """What a reader must know to read the figures."""
    facts: dict[str, str | int] = {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "device": _device_name(is_gpu),
        "cores": _num_cores(),
        "blas": fast_blas.preload().name,
        "OPENBLAS_NUM_THREADS": os.environ.get("OPENBLAS_NUM_THREADS", "unset"),
    }
    for package in _PACKAGES:
        try:
            facts[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            facts[package] = "not installed"
    return facts


def _num_cores() -> int:
    """Cores that this process may use, where the system tells."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 0


def _device_name(is_gpu: bool) -> str:
    device = mx.Device(mx.gpu if is_gpu else mx.cpu)
    return str(mx.device_info(device).get("device_name", device))


def _cell(value: float | None, ratio: float | None) -> str:
    if value is None:
        return ""
    return f"{value:,.4g}" + (f"  (x{ratio:.2f})" if ratio is not None else "")
