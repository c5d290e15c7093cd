"""Writes results as the end of an output's name says: JSON lines, NumPy or Parquet."""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_backends.errors import MissingExtraError, RequestError

SUFFIXES = (".jsonl", ".npy", ".parquet")
_ROWS_AT_ONCE = 1_024


def check_output(output: Path | None) -> None:
    """See that an output can be written, before any work is done for it; None is the terminal.

    Raises:
        RequestError: The end of its name says no format, or its folder is not there.
        MissingExtraError: It is Parquet and pyarrow is not installed.
    """
    if output is None:
        return
    if output.suffix not in SUFFIXES:
        raise RequestError(
            f"--output {output} must end in {', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}."
        )
    if not output.parent.is_dir():
        raise RequestError(f"--output {output} lies in a folder that does not exist.")
    if output.suffix == ".parquet":
        _pyarrow()


def write_table(
    output: Path, rows: Callable[[], Iterable[Mapping[str, Any]]], array: NDArray[Any]
) -> None:
    """Write all rows at once, so that a half-written output never lies there.

    Args:
        output: Its suffix decides the format.
        rows: Gives rows of equal columns; called once, for JSON lines and Parquet.
        array: What NumPy's format holds.
    """
    scratch = output.with_name(f"{output.name}.tmp")
    if output.suffix == ".npy":
        with scratch.open("wb") as file:
            np.save(file, array)
    elif output.suffix == ".jsonl":
        with scratch.open("w", encoding="utf-8") as file:
            file.writelines(as_json(row) + "\n" for row in rows())
    else:
        _write_parquet(scratch, rows())
    scratch.replace(output)


def as_json(row: Mapping[str, Any]) -> str:
    """A row as a JSON object of one line."""
    return json.dumps(
        {key: v.tolist() if isinstance(v, np.ndarray) else v for key, v in row.items()}
    )


def _write_parquet(path: Path, rows: Iterable[Mapping[str, Any]]) -> None:
    pa, pq = _pyarrow()
    writer = None
    for some in _groups(rows):
        table = pa.Table.from_pylist(some, schema=writer.schema if writer else None)
        writer = writer or pq.ParquetWriter(path, table.schema)
        writer.write_table(table)
    if writer is None:
        pq.write_table(pa.table({}), path)
    else:
        writer.close()


def _groups(rows: Iterable[Mapping[str, Any]]) -> Iterator[list[dict[str, Any]]]:
    some: list[dict[str, Any]] = []
    for row in rows:
        some.append(dict(row))
        if len(some) == _ROWS_AT_ONCE:
            yield some
            some = []
    if some:
        yield some


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        import pyarrow.parquet
    except ImportError as error:
        raise MissingExtraError("pyarrow", "parquet") from error
    return pyarrow, pyarrow.parquet
