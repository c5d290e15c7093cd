"""``mlx-backends ask``: documents in, a cited answer out."""

import json
from collections.abc import Callable, Iterable, Iterator
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
    with progress_bar("Embedding") as on_progress:
        library = build_library(path, embedder, chunk_tokens=chunk_tokens, on_progress=on_progress)
    record = Record()
    pieces = _pipeline(framework)(
        question,
        index=library.index,
        embedder=embedder,
        engine=engine,
        top_k=top_k,
        max_tokens=max_tokens,
        record=record,
    )
    if as_json:
        about = {
            "framework": framework.value,
            "model": engine.model_name,
            "embed_model": embedder.model_name,
        }
        report = _report.as_json(question, "".join(pieces), library, record, **about)
        typer.echo(json.dumps(report))
    else:
        answer = _shown(pieces)
        typer.echo("\n\n" + _report.as_text(answer, library, record))


def _pipeline(framework: Framework) -> Callable[..., Iterator[str]]:
    """The framework's ``stream_answer``; imports that framework only."""
    if framework is Framework.LANGCHAIN:
        from mlx_backends.cli import _langchain_rag as rag
    else:
        from mlx_backends.cli import _llama_index_rag as rag
    return rag.stream_answer


def _shown(pieces: Iterable[str]) -> str:
    """Write pieces as they come; returns the whole."""
    answer = ""
    for piece in pieces:
        write(piece)
        answer += piece
    return answer
