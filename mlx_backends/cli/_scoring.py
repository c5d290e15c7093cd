"""Scores of many texts, to the terminal or to a file that survives an interruption."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import typer
from numpy.typing import NDArray

from mlx_backends.cli._console import note, progress_bar
from mlx_backends.cli._journal import Journal, fingerprint
from mlx_backends.cli._records import Record
from mlx_backends.cli._tables import as_json, write_table
from mlx_backends.pooling.reranker import Reranker

_TEXTS_AT_ONCE = 1_024
_DTYPE = np.dtype([("score", np.float32), ("is_truncated", np.bool_)])


def rerank_records(
    reranker: Reranker,
    query: str,
    records: Sequence[Record],
    output: Path | None,
    *,
    top_n: int | None,
) -> None:
    """Order all texts; write them to the output, going on with a former run, or print them."""
    if output is None:
        scored = np.concatenate(
            [np.empty(0, _DTYPE), *_scored(reranker, query, records, 0)], dtype=_DTYPE
        )
        for row in _rows(records, scored, top_n):
            typer.echo(as_json(row))
        return
    key = fingerprint((record.text for record in records), config=reranker.config, query=query)
    journal = Journal(output, _DTYPE, key)
    if journal.num_done:
        note(f"{journal.num_done:,} of {len(records):,} texts were scored before")
    for done in _scored(reranker, query, records, journal.num_done):
        journal.append(done)
    scored = np.array(journal.read())
    write_table(output, lambda: _rows(records, scored, top_n), scored["score"])
    journal.remove()


def _scored(
    reranker: Reranker, query: str, records: Sequence[Record], start: int
) -> Iterator[NDArray[Any]]:
    """Scores and flags of some texts after the other, from one on."""
    with progress_bar("Scoring") as on_progress:
        for begin in range(start, len(records), _TEXTS_AT_ONCE):
            texts = [record.text for record in records[begin : begin + _TEXTS_AT_ONCE]]
            rows = np.empty(len(texts), _DTYPE)
            for found in reranker.rerank(query, texts):
                rows[found.index] = found.score, found.is_truncated
            on_progress(begin + len(texts), len(records))
            yield rows


def _rows(
    records: Sequence[Record], scored: NDArray[Any], top_n: int | None
) -> Iterator[dict[str, Any]]:
    """The best first; equal scores in the order of the input."""
    for index in map(int, np.argsort(-scored["score"], kind="stable")[:top_n]):
        record = records[index]
        row: dict[str, Any] = {} if record.id is None else {"id": record.id}
        row |= {"index": index, "score": float(scored["score"][index]), "text": record.text}
        yield row | {"is_truncated": bool(scored["is_truncated"][index])}
