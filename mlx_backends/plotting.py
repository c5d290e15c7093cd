"""An empty picture for every module that draws one; needs matplotlib (the ``bench`` extra)."""

from typing import TYPE_CHECKING

from mlx_backends.errors import MissingExtraError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def new_figure(width: float, height: float = 4.5) -> "Figure":
    """Make a figure of so many inches that no window shows and that lays itself out.

    Raises:
        MissingExtraError: matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise MissingExtraError("matplotlib", "bench") from error
    return Figure(figsize=(width, height), layout="constrained")
