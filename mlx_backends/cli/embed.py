"""``mlx-backends embed``: lines in, vectors out."""

import json
from typing import Annotated

import typer

from mlx_backends.cli._console import progress_bar, reports_errors
from mlx_backends.cli._lines import read_lines
from mlx_backends.config import EmbedderConfig


@reports_errors
def embed(
    files: Annotated[
        list[str] | None, typer.Argument(help="Text files; - or nothing is the standard input.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="Embedding model: folder or Hub id.")] = None,
    query: Annotated[bool, typer.Option("--query", help="Lines are queries.")] = False,
) -> None:
    """Embed each line that is not blank; print a JSON object with text and vector for each."""
    # Here, not at the top: MLX takes half a second to import.
    from mlx_backends import registry

    texts = read_lines(files)
    embedder = registry.get_embedder(EmbedderConfig(model=model))
    with progress_bar("Embedding") as on_progress:
        vectors = embedder.embed(
            texts, kind="query" if query else "document", on_progress=on_progress
        )
    for text, vector in zip(texts, vectors, strict=True):
        typer.echo(json.dumps({"text": text, "vector": vector.tolist()}))
