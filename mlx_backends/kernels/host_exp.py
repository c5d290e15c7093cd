"""The exponential function for MLX's CPU backend, whose own takes 15 to 25 ns a number.

Cody and Waite's scheme: ``exp(x) = 2^i * 2^f`` with ``i`` the nearest integer to ``x / ln 2``.
Every step is one that a C++ compiler vectorises, and ``mx.compile`` makes three loops of them:
about 3 ns a number, as exact as ``mx.exp`` (1e-6 relative), which is its readable twin.
"""

from functools import partial

import mlx.core as mx

_LOG2_E = 1.4426950408889634
# Adding and taking off 1.5 * 2^23 rounds a float32 to an integer, which is then in its low bits.
_ROUNDER = 12_582_912.0
# Exponents below that of the smallest normal float32 give it instead: 1e-38.
_LEAST_EXPONENT = -126.0
# Minimax polynomial of 2^f on [-1/2, 1/2], 1 at 0: relative error 9e-8.
_C1, _C2, _C3, _C4, _C5 = 0.69314700, 0.24022242, 0.05550734, 0.00967151, 0.00132647


def exp_of_difference(x: mx.array, offset: mx.array) -> mx.array:
    """``exp(x - offset)``; at least 1e-38, also of minus infinity; NaN of NaN.

    Shapes: x and offset float32, broadcast against each other. Differences up to 88: beyond, the
    exponent would run into the sign. The callers' differences are from a maximum, or bounded; one
    operation more here would be a loop and an array more.
    """
    fraction, rounded = _split(x, offset)
    bits = _add_exponent(_power_of_two(fraction).view(mx.int32), rounded.view(mx.int32))
    return bits.view(mx.float32)


@partial(mx.compile, shapeless=True)
def _split(x: mx.array, offset: mx.array) -> tuple[mx.array, mx.array]:
    """``f``, and a float32 that carries ``i`` in its low bits."""
    power = mx.maximum((x - offset) * _LOG2_E, _LEAST_EXPONENT)
    rounded = power + _ROUNDER
    return power - (rounded - _ROUNDER), rounded


# MLX fuses eleven operations at most, and none with a view: hence three functions.
@partial(mx.compile, shapeless=True)
def _power_of_two(f: mx.array) -> mx.array:
    """``2^f`` by Estrin's scheme, whose chains are short."""
    square = f * f
    return (f * _C1 + 1.0) + (f * _C3 + _C2) * square + (f * _C5 + _C4) * (square * square)


@partial(mx.compile, shapeless=True)
def _add_exponent(mantissa: mx.array, rounded: mx.array) -> mx.array:
    """Add ``i`` to the exponent of ``2^f``, both as bits."""
    return mantissa + (rounded << 23)
