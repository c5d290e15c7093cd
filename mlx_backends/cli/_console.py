"""What commands share in talking to a terminal. Only results go to the standard output."""

import functools
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, ParamSpec, TypeVar

import typer

from mlx_backends.errors import MLXBackendsError

P = ParamSpec("P")
T = TypeVar("T")


def reports_errors(command: Callable[P, T]) -> Callable[P, T]:
    """Decorate a command: an error raised on purpose becomes one line and the exit code 1."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return command(*args, **kwargs)
        except MLXBackendsError as error:
            print_error(error)
            raise typer.Exit(1) from None

    return run


def print_error(error: Exception) -> None:
    typer.echo(f"error: {' '.join(str(error).split())}", err=True)


def note(text: str) -> None:
    """Say something beside the result, on the standard error."""
    typer.echo(f"note: {text}", err=True)


def print_warnings_plainly() -> None:
    """Show Python's warnings as one line each, without the line of code that raised them."""

    def show(message: Warning | str, *_: Any) -> None:
        note(str(message))

    warnings.showwarning = show


@contextmanager
def progress_bar(label: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar on the standard error while work is done, if that is a terminal.

    Yields:
        What to call with the amount done and the amount of all.
    """
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task(label, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)


def write(text: str) -> None:
    """Write to the standard output at once, for text that streams."""
    sys.stdout.write(text)
    sys.stdout.flush()
