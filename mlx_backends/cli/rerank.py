"""``mlx-backends rerank``: a query and texts in, the texts that answer it best out."""

from pathlib import Path
from typing import Annotated

import typer

from mlx_backends.cli._console import reports_errors
from mlx_backends.cli._records import read_records
from mlx_backends.config import RerankerConfig


@reports_errors
def rerank(
    query: Annotated[str, typer.Argument(help="What is asked.")],
    files: Annotated[
        list[str] | None,
        typer.Argument(help="Text files, or .jsonl; - or nothing is the standard input."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Rerank model: folder or Hub id.")] = None,
    top_n: Annotated[int | None, typer.Option(min=1, help="Keep the best only.")] = None,
    truncate: Annotated[
        bool, typer.Option("--truncate", help="Cut texts that are too long for the model.")
    ] = False,
    output: Annotated[
        Path | None,
        typer.Option(
            help="File ending in .jsonl, .parquet, or .npy for scores in the order of the input; "
            "resumed if it was begun."
        ),
    ] = None,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Every input holds JSON lines.")] = False,
    field: Annotated[str, typer.Option(help="Name of the text in a JSON object.")] = "text",
    instruction: Annotated[
        str | None, typer.Option(help="What a good text does, for models that are told so.")
    ] = None,
) -> None:
    """Order the lines that are not blank by how well they answer the query.

    Prints or writes a row with index, score and text for each, the best first.
    """
    # Here, not at the top: MLX takes half a second to import.
    from mlx_backends import registry
    from mlx_backends.cli._scoring import rerank_records
    from mlx_backends.cli._tables import check_output

    check_output(output)
    records = read_records(files, field, is_json=jsonl)
    config = RerankerConfig(
        model=model, on_overflow="truncate" if truncate else "error", instruction=instruction
    )
    rerank_records(registry.get_reranker(config), query, records, output, top_n=top_n)
