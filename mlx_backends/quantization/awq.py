"""AWQ: channels that activations stress are scaled up before they are rounded.

Source: Lin et al. 2023, arXiv:2306.00978. A channel's factor is divided out of the layer before, so
that the model computes what it did. Which layers follow which, and the folding, are mlx-lm's. The
search differs from mlx-lm's, which loses answers at 2 and 3 bits: blocks see what the rounded
blocks before them give, and a group's values are those that lose the least on its inputs.
"""

from typing import Any

import mlx.core as mx
import mlx.nn as nn
import numpy as np

from mlx_backends.errors import QuantizationError
from mlx_backends.quantization.blocks import Run, input_moments, round_blocks
from mlx_backends.quantization.config import QuantizationConfig
from mlx_backends.quantization.grids import Rounded, round_to_best_grid
from mlx_backends.quantization.layers import Layers, quantizable, widths_of

_EXPONENTS = tuple(np.linspace(0.0, 0.95, 20).tolist())
_WIDTHS = (0.6, 0.8, 1.0)  # of grids, while factors are searched


def awq(model: Any, rows: mx.array, config: QuantizationConfig) -> None:
    """Quantize a language model in place; arguments as of ``round_blocks``.

    Raises:
        QuantizationError: mlx-lm's table does not have the architecture; or as ``round_blocks``.
    """
    from mlx_lm.quant.awq import AWQ_MODEL_CONFIGS

    model_type = getattr(model, "model_type", None)
    if model_type not in AWQ_MODEL_CONFIGS:
        raise QuantizationError(
            f"mlx-lm's AWQ does not know the architecture {model_type!r}; it knows "
            f"{', '.join(sorted(AWQ_MODEL_CONFIGS))}. Use algorithm='rtn', 'gptq' or 'mixed'."
        )
    rules = AWQ_MODEL_CONFIGS[model_type].scale_configs
    bits = widths_of(model, quantizable(model, config), config)

    def round_block(block: nn.Module, layers: Layers, run: Run) -> dict[str, Rounded]:
        moments = input_moments(layers, run)
        for rule in rules:
            if rule.use_config is None or rule.use_config(block):
                _scale(block, rule, layers, moments, config)
        return {
            name: round_to_best_grid(
                layers[name].weight, bits[name], config.group, mx.diag(moment)
            )
            for name, moment in moments.items()
        }  # fmt: skip

    round_blocks(model, rows, config, bits, round_block)


def _scale(
    block: Any, rule: Any, layers: Layers, moments: dict[str, mx.array], config: QuantizationConfig
) -> None:
    """Scale the inputs of a rule's layers by the factors with which rounding loses the least."""
    from mlx_lm.quant.awq import apply_scale, submodule_from_key

    names = {id(layer): name for name, layer in layers.items()}
    root = block if rule.block is None else block[rule.block]
    scaled = [submodule_from_key(root, key) for key in rule.layers]
    known = [names[id(layer)] for layer in scaled if names.get(id(layer)) in moments]
    if not known:
        return
    weights = {name: layers[name].weight.astype(mx.float32) for name in known}
    magnitude = mx.sqrt(mx.diag(moments[known[0]]))
    candidates = [_factors(magnitude, exponent) for exponent in _EXPONENTS]

    def loss(factors: mx.array) -> float:
        return sum(
            _loss(weights[name], moments[name], factors, config.bits, config.group)
            for name in known
        )

    factors = min(candidates, key=loss)
    apply_scale(
        submodule_from_key(block, rule.prev), scaled, factors.astype(scaled[0].weight.dtype)
    )
    for name in known:
        moments[name] = moments[name] / (factors[:, None] * factors)


def _factors(magnitude: mx.array, exponent: float) -> mx.array:
    factors = mx.maximum(magnitude, 1e-4 * magnitude.max()) ** exponent
    return factors / mx.sqrt(factors.max() * factors.min())


def _loss(
    weights: mx.array, moment: mx.array, factors: mx.array, bits: int, group_size: int
) -> float:
    """Squared error of the products with inputs of a moment, after rounding scaled weights."""
    importance = mx.diag(moment) / mx.square(factors)
    rounded = round_to_best_grid(weights * factors, bits, group_size, importance, _WIDTHS)
    error = (rounded.values().reshape(weights.shape) / factors - weights).reshape(-1, len(moment))
    return ((error @ moment) * error).sum().item()  # type: ignore[return-value]
