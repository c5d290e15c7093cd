"""``mlx-backends profile MODEL``: a decode step of a model, taken apart."""

from pathlib import Path
from typing import Annotated

import typer

from mlx_backends.cli._console import reports_errors


@reports_errors
def profile(
    model: Annotated[str, typer.Argument(help="Folder or Hub id.")] = "bundled",
    device: Annotated[str, typer.Option(help="auto, cpu or gpu.")] = "auto",
    batch: Annotated[int, typer.Option(min=1, help="Sequences at once.")] = 1,
    tokens: Annotated[int, typer.Option(min=12, help="Tokens of a timed answer.")] = 32,
    rounds: Annotated[int, typer.Option(min=1, help="Timed answers of each kind.")] = 5,
    json: Annotated[Path | None, typer.Option(help="Write the figures here.")] = None,
) -> None:
    """Count operations, kernels and evaluations of a step, and what mx.compile makes of them."""
    # Here, not at the top: MLX takes half a second to import.
    from mlx_backends.bench.__main__ import main

    arguments = ["step", "--model", model, "--device", device, "--batch", str(batch)]
    arguments += ["--tokens", str(tokens), "--rounds", str(rounds)]
    if json is not None:
        arguments += ["--json", str(json)]
    raise typer.Exit(main(arguments))
