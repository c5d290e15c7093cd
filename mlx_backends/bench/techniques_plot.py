"""The picture of ``bench techniques``; needs matplotlib (the ``bench`` extra)."""

from collections.abc import Sequence
from pathlib import Path

from mlx_backends.bench.techniques_table import BASELINE, Row
from mlx_backends.plotting import new_figure

_PANELS = (
    ("decode, tokens/s", "decode speed, times the model as it is"),
    ("weights, MB", "weights on disk, times the model as it is"),
    ("divergence, nats", "divergence from the model as it is, nats"),
)
_RATIOS = ("decode, tokens/s", "weights, MB")


def draw(rows: Sequence[Row], path: Path) -> Path:
    """Write a PNG with a bar a row, in three panels: speed, size, and what is lost.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    baseline = next(row for row in rows if row.variant == BASELINE)
    shown = [row for row in rows if any(name in row.figures for name, _ in _PANELS)]
    figure = new_figure(13, 1 + 0.32 * len(shown))
    panels = figure.subplots(1, len(_PANELS), sharey=True)
    labels = [f"{row.technique}: {row.variant}" for row in shown]
    for axes, (name, title) in zip(panels, _PANELS, strict=True):
        scale = baseline.figures[name] if name in _RATIOS else 1.0
        values = [row.figures.get(name, 0.0) / scale for row in shown]
        axes.barh(labels, values, color=["0.6" if r.technique == "none" else "C0" for r in shown])
        if name in _RATIOS:
            axes.axvline(1.0, color="0.3", linewidth=0.8)
        axes.set_title(title, fontsize=9)
        axes.grid(axis="x", alpha=0.3)
    panels[0].invert_yaxis()
    figure.savefig(path, dpi=150)
    return path
