"""Vectors of many texts, to the terminal or to a file that survives an interruption."""

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
from mlx_backends.pooling.description import TextKind
from mlx_backends.pooling.embedder import Embedder
from mlx_backends.pooling.vectors import Precision

# A run that is broken off loses no more than these.
_TEXTS_AT_ONCE = 1_024


def embed_records(
    embedder: Embedder,
    records: Sequence[Record],
    output: Path | None,
    *,
    kind: TextKind,
    precision: Precision,
) -> None:
    """Embed all texts; write them to the output, going on with a former run, or print them."""
    if output is None:
        for start, done in _embedded(embedder, records, kind, precision, 0):
            for record, row in zip(records[start:], done, strict=False):
                typer.echo(as_json(_row(record, row)))
        return
    dtype = _dtype(embedder.dimensions, precision)
    key = fingerprint(
        (record.text for record in records), config=embedder.config, kind=kind, dtype=str(dtype)
    )
    journal = Journal(output, dtype, key)
    if journal.num_done:
        note(f"{journal.num_done:,} of {len(records):,} texts were embedded before")
    for _, done in _embedded(embedder, records, kind, precision, journal.num_done):
        journal.append(done)
    rows = journal.read()
    write_table(output, lambda: map(_row, records, rows), rows["vector"])
    num_cut = int(rows["is_truncated"].sum())
    if num_cut:
        note(f"{num_cut:,} texts were cut to {embedder.max_length:,} tokens")
    journal.remove()


def _embedded(
    embedder: Embedder,
    records: Sequence[Record],
    kind: TextKind,
    precision: Precision,
    start: int,
) -> Iterator[tuple[int, NDArray[Any]]]:
    """Vectors and flags of some texts after the other, from one on."""
    dtype = _dtype(embedder.dimensions, precision)
    with progress_bar("Embedding") as on_progress:
        for begin in range(start, len(records), _TEXTS_AT_ONCE):
            some = records[begin : begin + _TEXTS_AT_ONCE]
            found = embedder.embed_detailed(
                [record.text for record in some], kind=kind, precision=precision
            )
            rows = np.empty(len(some), dtype)
            rows["vector"], rows["is_truncated"] = found.vectors, found.is_truncated
            on_progress(begin + len(some), len(records))
            yield begin, rows


def _dtype(dimensions: int, precision: str) -> np.dtype:
    """Of a vector with its flag."""
    number, width = {
        "float32": (np.float32, dimensions),
        "int8": (np.int8, dimensions),
        "binary": (np.uint8, dimensions // 8),
    }[precision]
    return np.dtype([("vector", number, (width,)), ("is_truncated", np.bool_)])


def _row(record: Record, row: Any) -> dict[str, Any]:
    found: dict[str, Any] = {} if record.id is None else {"id": record.id}
    found |= {"text": record.text, "vector": row["vector"]}
    return found | {"is_truncated": bool(row["is_truncated"])}
