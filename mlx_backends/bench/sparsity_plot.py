"""Picture of the sparsity benchmark; needs matplotlib (the ``bench`` extra)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlx_backends.plotting import new_figure


def draw_sparsity(figures: Mapping[str, Any], folder: Path) -> Path:
    """Write one PNG: time and bytes of each system as a share of the dense product's.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    figure = new_figure(10)
    time_axes, size_axes = figure.subplots(1, 2)
    points = figures["points"]
    dense_bytes = next(point["megabytes"] for point in points if point["system"] == "dense")
    for system in dict.fromkeys(p["system"] for p in points if p["system"] != "dense"):
        curve = sorted((p for p in points if p["system"] == system), key=lambda p: p["density"])
        densities = [point["density"] for point in curve]
        time_axes.plot(densities, [1 / p["speed_up"] for p in curve], marker="o", label=system)
        shares = [point["megabytes"] / dense_bytes for point in curve]
        size_axes.plot(densities, shares, marker="o", label=system)
    for axes, label in ((time_axes, "time, dense = 1"), (size_axes, "bytes, dense = 1")):
        axes.axhline(1, color="black", linewidth=1)
        axes.set(xscale="log", yscale="log", xlabel="density", ylabel=label)
        axes.xaxis.set_major_formatter("{x:.0%}")
        axes.grid(alpha=0.3)
        axes.legend()
    size, device = figures["size"], figures["environment"]["device"]
    figure.suptitle(f"{size} x {size} @ {figures['vectors']}, {figures['dtype']}, {device}")
    path = folder / f"sparsity-{figures['vectors']}.png"
    figure.savefig(path, dpi=100)
    return path
