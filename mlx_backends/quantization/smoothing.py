"""Moves the outliers of activations into the weights before they are rounded (SmoothQuant).

Source: Xiao et al. 2022, arXiv:2211.10438, with alpha 1/2. A channel's factor is divided out of the
layer before and multiplied into the layers after, so the model computes what it did. Which layers
follow which is in mlx-lm's table for AWQ, as is the folding.
"""

from typing import Any

import mlx.core as mx

Peaks = dict[str, mx.array]
_SMALLEST = 1e-5


def smooth(model: Any, peaks: Peaks) -> bool:
    """Smooth a language model in place.

    Args:
        model: Not packed.
        peaks: Largest magnitude of each input channel of linear layers, by layer name.

    Returns:
        False if mlx-lm's table does not have the architecture; then nothing is changed.
    """
    from mlx_lm.quant.awq import AWQ_MODEL_CONFIGS, apply_scale, submodule_from_key

    table = AWQ_MODEL_CONFIGS.get(str(getattr(model, "model_type", "")))
    if table is None:
        return False
    names = {id(layer): name for name, layer in model.named_modules()}
    inner = model if table.lm_key is None else model[table.lm_key]
    for block in inner.layers:
        for rule in table.scale_configs:
            if rule.use_config is not None and not rule.use_config(block):
                continue
            root = block if rule.block is None else block[rule.block]
            layers = [submodule_from_key(root, key) for key in rule.layers]
            known = [peaks[names[id(m)]] for m in layers if names[id(m)] in peaks]
            if known:
                factors = _factors(known[0], [layer.weight for layer in layers])
                apply_scale(submodule_from_key(block, rule.prev), layers, factors)
        mx.eval(block.parameters())
    return True


def _factors(peak: mx.array, weights: list[mx.array]) -> mx.array:
    """sqrt(largest input / largest weight) of each channel; 1 where a channel is silent."""
    rows = [mx.abs(w.astype(mx.float32)).reshape(-1, w.shape[-1]).max(axis=0) for w in weights]
    largest = mx.maximum(mx.stack(rows).max(axis=0), _SMALLEST)
    factors = mx.sqrt(mx.maximum(peak, _SMALLEST) / largest)
    return mx.where(peak > 0, factors, 1.0).astype(weights[0].dtype)
