"""``mlx-backends models``: the models that ship with the package, and what was measured of them."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from mlx_backends import bundled
from mlx_backends.bundled.figures import FILE, Figure, Figures
from mlx_backends.cli._console import reports_errors
from mlx_backends.config import ModelKind

_USES: dict[str, str] = {
    "lm": "answers short questions from passages and cites them, calls tools",
    "encoder": "embeds texts for retrieval",
    "reranker": "ranks retrieved passages again",
}


@reports_errors
def models(
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """List the bundled demonstration models with the figures of their cards."""
    found = {kind: _about(kind) for kind in bundled.KINDS}
    if as_json:
        typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        _print_tables(found)


def _about(kind: ModelKind) -> dict[str, Any]:
    folder = bundled.path(kind)
    has_figures = (folder / FILE).is_file()
    return {
        "use": _USES[kind],
        "folder": str(folder),
        "card": str(folder / "README.md"),
        "weight_bytes": sum(path.stat().st_size for path in folder.glob("*.safetensors")),
        "figures": [asdict(row) for row in _rows(folder)] if has_figures else [],
    }


def _rows(folder: Path) -> list[Figure]:
    return Figures.load(folder / FILE).rows


def _print_tables(found: dict[str, dict[str, Any]]) -> None:
    console = Console()
    for kind, about in found.items():
        size = about["weight_bytes"] / 1e6
        console.print(f"[bold]{kind}[/bold]: {about['use']}; {size:.1f} MB of weights")
        console.print(about["card"], style="dim", soft_wrap=True)
        console.print(_table([Figure(**row) for row in about["figures"]]))
    console.print(
        "These are demonstration models: they know nothing about the world and do not reason."
    )


def _table(rows: list[Figure]) -> Table | str:
    if not rows:
        return "No figures were measured.\n"
    table = Table("asked", "measure", "items", "figure", "goal")
    for row in rows:
        goal = "-" if row.gate is None else f"{row.gate:.3f}"
        style = "red" if row.passes is False else None
        table.add_row(row.name, row.metric, f"{row.items:,}", f"{row.value:.3f}", goal, style=style)
    return table
