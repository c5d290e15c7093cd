"""The command line. Commands import what they need when they run, so that help is immediate."""


def main() -> None:
    """Entry point of the ``mlx-backends`` command."""
    from mlx_backends.cli.app import app

    app()
