"""One step of training: the loss, its gradient, and the update, compiled to one graph."""

from collections.abc import Callable
from functools import partial
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim
from mlx.utils import tree_unflatten

from mlx_backends.quantization.trained_weights import Arrays
from mlx_backends.quantization.training_data import TrainingBatch

MAX_GRADIENT_NORM = 1.0
WeightsOf = Callable[[Arrays], Arrays]
LossOf = Callable[[mx.array, mx.array], mx.array]
"""Logits (rows, length, vocabulary) in float32 and ids (rows, length) -> loss of each prediction,
(rows, length - 1)."""


def next_token_loss(logits: mx.array, ids: mx.array) -> mx.array:
    """Cross-entropy of the next token."""
    return nn.losses.cross_entropy(logits[:, :-1], ids[:, 1:])


def distillation_loss(teacher: Any) -> LossOf:
    """KL divergence from a teacher's predictions (Hinton et al. 2015, arXiv:1503.02531)."""

    def loss(logits: mx.array, ids: mx.array) -> mx.array:
        wanted = mx.stop_gradient(teacher(ids)).astype(mx.float32)[:, :-1]
        wanted = wanted - mx.logsumexp(wanted, axis=-1, keepdims=True)
        got = logits[:, :-1]
        got = got - mx.logsumexp(got, axis=-1, keepdims=True)
        return (mx.exp(wanted) * (wanted - got)).sum(axis=-1)

    return loss


class TrainingStep:
    """Takes steps.

    Args:
        model: Runs with the weights that ``weights_of`` gives, in ``compute`` type.
        weights_of: From what is trained to the model's weights by name.
        loss_of: Loss of each prediction.
        optimizer: Its learning rate may change between steps.
        compute: Type of activations.
        is_compiled: False runs the same operations one by one, for comparison.
    """

    def __init__(
        self,
        model: Any,
        weights_of: WeightsOf,
        loss_of: LossOf,
        optimizer: optim.Optimizer,
        *,
        compute: mx.Dtype = mx.float32,
        is_compiled: bool = True,
    ) -> None:
        self._model = model
        self._weights_of = weights_of
        self._loss_of = loss_of
        self._compute = compute
        self.optimizer = optimizer
        state = [optimizer.state]
        self._run = (
            partial(mx.compile, inputs=state, outputs=state)(self._step)
            if is_compiled
            else self._step
        )

    def __call__(self, trained: Arrays, batch: TrainingBatch) -> tuple[Arrays, mx.array]:
        """What is trained after one step, and the loss before it; lazy."""
        return self._run(trained, batch.ids, batch.weights)

    def _step(self, trained: Arrays, ids: mx.array, weights: mx.array) -> tuple[Arrays, mx.array]:
        loss, gradients = mx.value_and_grad(self._loss)(trained, ids, weights)
        gradients, _ = optim.clip_grad_norm(gradients, MAX_GRADIENT_NORM)
        return self.optimizer.apply_gradients(gradients, trained), loss

    def _loss(self, trained: Arrays, ids: mx.array, weights: mx.array) -> mx.array:
        own = self._weights_of(trained)
        cast = [(name, array.astype(self._compute)) for name, array in own.items()]
        self._model.update(tree_unflatten(cast))
        losses = self._loss_of(self._model(ids).astype(mx.float32), ids)
        counted = weights[:, 1:]
        return (losses * counted).sum() / mx.maximum(counted.sum(), 1.0)
