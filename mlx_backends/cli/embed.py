"""``mlx-backends embed``: lines in, vectors out."""

import json
from pathlib import Path
from typing import Annotated

import typer

from mlx_backends.cli._console import progress_bar, reports_errors
from mlx_backends.config import EmbedderConfig
from mlx_backends.errors import RequestError


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

    texts = [line for name in files or ["-"] for line in _lines(name)]
    embedder = registry.get_embedder(EmbedderConfig(model=model))
    with progress_bar("Embedding") as on_progress:
        vectors = embedder.embed(
            texts, kind="query" if query else "document", on_progress=on_progress
        )
    for text, vector in zip(texts, vectors, strict=True):
        typer.echo(json.dumps({"text": text, "vector": vector.tolist()}))


def _lines(name: str) -> list[str]:
    try:
        if name == "-":
            text = typer.get_text_stream("stdin").read()
        else:
            text = Path(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RequestError(f"{name} cannot be read as UTF-8 text: {error}") from error
    return [line for line in text.splitlines() if line.strip()]
