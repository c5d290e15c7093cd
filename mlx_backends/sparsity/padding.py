"""The last axis padded to a multiple and cut again, without an operation where nothing changes."""

import mlx.core as mx


def padded(x: mx.array, multiple: int) -> mx.array:
    """With zeros at the end of the last axis, up to a multiple."""
    missing = -x.shape[-1] % multiple
    if not missing:
        return x
    return mx.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, missing)])


def cut(x: mx.array, length: int) -> mx.array:
    """The first so many of the last axis."""
    return x if x.shape[-1] == length else x[..., :length]
