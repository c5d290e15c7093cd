"""``mlx-backends bench``: hands its arguments to ``mlx_backends.bench``."""

import typer


def bench(context: typer.Context) -> None:
    """Measure the engine against mlx-lm, the kernels or the adapters: `bench engine --help`."""
    # Here, not at the top: MLX takes half a second to import.
    from mlx_backends.bench.__main__ import main

    raise typer.Exit(main(context.args))
