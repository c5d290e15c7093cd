"""The ``mlx-backends`` command: its name, its options and the list of its subcommands."""

from typing import Annotated

import typer

from mlx_backends._version import __version__
from mlx_backends.cli._console import print_warnings_plainly
from mlx_backends.cli.ask import ask
from mlx_backends.cli.bench import bench
from mlx_backends.cli.chat import chat
from mlx_backends.cli.doctor import doctor
from mlx_backends.cli.embed import embed
from mlx_backends.cli.models import models
from mlx_backends.cli.profile import profile
from mlx_backends.cli.prune import prune
from mlx_backends.cli.quantize import quantize
from mlx_backends.cli.rerank import rerank

app = typer.Typer(
    name="mlx-backends",
    help="Local language models on MLX: ask documents, chat, embed, rerank, quantize.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(ask)
app.command()(chat)
app.command()(embed)
app.command()(rerank)
app.command()(doctor)
app.command()(models)
app.command()(profile)
app.command()(prune)
app.command()(quantize)
_PASSED_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}
app.command(context_settings=_PASSED_ON)(bench)


def _print_version(is_asked: bool) -> None:
    if is_asked:
        typer.echo(__version__)
        raise typer.Exit


@app.callback()
def _prepare(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version."
        ),
    ] = False,
) -> None:
    print_warnings_plainly()
