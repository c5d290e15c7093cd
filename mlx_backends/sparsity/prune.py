"""``prune``: sets the least important weights of a model's linear layers to zero."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import mlx.core as mx
import mlx.nn as nn

from mlx_backends import kernels
from mlx_backends.errors import ConfigError
from mlx_backends.sparsity.blocks import DEFAULT_BLOCK_SIZE
from mlx_backends.sparsity.inputs import InputNorms, input_norms
from mlx_backends.sparsity.linear import linear_layers
from mlx_backends.sparsity.masks import PATTERNS, Pattern, kept

Method = Literal["magnitude", "wanda"]
METHODS: tuple[Method, ...] = get_args(Method)


@dataclass(frozen=True, slots=True)
class Pruned:
    """What was pruned.

    Attributes:
        method: ``"magnitude"`` or ``"wanda"``.
        pattern: ``"unstructured"``, ``"2:4"`` or ``"block"``.
        block_size: Of ``"block"``.
        zeros: Share of zeros of each pruned layer, by name.
        sparsity: Share of zeros of all pruned layers together.
    """

    method: Method
    pattern: Pattern
    block_size: int
    zeros: dict[str, float]
    sparsity: float


def prune(
    model: nn.Module,
    method: Method = "magnitude",
    sparsity: float = 0.5,
    pattern: Pattern = "unstructured",
    *,
    calibration_data: Any = None,
    block_size: int = DEFAULT_BLOCK_SIZE,
    exclude: Sequence[str] = ("lm_head",),
) -> Pruned:
    """Set weights of the linear layers to zero, in place; the layers stay dense.

    Magnitude takes the smallest weights of each matrix. Wanda weighs each by the norm of its input
    over the calibration data, ``|w| * norm(x)``, and compares within a row (Sun et al. 2023,
    arXiv:2306.11695). Blocks are compared by the sum of their squared scores, within a matrix.
    ``recover`` trains what is left; ``to_sparse`` stores it without the zeros.

    Args:
        model: Its linear layers are not quantized.
        method: ``"magnitude"`` or ``"wanda"``.
        sparsity: Share of weights that becomes zero; 0.5 with ``"2:4"``.
        pattern: ``"unstructured"``, ``"2:4"`` or ``"block"``.
        calibration_data: For Wanda: token ids of shape (batch, length), a list of such, or what
            ``input_norms`` made of them. The paper takes 128 rows of 2,048 tokens.
        block_size: Of ``"block"``: 16, 32 or 64.
        exclude: Parts of names of layers that stay as they are.

    Raises:
        ConfigError: An option or the calibration data is not usable, or no layer can be pruned.
    """
    _check(method, sparsity, pattern, block_size)
    layers = linear_layers(model, exclude)
    norms = _norms(model, layers, calibration_data, exclude) if method == "wanda" else {}
    zeros: dict[str, float] = {}
    for name, layer in layers.items():
        scores = mx.abs(layer.weight.astype(mx.float32))
        if name in norms:
            scores = scores * norms[name]
        mask = kept(scores, sparsity, pattern, by_row=method == "wanda", block_size=block_size)
        layer.weight = mx.where(mask, layer.weight, mx.zeros((), layer.weight.dtype))
        zeros[name] = 1 - float(mx.mean(layer.weight != 0))
    total = sum(layer.weight.size for layer in layers.values())
    all_zeros = sum(zeros[name] * layer.weight.size for name, layer in layers.items())
    return Pruned(method, pattern, block_size, zeros, all_zeros / total)


def _norms(
    model: nn.Module, layers: dict[str, nn.Linear], data: Any, exclude: Sequence[str]
) -> InputNorms:
    if not isinstance(data, dict):
        return input_norms(model, data, exclude)
    for name, layer in layers.items():
        if name not in data or data[name].shape != layer.weight.shape[1:]:
            raise ConfigError(
                f"calibration_data holds norms, but none of {layer.weight.shape[1]} inputs for "
                f"{name!r}; take input_norms of this model with the same exclude=."
            )
    return data


def _check(method: str, sparsity: float, pattern: str, block_size: int) -> None:
    for name, value, allowed in (("method", method, METHODS), ("pattern", pattern, PATTERNS)):
        if value not in allowed:
            raise ConfigError(f"{name}={value!r}: {', '.join(allowed)} are allowed.")
    if not (isinstance(sparsity, int | float) and 0 <= sparsity < 1):
        raise ConfigError(f"sparsity={sparsity!r}: 0 up to, but not 1, is allowed.")
    if pattern == "2:4" and sparsity != 0.5:
        raise ConfigError(f"sparsity={sparsity}: 2:4 keeps a half; give sparsity=0.5.")
    if block_size not in kernels.BLOCK_SIZES:
        raise ConfigError(f"block_size={block_size}: one of {kernels.BLOCK_SIZES} is allowed.")
