"""The table of ``bench techniques``: a row a variant, and what each technique is for and costs."""

from collections.abc import Mapping
from dataclasses import dataclass, field

BASELINE = "as it is, unpacked"
# The lecture's table in words of our own: what it is for, and what it takes.
WHEN = {
    "quantization": ("memory or bandwidth is the limit", "accuracy, from about 4 bits down"),
    "compilation and fusion": ("always; small models gain most", "time at the first step"),
    "memory": ("prompts that begin alike; many sequences", "memory that is held"),
    "sparsity": ("a model that bears pruning, and a form that pays here", "accuracy; training"),
    "custom kernels": ("one operation dominates, on a device that has them", "code to maintain"),
    "quantization-aware training": ("2 to 3 bits lose too much", "data and training time"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One technique on the model.

    Attributes:
        technique: Key of ``WHEN``.
        variant: What exactly was done.
        figures: By name; those that were not measured are absent.
        note: What a reader has to know.
    """

    technique: str
    variant: str
    figures: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


COLUMNS = (
    ("decode, tokens/s", "decode t/s", ",.1f"),
    ("prefill, tokens/s", "prefill t/s", ",.0f"),
    ("weights, MB", "weights MB", ",.1f"),
    ("peak memory, MB", "peak MB", ",.0f"),
    ("perplexity", "perplexity", ",.2f"),
    ("divergence, nats", "divergence", ".4f"),
)


def table(rows: list[Row]) -> str:
    """Plain text: a line for each row, and for each technique what it is for and what it costs."""
    width = max(len(row.variant) for row in rows) + 2
    lines = [" " * width + "".join(f"{label:>12}" for _, label, _ in COLUMNS)]
    technique = ""
    for row in rows:
        if row.technique != technique and row.technique in WHEN:
            when, cost = WHEN[row.technique]
            lines.append(f"{row.technique}: when {when}; costs {cost}")
        technique = row.technique
        lines.append(line_of(row, width))
    return "\n".join(lines) + "\n"


def line_of(row: Row, width: int) -> str:
    """One line of the table, the variant's name ``width`` characters wide."""
    shown = {name for name, _, _ in COLUMNS}
    cells = [
        format(row.figures[name], style) if name in row.figures else ""
        for name, _, style in COLUMNS
    ]
    others = [f"{name} {value:,.1f}" for name, value in row.figures.items() if name not in shown]
    rest = "; ".join([*others, *([row.note] if row.note else [])])
    return f"{row.variant:<{width}}" + "".join(f" {cell:>11}" for cell in cells) + f"  {rest}"
