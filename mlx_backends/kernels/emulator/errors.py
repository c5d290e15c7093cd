"""The error of the emulator."""

from mlx_backends.errors import MLXBackendsError


class EmulationError(MLXBackendsError, RuntimeError):
    """A kernel did what a GPU does not allow, or its text does not compile."""
