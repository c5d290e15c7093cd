"""A residual sum and the RMS norm of it in one launch rather than two."""

import mlx.core as mx

from mlx_backends.errors import ConfigError
from mlx_backends.kernels.kernel import Kernel, constants, element_constants

_SIMDGROUPS = 8


def add_rms_norm(
    x: mx.array, residual: mx.array, weight: mx.array, *, eps: float
) -> tuple[mx.array, mx.array]:
    """``x + residual``, and that divided by its root mean square, times ``weight``.

    Args:
        x: ``(rows, width)``.
        residual: Likewise.
        weight: ``(width,)``.
        eps: Added to the mean square.

    Returns:
        The sum and its norm, both ``(rows, width)``.

    Raises:
        ConfigError: The arrays do not fit together.
    """
    if x.ndim != 2 or x.shape != residual.shape or weight.shape != x.shape[1:]:
        raise ConfigError(
            f"x {x.shape}, residual {residual.shape} and weight {weight.shape} do not fit: two "
            "arrays of (rows, width), and a weight of (width,)."
        )
    if not x.dtype == residual.dtype == weight.dtype:
        raise ConfigError(f"{x.dtype}, {residual.dtype} and {weight.dtype} are not one type.")
    kernel = Kernel(
        name="add_rms_norm",
        inputs=("x", "residual", "weight", "settings"),
        outputs=("sum", "normed"),
        constants=constants(element_constants(x.dtype), SIMDGROUPS=_SIMDGROUPS),
    )
    total, normed = kernel.launch(
        [x, residual, weight, mx.array([eps], mx.float32)],
        groups=(x.shape[0], 1, 1),
        group_size=32 * _SIMDGROUPS,
        output_shapes=[x.shape, x.shape],
        output_dtypes=[x.dtype, x.dtype],
    )
    return total, normed
