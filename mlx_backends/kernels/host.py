"""Where kernels run: Metal or CUDA where MLX has them, the emulator where a test asks for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import mlx.core as mx

Host = Literal["metal", "cuda", "emulator"]

_is_emulated = False


def host() -> Host | None:
    """What runs this package's kernels; None means that plain MLX has to do their work."""
    if _is_emulated:
        return "emulator"
    if mx.default_device().type != mx.DeviceType.gpu:
        return None
    if mx.metal.is_available():
        return "metal"
    return "cuda" if mx.cuda.is_available() else None


@contextmanager
def emulated() -> Iterator[None]:
    """Run every kernel on the host emulator inside this block, whatever the machine has.

    The emulator computes at once and needs evaluated inputs, so it does not work under
    ``mx.compile``. For tests; not for several threads.
    """
    global _is_emulated
    before, _is_emulated = _is_emulated, True
    try:
        yield
    finally:
        _is_emulated = before
