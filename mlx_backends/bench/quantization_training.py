"""Rows of trained models and of their control."""

import statistics
import time
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
from mlx.utils import tree_unflatten

from mlx_backends.bench.quantization_row import Options, Run, packed_row, quantized_row, row
from mlx_backends.bench.quantization_rows import low
from mlx_backends.bench.quantization_steps import (
    Stepper,
    step_parts,
    step_times,
)
from mlx_backends.quantization.config import QuantizationConfig
from mlx_backends.quantization.layers import arrays, describe
from mlx_backends.quantization.methods import set_start, twin_of
from mlx_backends.quantization.qat import compute_type, grids_of, train
from mlx_backends.quantization.trained_weights import FullWeights
from mlx_backends.quantization.training_config import TrainingConfig
from mlx_backends.quantization.training_data import BatchOf, TrainingBatch
from mlx_backends.quantization.training_step import (
    TrainingStep,
    distillation_loss,
    next_token_loss,
)


def _control_name(bits: int, rounding: str) -> str:
    return f"{bits} bits, control (further steps, then {rounding})"


_TRAINED = {"2 bits, QAT": 2, "3 bits, QAT": 3}
_CONTROL = (
    "control: further steps, not rounded",
    *(_control_name(bits, rounding) for bits in (3, 2) for rounding in ("to nearest", "GPTQ")),
)
_TOKENS_A_SECOND = 400_000  # about what one card trains on


def training_tokens(options: Options) -> int:
    """Training data that the rows asked for take; 0 if there is no such row."""
    is_asked = any(options.asks(name) for name in (*_TRAINED, *_CONTROL))
    return int(options.training_seconds * _TOKENS_A_SECOND) if is_asked else 0


def step_rows(state: Run) -> None:
    """What a step costs, on calibration rows as its batch."""
    length = state.calibration.shape[1]
    ids = state.calibration[: max(1, state.options.batch_tokens // length)]
    batch = TrainingBatch(ids, mx.ones(ids.shape))
    step_times(state, batch)
    step_parts(state, batch)


def training_rows(state: Run, batches: list[Any]) -> None:
    """QAT at 2 and 3 bits, and the control; nothing is timed if none is asked for."""
    seconds, rate = state.options.training_seconds, state.options.learning_rate
    if not any(state.wants(name) for name in (*_TRAINED, *_CONTROL)):
        return
    per_step = _seconds_a_step(state, batches)
    steps = max(1, int(seconds / per_step))
    state.report(f"{per_step:.4f} s a distillation step, so {steps} steps")
    for (name, bits), at_most in zip(_TRAINED.items(), (rate, rate / 2), strict=True):
        if state.wants(name):
            config = _qat_config(bits, steps, at_most, state.options.start)
            _trained_row(state, name, config, batches)
    if any(state.wants(name) for name in _CONTROL):
        _control_rows(state, _qat_config(2, steps, rate / 2), batches)


def _seconds_a_step(state: Run, batches: list[Any]) -> float:
    """Of the steps of the training at 2 bits, the three shapes compiled."""
    grids = grids_of(state.model, _qat_config(2, 1, 1e-6), mx.bfloat16)
    teacher = _teacher(state)
    by_shape = {ids.shape: (ids, weights) for ids, weights in batches}
    first, *_ = made = [TrainingBatch(mx.array(a), mx.array(b)) for a, b in by_shape.values()]
    stepper = Stepper(state.model, first, grids, True, distillation_loss(teacher))
    for batch in made:
        stepper.step(batch)
        stepper.step(batch)
    return statistics.fmean(stepper.step(batch) for batch in [*made, *made])


def _teacher(state: Run) -> Any:
    teacher = twin_of(state.model)
    teacher.set_dtype(compute_type())
    mx.eval(teacher.parameters())
    return teacher


def _train(state: Run, name: str, config: Any, batches: list[Any]) -> Any:
    began = time.perf_counter()
    twin = twin_of(state.model)

    def on_step(done: int, total: int, loss: float) -> None:
        if done % 200 < 10:
            state.report(f"{name}: step {done} of {total}, loss {loss:.4f}")

    set_start(twin, state.calibration, config)
    losses = train(
        twin, config, _cycle(batches), teacher=_teacher(state), stored=mx.bfloat16, on_step=on_step
    )
    figures = {
        "steps": config.training.steps,
        "batch_tokens": state.options.batch_tokens,
        "learning_rate": config.training.learning_rate,
        "start": config.training.start,
        "seconds": time.perf_counter() - began,
        "losses": losses[:: max(1, len(losses) // 50)],
        "last_loss": losses[-1],
    }
    state.note("trainings", name, figures)
    return twin


def _trained_row(state: Run, name: str, config: Any, batches: list[Any]) -> None:
    twin = _train(state, name, config, batches)
    _save(state, twin, name)
    packed_row(state, name, twin, {"quantization": describe(twin, config)})


def _control_rows(state: Run, config: Any, batches: list[Any]) -> None:
    """As many steps on the data in full precision, then rounding to nearest and by GPTQ."""
    twin = _train_exact(state, config, batches)
    row(state, _CONTROL[0], twin)
    for bits in (3, 2):
        nearest = QuantizationConfig(weight_bits=bits)
        quantized_row(state, _control_name(bits, "to nearest"), low(nearest), model=twin)
        gptq = QuantizationConfig(
            weight_bits=bits, algorithm="gptq", calibration_data=state.calibration
        )
        quantized_row(state, _control_name(bits, "GPTQ"), low(gptq), model=twin)


def _train_exact(state: Run, config: Any, batches: list[Any]) -> Any:
    """``train`` without rounding."""
    began = time.perf_counter()
    twin = twin_of(state.model)
    trained = FullWeights(dict(arrays(twin))).start()
    optimizer = optim.AdamW(config.training.learning_rate, betas=[0.9, 0.95], weight_decay=0.0)
    optimizer.init(trained)
    step = TrainingStep(
        twin, lambda weights: weights, next_token_loss, optimizer, compute=compute_type()
    )
    batch_of, loss = _cycle(batches), mx.array(0.0)
    for index in range(config.training.steps):
        optimizer.learning_rate = config.training.rate_at(index)
        trained, loss = step(trained, batch_of(index))
        mx.async_eval(trained, optimizer.state, loss)
        if index % 10 == 0:
            mx.eval(loss)
    twin.update(tree_unflatten(list(trained.items())))
    mx.eval(twin.parameters())
    seconds = time.perf_counter() - began
    figures = {"steps": config.training.steps, "seconds": seconds, "last_loss": float(loss)}
    state.note("trainings", "control", figures)
    return twin


def _save(state: Run, model: Any, name: str) -> None:
    """Keep trained weights beside the figures: minutes of a GPU went into them."""
    if state.options.json_path:
        path = state.options.json_path.with_name(name.replace(", ", "-").replace(" ", "-"))
        weights = {n: a.astype(mx.bfloat16) for n, a in arrays(model)}
        mx.save_safetensors(f"{path}.safetensors", weights, metadata={"format": "mlx"})


def _qat_config(bits: int, steps: int, rate: float, start: Any = "weights") -> Any:
    return low(
        QuantizationConfig(
            method="qat",
            weight_bits=bits,
            training=TrainingConfig(steps=steps, learning_rate=rate, start=start),
        )
    )


def _cycle(batches: list[Any]) -> BatchOf:
    def batch_of(step: int) -> TrainingBatch:
        ids, weights = batches[step % len(batches)]
        return TrainingBatch(mx.array(ids), mx.array(weights))

    return batch_of
