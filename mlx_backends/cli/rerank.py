"""``mlx-backends rerank``: a query and lines in, the lines that answer it best out."""

import json
from typing import Annotated

import typer

from mlx_backends.cli._console import progress_bar, reports_errors
from mlx_backends.cli._lines import read_lines
from mlx_backends.config import RerankerConfig


@reports_errors
def rerank(
    query: Annotated[str, typer.Argument(help="What is asked.")],
    files: Annotated[
        list[str] | None, typer.Argument(help="Text files; - or nothing is the standard input.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Rerank model: folder or Hub id.")] = None,
    top_n: Annotated[int | None, typer.Option(min=1, help="Print the best only.")] = None,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Cut lines that are too long for the model.")
    ] = False,
) -> None:
    """Order the lines that are not blank by how well they answer the query.

    Prints a JSON object with index, score and text for each, the best first.
    """
    # Here, not at the top: MLX takes half a second to import.
    from mlx_backends import registry

    config = RerankerConfig(model=model, on_overflow="truncate" if truncate else "error")
    reranker = registry.get_reranker(config)
    with progress_bar("Scoring") as on_progress:
        found = reranker.rerank(query, read_lines(files), top_n=top_n, on_progress=on_progress)
    for best in found:
        row = {"index": best.index, "score": best.score, "text": best.document}
        typer.echo(json.dumps(row))
