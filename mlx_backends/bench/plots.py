"""Pictures of a record; needs matplotlib (the ``bench`` extra)."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

from mlx_backends.bench.record import Comparison, Record
from mlx_backends.plotting import new_figure

_FIRST_NUMBER = re.compile(r"\d[\d,.]*")


def draw(record: Record, folder: Path) -> list[Path]:
    """Write one PNG for each shape and question that the record can answer.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    questions = (
        ("batch of", "requests in the batch", "all tokens out, tokens/s"),
        ("stream at", "context, tokens", "time to first token, s"),
        ("stream at", "context, tokens", "decode of a stream, tokens/s"),
        ("pool of", "KV pool, GiB", "decode of a stream, tokens/s"),
    )
    paths = []
    for shape in dict.fromkeys(comparison.shape for comparison in record.comparisons):
        for prefix, x_label, metric in questions:
            series = [
                comparison
                for comparison in record.comparisons
                if comparison.shape == shape and comparison.workload.startswith(prefix)
            ]
            if len(series) > 1:
                name = f"{shape}-{prefix}-{metric.split(',')[0]}".replace(" ", "-")
                paths.append(_draw_lines(series, x_label, metric, shape, folder / f"{name}.png"))
    return paths


def draw_costs(microseconds: Mapping[str, float], folder: Path) -> Path:
    """Write one PNG with a bar for each cost of the adapters.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figure = new_figure(9)
    axes = figure.subplots()
    bars = axes.barh(list(microseconds), list(microseconds.values()))
    axes.bar_label(bars, fmt="%.0f", padding=3)
    axes.invert_yaxis()
    axes.set(xlabel="microseconds of processor time", title="What the adapters add")
    path = folder / "adapters.png"
    figure.savefig(path, dpi=150)
    return path


def _draw_lines(
    series: Iterable[Comparison], x_label: str, metric: str, title: str, path: Path
) -> Path:
    """A line for each system."""
    figure = new_figure(7)
    axes = figure.subplots()
    lines: dict[str, list[tuple[float, float]]] = {}
    for comparison in series:
        x = _number_in(comparison.workload)
        for system, metrics in comparison.results.items():
            lines.setdefault(system, []).append((x, metrics[metric]))
    for system, points in lines.items():
        axes.plot(*zip(*sorted(points), strict=True), marker="o", label=system)
    axes.set(xscale="log", xlabel=x_label, ylabel=metric, title=title, ylim=(0, None))
    axes.grid(alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=150)
    return path


def _number_in(text: str) -> float:
    found = _FIRST_NUMBER.search(text)
    assert found is not None  # the questions name workloads with a number
    return float(found[0].replace(",", ""))
