"""Picture of ``bench embed``; needs matplotlib (the ``bench`` extra)."""

from collections.abc import Sequence
from pathlib import Path

from mlx_backends.plotting import new_figure


def draw(points: Sequence[tuple[str, int, float]], path: Path) -> Path:
    """Write a PNG: texts a second by number of texts, a line or a bar for each system.

    Args:
        points: System, number of texts, texts a second.
        path: Where to write; its folder is made.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    figure = new_figure(7)
    axes = figure.subplots()
    if len({count for _, count, _ in points}) == 1:
        axes.bar([system for system, _, _ in points], [speed for _, _, speed in points])
    else:
        for name in dict.fromkeys(system for system, _, _ in points):
            line = [(count, speed) for system, count, speed in points if system == name]
            axes.plot(*zip(*sorted(line), strict=True), marker="o", label=name)
        axes.set(xscale="log", xlabel="texts")
        axes.legend()
    axes.set(ylabel="texts/s", ylim=(0, None))
    axes.grid(axis="y", alpha=0.3)
    figure.savefig(path, dpi=150)
    return path
