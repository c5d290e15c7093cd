"""``recover``: a short training of the weights that pruning left."""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_flatten, tree_unflatten

from mlx_backends.errors import ConfigError
from mlx_backends.sparsity.linear import linear_layers

Loss = Callable[..., mx.array]


def recover(
    model: nn.Module,
    batches: Iterable[Any],
    *,
    learning_rate: float = 1e-4,
    loss: Loss | None = None,
    on_step: Callable[[int, float], None] | None = None,
) -> int:
    """Train a pruned model so that zeros stay zeros, in place; the layers stay dense.

    Gradients of pruned weights are zero; with AdamW a weight of zero without a gradient stays so.

    Args:
        model: After ``prune``, in float32.
        batches: Arguments of the loss beside the model: an array, or a tuple of arrays. Batches of
            one shape compile once.
        learning_rate: The highest; it rises over a tenth of the steps and falls to a tenth of it,
            where the number of batches is known.
        loss: ``loss(model, *batch)``; None is ``next_token_loss``.
        on_step: Called with the number of each step and its loss.

    Returns:
        The number of steps.

    Raises:
        ConfigError: There is no batch.
    """
    loss = next_token_loss if loss is None else loss
    optimizer = optim.AdamW(_schedule(learning_rate, batches), weight_decay=0.0)
    masks = [
        (f"{name}.weight", layer.weight != 0)
        for name, layer in linear_layers(model, ("lm_head",)).items()
    ]
    mx.eval(masks)
    state = [model.state, optimizer.state, mx.random.state]
    gradient_of = nn.value_and_grad(model, loss)

    @partial(mx.compile, inputs=state, outputs=state)
    def step(*batch: mx.array) -> mx.array:
        value, gradients = gradient_of(model, *batch)
        flat = dict(tree_flatten(gradients))
        flat |= {name: flat[name] * mask for name, mask in masks if name in flat}
        gradients = tree_unflatten(list(flat.items()))
        gradients, _ = optim.clip_grad_norm(gradients, 1.0)
        optimizer.update(model, gradients)
        return value

    count = 0
    model.train()
    for batch in batches:
        value = step(*(batch if isinstance(batch, tuple | list) else (batch,)))
        mx.eval(state, value)
        count += 1
        if on_step:
            on_step(count, float(value))
    model.eval()
    if not count:
        raise ConfigError("recover() was given no batch.")
    return count


def next_token_loss(model: nn.Module, ids: mx.array, weights: mx.array | None = None) -> mx.array:
    """Mean cross entropy of each token after those before it.

    Args:
        model: Gives logits of shape (batch, length, vocabulary).
        ids: ``(batch, length)``.
        weights: ``(batch, length)``: what each token counts, as a target; None is 1 each.
    """
    logits = model(ids[:, :-1]).astype(mx.float32)
    losses = nn.losses.cross_entropy(logits, ids[:, 1:])
    if weights is None:
        return losses.mean()
    weights = weights[:, 1:]
    return (losses * weights).sum() / mx.maximum(weights.sum(), 1)


def _schedule(peak: float, batches: Iterable[Any]) -> Any:
    try:
        steps = len(batches)  # type: ignore[arg-type]
    except TypeError:
        return peak
    warm = max(steps // 10, 1)
    rise = optim.linear_schedule(peak / warm, peak, warm)
    fall = optim.cosine_decay(peak, max(steps - warm, 1), peak / 10)
    return optim.join_schedules([rise, fall], [warm])
