"""``mlx-backends ask``: documents in, a cited answer out."""

import json
from enum import StrEnum
from typing import Annotated

import typer

from mlx_backends.cli._console import progress_bar, reports_errors, write
from mlx_backends.config import EmbedderConfig, EngineConfig


class Framework(StrEnum):
    """The framework that runs the pipeline."""

    LANGCHAIN = "langchain"
    LLAMA_INDEX = "llama-index"


@reports_errors
def ask(
    path: Annotated[str, typer.Argument(help="A text or Markdown file, or a folder of them.")],
    question: Annotated[str, typer.Argument(help="What to answer from them.")],
    framework: Annotated[
        Framework, typer.Option(help="Which framework runs the pipeline.")
    ] = Framework.LANGCHAIN,
    model: Annotated[str | None, typer.Option(help="Language model: folder or Hub id.")] = None,
    embed_model: Annotated[
        str | None, typer.Option(help="Embedding model: folder or Hub id.")
    ] = None,
    top_k: Annotated[int, typer.Option(min=1, help="Passages to show to the model.")] = 4,
    chunk_tokens: Annotated[
        int | None, typer.Option(min=16, help="Most tokens of a passage.")
    ] = None,
    max_tokens: Annotated[int, typer.Option(min=1, help="Most tokens of the answer.")] = 256,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Answer a question from documents, and show the lines that the answer rests on."""
    # Here, not at the top: MLX and the frameworks take seconds to import.
    from mlx_backends import registry
    from mlx_backends.cli import _report
    from mlx_backends.cli._library import build_library
    from mlx_backends.cli._record import Record

    embedder = registry.get_embedder(EmbedderConfig(model=embed_model))
    engine = registry.get_engine(EngineConfig(model=model))
    with progress_bar("Reading") as on_progress:
        library = build_library(path, embedder, chunk_tokens=chunk_tokens, on_progress=on_progress)
    if framework is Framework.LANGCHAIN:
        from mlx_backends.cli._langchain_rag import stream_answer
    else:
        from mlx_backends.cli._llama_index_rag import stream_answer
    record = Record()
    pieces = []
    for piece in stream_answer(
        question,
        index=library.index,
        embedder=embedder,
        engine=engine,
        top_k=top_k,
        max_tokens=max_tokens,
        record=record,
    ):
        pieces.append(piece)
        if not as_json:
            write(piece)
    answer = "".join(pieces)
    if as_json:
        about = {
            "framework": framework.value,
            "model": engine.model_name,
            "embed_model": embedder.model_name,
        }
        typer.echo(json.dumps(_report.as_json(question, answer, library, record, **about)))
    else:
        typer.echo("\n\n" + _report.as_text(answer, library, record))
