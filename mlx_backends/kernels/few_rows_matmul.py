"""Products of a few rows with a matrix of four-bit weights whose inner width is large."""

import mlx.core as mx

from mlx_backends.errors import ConfigError
from mlx_backends.kernels.kernel import Kernel, constants, element_constants
from mlx_backends.kernels.pool import CHUNK

MAX_FEW_ROWS = 16
_OUTPUTS = 4
_SIMDGROUPS = 4


def few_rows_matmul(
    x: mx.array,
    weight: mx.array,
    scales: mx.array,
    biases: mx.array,
    *,
    outputs: int = _OUTPUTS,
    simdgroups: int = _SIMDGROUPS,
) -> mx.array:
    """``x @ W.T``, as ``mx.quantized_matmul`` for affine weights of four bits.

    A matrix kernel gives each threadgroup a tile of outputs and the whole inner width, which leaves
    most of a GPU idle where outputs are few. Here the inner width is split as well. Sums are in
    float32.

    Args:
        x: ``(rows, inner)``; more rows than ``MAX_FEW_ROWS`` read the weights again.
        weight: ``(outer, inner / 8)`` uint32, eight weights a word, the first in the lowest bits.
        scales: ``(outer, inner / group size)`` of x's type.
        biases: Likewise.
        outputs: Outputs of a threadgroup, a multiple of 4.
        simdgroups: Simdgroups of a threadgroup.

    Returns:
        ``(rows, outer)`` in x's type.

    Raises:
        ConfigError: The arrays do not fit together.
    """
    _check(x, weight, scales, biases)
    outer, num_words = weight.shape
    rows = CHUNK if len(x) <= CHUNK else MAX_FEW_ROWS
    kernel = Kernel(
        name="few_rows_matmul",
        inputs=("x", "weight", "scales", "biases"),
        outputs=("out",),
        constants=constants(
            element_constants(x.dtype),
            ROWS=rows,
            OUTPUTS=outputs,
            SIMDGROUPS=simdgroups,
            WORDS_A_GROUP=num_words // scales.shape[1],
        ),
        functions=("chunk.h", "few_rows.h"),
        reads_flat=True,
    )
    (out,) = kernel.launch(
        [x, weight, scales, biases],
        groups=(-(-outer // outputs), -(-len(x) // rows), 1),
        group_size=simdgroups * 32,
        output_shapes=[(len(x), outer)],
        output_dtypes=[x.dtype],
    )
    return out


def _check(x: mx.array, weight: mx.array, scales: mx.array, biases: mx.array) -> None:
    fits = x.ndim == weight.ndim == scales.ndim == 2 and scales.shape == biases.shape
    fits = fits and weight.shape == (len(scales), x.shape[1] // CHUNK)
    if not fits or x.shape[1] % (scales.shape[1] * CHUNK):
        raise ConfigError(
            f"x {x.shape}, weight {weight.shape}, scales {scales.shape} and biases {biases.shape} "
            "do not fit: (rows, inner), (outer, inner / 8) and twice (outer, groups) are allowed."
        )
    if weight.dtype != mx.uint32 or scales.dtype != x.dtype or biases.dtype != x.dtype:
        raise ConfigError(
            f"weight is {weight.dtype}, scales {scales.dtype} and biases {biases.dtype}; they are "
            f"uint32 and twice x's type, {x.dtype}."
        )
