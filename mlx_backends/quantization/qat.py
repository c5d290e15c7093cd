"""Quantization-aware training: the weights learn to bear their rounding."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim

from mlx_backends.errors import NumericalError
from mlx_backends.layer_classes import changed_classes
from mlx_backends.models import rounded_inputs
from mlx_backends.quantization import checkpoint
from mlx_backends.quantization.config import QuantizationConfig
from mlx_backends.quantization.grids import Grids
from mlx_backends.quantization.layers import (
    arrays,
    is_embedding,
    quantizable,
    widths_of,
)
from mlx_backends.quantization.trained_weights import (
    Arrays,
    FullWeights,
    LowRankWeights,
    TrainedWeights,
)
from mlx_backends.quantization.training_data import BatchOf
from mlx_backends.quantization.training_step import (
    TrainingStep,
    distillation_loss,
    next_token_loss,
)

OnStep = Callable[[int, int, float], None]
# Reading the loss waits for the device.
_LOSS_EVERY = 10


def train(
    model: Any,
    config: QuantizationConfig,
    batch_of: BatchOf,
    *,
    teacher: Any = None,
    stored: mx.Dtype = mx.bfloat16,
    on_step: OnStep | None = None,
) -> list[float]:
    """Train a language model and pack it, in place.

    Args:
        model: Token ids (rows, length) to logits; not packed.
        config: Bits, groups, and ``training``.
        batch_of: The data.
        teacher: What ``distillation`` follows, such as the model before.
        stored: Type in which the weights will be packed.
        on_step: Called now and then with steps done, steps in all, and the loss.

    Returns:
        Losses, one for every ten steps.

    Raises:
        NumericalError: The loss is not finite any more.
        QuantizationError: The model cannot be packed so.
    """
    settings = config.training
    grids = grids_of(model, config, stored)
    weights = _trained_weights(model, config, grids)
    loss_of = next_token_loss if settings.loss == "data" else distillation_loss(teacher)
    optimizer = optim.AdamW(settings.learning_rate, betas=[0.9, 0.95], weight_decay=0.0)
    trained = weights.start() | grids.start()
    optimizer.init(trained)
    done, trained = _resumed(config, trained, optimizer)
    with _prepared(model, config):
        step = TrainingStep(
            model,
            lambda trained: grids.round(weights.exact(trained), trained, compute_type()),
            loss_of,
            optimizer,
            compute=compute_type(),
        )
        losses = []
        for index in range(done, settings.steps):
            optimizer.learning_rate = settings.rate_at(index)
            trained, loss = step(trained, batch_of(index))
            mx.async_eval(trained, optimizer.state, loss)
            is_last = index + 1 == settings.steps
            if (index + 1) % _LOSS_EVERY == 0 or is_last:
                losses.append(_finite(loss, index))
                if on_step:
                    on_step(index + 1, settings.steps, losses[-1])
            is_due = is_last or (index + 1) % settings.checkpoint_every == 0
            if is_due and settings.checkpoint_path:
                checkpoint.save(settings.checkpoint_path, index + 1, trained, optimizer)
    grids.pack(model, weights.exact(trained), trained)
    mx.eval(model.parameters())
    return losses


def compute_type() -> mx.Dtype:
    """bfloat16 on a GPU; float32 on a CPU, where it is fastest."""
    return mx.float32 if mx.default_device() == mx.Device(mx.cpu) else mx.bfloat16


def grids_of(model: nn.Module, config: QuantizationConfig, stored: mx.Dtype) -> Grids:
    """The first grids of all weights that a configuration packs."""
    chosen = quantizable(model, config)
    widths = {f"{name}.weight": bits for name, bits in widths_of(model, chosen, config).items()}
    return Grids(dict(arrays(model)), widths, config.group, stored)


def _trained_weights(model: nn.Module, config: QuantizationConfig, grids: Grids) -> TrainedWeights:
    parameters = dict(arrays(model))
    if config.training.scope == "full":
        return FullWeights(grids.join(parameters))
    chosen = quantizable(model, config)
    names = [f"{name}.weight" for name, layer in chosen.items() if not is_embedding(name, layer)]
    return LowRankWeights(parameters, names, config.training.lora_rank, config.training.seed)


def _resumed(
    config: QuantizationConfig, trained: Arrays, optimizer: optim.Optimizer
) -> tuple[int, Arrays]:
    path = config.training.checkpoint_path
    if path is None or not path.exists():
        return 0, trained
    return checkpoint.load(path, trained, optimizer)


def _finite(loss: mx.array, index: int) -> float:
    value = float(loss)  # type: ignore[arg-type]
    if not -1e9 < value < 1e9:
        raise NumericalError(
            f"The loss of step {index + 1} is {value}. Lower learning_rate, or check the data."
        )
    return value


@contextmanager
def _prepared(model: nn.Module, config: QuantizationConfig) -> Iterator[None]:
    """Let layers round their inputs, and keep less for the backward pass, as is asked."""
    if config.activation_bits is not None:
        rounded_inputs.install(model, None, base=rounded_inputs.RoundedInputTraining)
    kept_less = config.training.gradient_checkpointing
    try:
        with changed_classes(getattr(model, "layers", []) if kept_less else [], _checkpointed):
            yield
    finally:
        rounded_inputs.uninstall(model)


class _Checkpointed(nn.Module):
    """Mixed into a layer: only its input is kept for the backward pass."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        run = super().__call__

        def inner(parameters: Any, *args: Any, **kwargs: Any) -> Any:
            self.update(parameters)
            return run(*args, **kwargs)

        return mx.checkpoint(inner)(self.parameters(), *args, **kwargs)


@cache
def _checkpointed(layer: type[nn.Module]) -> type[nn.Module]:
    return type(f"Checkpointed{layer.__name__}", (_Checkpointed, layer), {})
