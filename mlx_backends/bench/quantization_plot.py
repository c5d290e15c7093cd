"""The picture of ``bench quantization``; needs matplotlib (the ``bench`` extra)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlx_backends.plotting import new_figure

# Of rows by a text in their name, first match first; others are rounded to nearest.
_KINDS = (
    ("then GPTQ", "control: further training, then GPTQ", "<"),
    ("control", "control: further training, then to nearest", "v"),
    ("QAT", "trained with rounding (QAT)", "*"),
    ("GPTQ", "GPTQ", "s"),
    ("AWQ", "AWQ", "D"),
    ("searched", "searched", "^"),
    ("mixed", "mixed widths", "P"),
    ("to nearest", "to nearest", "o"),
)


def draw(rows: Mapping[str, Mapping[str, Any]], path: Path) -> Path:
    """Write a PNG: exact match by bits a weight, with a series for each way of rounding weights.

    Args:
        rows: Of the record, by name.
        path: Where to write.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    figure = new_figure(8, 5)
    axes = figure.subplots()
    for (label, marker), points in _series(rows).items():
        axes.plot(*zip(*sorted(points), strict=True), marker=marker, label=label, linewidth=0.8)
    if exact := rows.get("bf16") or rows.get("fp32"):
        axes.axhline(exact["exact_match"], color="0.5", linewidth=0.8, label="not rounded")
    axes.set(xlabel="bits a weight, scales included", ylabel="exact match", ylim=(-0.02, 1.02))
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    figure.savefig(path, dpi=150)
    return path


def _series(
    rows: Mapping[str, Mapping[str, Any]],
) -> dict[tuple[str, str], list[tuple[float, float]]]:
    """Bits a weight and exact match of rows whose weights alone are rounded, by kind."""
    found: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for name, row in rows.items():
        kind = next((kind[1:] for kind in _KINDS if kind[0] in name), None)
        if kind and "8 tokens" not in name and "bits_per_weight" in row:
            found.setdefault(kind, []).append((row["bits_per_weight"], row["exact_match"]))
    return found
