"""Activations of encoders: GELU, fast on MLX's CPU backend too."""

import math
from collections.abc import Callable

import mlx.core as mx
import mlx.nn as nn

# erf(x) is close to x P(x^2) / Q(x^2) up to 4, where float32 reaches 1.
# Source: the float32 approximation of XLA and Eigen, highest power first.
_P = (
    -2.72614225801306e-10,
    2.77068142495902e-08,
    -2.10102402082508e-06,
    -5.69250639462346e-05,
    -7.34990630326855e-04,
    -2.95459980854025e-03,
    -1.60960333262415e-02,
)
_Q = (
    -1.45660718464996e-05,
    -2.13374055278905e-04,
    -1.68282697438203e-03,
    -7.37332916720468e-03,
    -1.42647390514189e-02,
)
_LIMIT = 4.0


def gelu(x: mx.array) -> mx.array:
    """X times the normal distribution's cumulative probability of x.

    MLX's ``erf`` takes 35 ns an entry on a CPU, which made it half of an encoder's time; the
    rational function takes a third of that.

    Numerics: within 2e-7 of the exact value relative to |x|; computed in float32 on a CPU.
    """
    if mx.default_device() != mx.Device(mx.cpu):
        return nn.gelu(x)
    probability = 0.5 + 0.5 * _erf(x.astype(mx.float32) * math.sqrt(0.5))
    return (x * probability).astype(x.dtype)


ACTIVATIONS: dict[str, Callable[[mx.array], mx.array]] = {
    "gelu": gelu,
    "gelu_new": nn.gelu_approx,
    "gelu_pytorch_tanh": nn.gelu_approx,
    "relu": nn.relu,
}


def _erf(x: mx.array) -> mx.array:
    x = mx.clip(x, -_LIMIT, _LIMIT)
    square = x * x
    return x * _polynomial(_P, square) / _polynomial(_Q, square)


def _polynomial(coefficients: tuple[float, ...], x: mx.array) -> mx.array:
    """Horner's scheme, from the highest power."""
    value = coefficients[0] * x + coefficients[1]
    for coefficient in coefficients[2:]:
        value = value * x + coefficient
    return value
