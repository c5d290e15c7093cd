"""The picture of a report; needs matplotlib (the ``bench`` extra)."""

from pathlib import Path
from typing import Any

from mlx_backends.plotting import new_figure
from mlx_backends.quantization.report import QuantizationReport

_MAX_BARS = 40


def draw(report: QuantizationReport, path: Path) -> None:
    """Write a PNG: size against quality, and the error of each layer.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = new_figure(11, 7)
    top, bottom = figure.subplots(2, 1)
    _draw_sizes(top, report)
    _draw_layers(bottom, report)
    figure.savefig(path, dpi=150)


def _draw_sizes(axes: Any, report: QuantizationReport) -> None:
    other = axes.twinx()
    for entry in report.entries:
        size = entry.weight_bytes / 1e6
        axes.plot(size, entry.quality.exact_match, "o", color="tab:blue")
        other.plot(size, entry.quality.divergence, "x", color="tab:red")
        axes.annotate(entry.name, (size, entry.quality.exact_match), fontsize=8,
                      xytext=(4, 4), textcoords="offset points")  # fmt: skip
    axes.set(xlabel="weights, MB", ylim=(-0.05, 1.1))
    axes.set_ylabel("exact match (dots)", color="tab:blue")
    other.set_ylabel("KL to the original (crosses)", color="tab:red")
    axes.grid(alpha=0.3)


def _draw_layers(axes: Any, report: QuantizationReport) -> None:
    """Bars side by side, of the layers with the largest error if there are many."""
    rounded = [entry for entry in report.entries if entry.layer_errors]
    worst: dict[str, float] = {}
    for entry in rounded:
        for name, error in entry.layer_errors.items():
            worst[name] = max(error, worst.get(name, 0.0))
    chosen = sorted(worst, key=lambda name: -worst[name])[:_MAX_BARS]
    names = [name for name in worst if name in set(chosen)]
    width = 0.8 / max(1, len(rounded))
    for index, entry in enumerate(rounded):
        places = [place + index * width for place in range(len(names))]
        axes.bar(places, [entry.layer_errors.get(n, 0.0) for n in names], width, label=entry.name)
    axes.set_xticks(range(len(names)), names, rotation=90, fontsize=6)
    axes.set_ylabel("relative error of weights")
    if rounded:
        axes.legend(fontsize=8)
