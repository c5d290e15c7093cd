"""Makes a folder whole or not at all."""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from mlx_backends.errors import OutputError


@contextmanager
def new_folder(target: Path, *, force: bool) -> Iterator[Path]:
    """Give an empty folder beside the target, which becomes the target if all goes well.

    Whatever happens inside, the target is either what it was or the whole new folder.

    Args:
        target: Must not exist, unless ``force`` replaces it.
        force: Replace a folder that exists.

    Raises:
        OutputError: The target exists, or the disk is full or read-only.
    """
    target = Path(os.path.abspath(target.expanduser()))
    if target.exists() and not force:
        raise OutputError(f"{target} exists already. Name another folder, or replace it (--force).")
    if target.exists() and not target.is_dir():
        raise OutputError(f"{target} exists and is no folder.")
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        yield partial
        _settle(partial)
        _swap(partial, target)
    except OSError as error:
        if isinstance(error, OutputError):
            raise
        raise OutputError(
            f"{target} cannot be written: {error}. Nothing was left there; free some space or "
            "name another folder."
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _settle(folder: Path) -> None:
    """Have the files on the disk before the folder gets its name."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.fsync(file.fileno())


def _swap(partial: Path, target: Path) -> None:
    if not target.exists():
        partial.rename(target)
        return
    old = target.with_name(f".{target.name}.old-{os.getpid()}")
    target.rename(old)
    try:
        partial.rename(target)
    except OSError:
        old.rename(target)
        raise
    shutil.rmtree(old, ignore_errors=True)
