"""Measured figures of a bundled model: `figures.json` beside the weights, and their table.

Knows nothing about how they are measured.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from mlx_backends.errors import ModelLoadError
from mlx_backends.json_file import read_json

FILE = "figures.json"
_BEGIN, _END = "<!-- figures: begin -->", "<!-- figures: end -->"


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured row.

    Attributes:
        name: What was asked.
        metric: What was counted, such as ``exact match``.
        value: The result, 0 to 1.
        items: How many were asked.
        gate: What it has to reach, if anything.
        unquantized: The same of the unquantized weights, if measured.
    """

    name: str
    metric: str
    value: float
    items: int
    gate: float | None = None
    unquantized: float | None = None

    @property
    def passes(self) -> bool | None:
        """Whether the gate is reached; None without a gate."""
        return None if self.gate is None else self.value >= self.gate

    @property
    def lost(self) -> float | None:
        """What quantization costs; below 0 if the quantized weights are better."""
        return None if self.unquantized is None else self.unquantized - self.value


@dataclass(frozen=True, slots=True)
class Figures:
    """All rows of one model.

    Attributes:
        model: ``lm``, ``encoder`` or ``reranker``.
        weights: SHA-256 of the weights that were measured.
        rows: In the order of the table.
    """

    model: str
    weights: str
    rows: list[Figure] = field(default_factory=list)

    @classmethod
    def load(cls, path: Path) -> "Figures":
        """Read what `save` wrote.

        Raises:
            ModelLoadError: The file is missing or holds something else.
        """
        content = read_json(path, dict)
        try:
            rows = [Figure(**row) for row in content["rows"]]
            return cls(content["model"], content["weights"], rows)
        except (KeyError, TypeError) as error:
            raise ModelLoadError(f"{path} does not hold figures: {error}.") from error

    def save(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", "utf-8")

    def with_rows(self, rows: list[Figure]) -> "Figures":
        """Put rows in the place of those with the same names, new ones at the end."""
        merged = {row.name: row for row in self.rows} | {row.name: row for row in rows}
        return replace(self, rows=list(merged.values()))

    def markdown(self) -> str:
        """Write the rows as a Markdown table."""
        compared = any(row.unquantized is not None for row in self.rows)
        head = ["row", "measure", "items", "figure", "goal"] + ["bfloat16", "lost"] * compared
        lines = [head, ["---"] * len(head)]
        for row in self.rows:
            cells = [row.name, row.metric, f"{row.items:,}", f"{row.value:.3f}", _goal(row)]
            lines.append(cells + [_number(row.unquantized), _number(row.lost)] * compared)
        return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)


def weights_digest(folder: Path) -> str:
    """SHA-256 of a model folder's weights."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()


def update_card(folder: Path, figures: Figures, order: Sequence[str] = ()) -> None:
    """Write figures beside the weights that they were measured on, and into the model card.

    Rows that were measured before on the same weights stay.

    Args:
        folder: Of the model.
        figures: Measured.
        order: Names of rows in the order of the report; rows that begin with a name follow it,
            and all others come last.

    Raises:
        ModelLoadError: They belong to other weights, or the card has no place for them.
    """
    digest = weights_digest(folder)
    if figures.weights != digest:
        raise ModelLoadError(
            f"The figures were measured on other weights ({figures.weights:.12}) than those of "
            f"{folder} ({digest:.12}). Measure that folder."
        )
    path = folder / FILE
    if path.is_file() and (before := Figures.load(path)).weights == digest:
        figures = before.with_rows(figures.rows)
    figures = replace(figures, rows=sorted(figures.rows, key=lambda row: _place(row.name, order)))
    card = folder / "README.md"
    text = replace_table(card.read_text("utf-8"), figures.markdown())
    figures.save(path)
    card.write_text(text, "utf-8")


def _place(name: str, order: Sequence[str]) -> tuple[int, bool]:
    """Where a row stands: after the longest name that it begins with."""
    begun = [known for known in order if name == known or name.startswith(f"{known}, ")]
    return (order.index(max(begun, key=len)), name not in order) if begun else (len(order), True)


def replace_table(card: str, table: str) -> str:
    """Put a table between the two marks of a model card.

    Raises:
        ModelLoadError: The marks are missing.
    """
    before, begin, rest = card.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise ModelLoadError(f"The model card needs the lines {_BEGIN!r} and {_END!r}.")
    return f"{before}{begin}\n{table}\n{end}{after}"


def _goal(row: Figure) -> str:
    if row.gate is None:
        return "-"
    return f"{row.gate:.3f}" if row.passes else f"{row.gate:.3f}, not reached"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
