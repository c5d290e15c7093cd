"""``mlx-backends embed``: texts in, vectors out."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from mlx_backends.cli._console import reports_errors
from mlx_backends.cli._records import read_records
from mlx_backends.config import EmbedderConfig


class Overflow(StrEnum):
    """Choices of ``--on-overflow``."""

    error = "error"
    truncate = "truncate"
    mean = "mean"


class Precision(StrEnum):
    """Choices of ``--precision``."""

    float32 = "float32"
    int8 = "int8"
    binary = "binary"


@reports_errors
def embed(
    files: Annotated[
        list[str] | None,
        typer.Argument(help="Text files, or .jsonl; - or nothing is the standard input."),
    ] = None,
    model: Annotated[str | None, typer.Option(help="Embedding model: folder or Hub id.")] = None,
    query: Annotated[bool, typer.Option("--query", help="Texts are queries.")] = False,
    output: Annotated[
        Path | None,
        typer.Option(help="File ending in .jsonl, .npy or .parquet; resumed if it was begun."),
    ] = None,
    jsonl: Annotated[bool, typer.Option("--jsonl", help="Every input holds JSON lines.")] = False,
    field: Annotated[str, typer.Option(help="Name of the text in a JSON object.")] = "text",
    on_overflow: Annotated[
        Overflow, typer.Option(help="What happens to texts that are too long.")
    ] = Overflow.error,
    max_length: Annotated[int | None, typer.Option(help="Longest text in tokens.")] = None,
    dimensions: Annotated[int | None, typer.Option(help="Cut vectors to this length.")] = None,
    precision: Annotated[Precision, typer.Option(help="Type of vectors.")] = Precision.float32,
    weight_bits: Annotated[int | None, typer.Option(help="Quantize the weights: 4 or 8.")] = None,
) -> None:
    """Embed each line that is not blank; print or write a row with text and vector for each."""
    # Here, not at the top: MLX takes half a second to import.
    from mlx_backends import registry
    from mlx_backends.cli._embedding import embed_records
    from mlx_backends.cli._tables import check_output

    check_output(output)
    records = read_records(files, field, is_json=jsonl)
    config = EmbedderConfig(
        model=model,
        on_overflow=on_overflow.value,
        max_length=max_length,
        dimensions=dimensions,
        weight_bits=weight_bits,  # type: ignore[arg-type]
    )
    embed_records(
        registry.get_embedder(config),
        records,
        output,
        kind="query" if query else "document",
        precision=precision.value,
    )
