"""Rows of trained models and of their control, and what a training step costs."""

import statistics
import time
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
from mlx.utils import tree_unflatten

from mlx_backends.bench.quantization_row import Run, packed_row, quantized_row, row
from mlx_backends.bench.quantization_rows import low
from mlx_backends.quantization.config import QuantizationConfig
from mlx_backends.quantization.grids import Grids
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

_TIMED_STEPS = 5


def training_rows(state: Run, batches: list[Any]) -> None:
    seconds, rate = state.options.training_seconds, state.options.learning_rate
    names = ("2 bits, QAT", "3 bits, QAT", "2 bits, control", "3 bits, control")
    if not any(state.wants(name) for name in names):
        return
    per_step = _seconds_a_step(state, batches)
    steps = {2: max(1, int(seconds / per_step)), 3: max(1, int(seconds / per_step / 2))}
    state.report(f"{per_step:.4f} s a distillation step, so {steps} steps")
    if state.wants("2 bits, QAT"):
        _trained_row(
            state, "2 bits, QAT", _qat_config(2, steps[2], rate, state.options.start), batches
        )
    if state.wants("3 bits, QAT"):
        _trained_row(
            state, "3 bits, QAT", _qat_config(3, steps[3], rate / 2, state.options.start), batches
        )
    if state.wants("control"):
        _control_rows(state, _qat_config(2, steps[2], rate / 2), batches)


def _seconds_a_step(state: Run, batches: list[Any]) -> float:
    """Of the steps of the training at 2 bits, the three shapes compiled."""
    grids = grids_of(state.model, _qat_config(2, 1, 1e-6), mx.bfloat16)
    teacher = _teacher(state)
    by_shape = {ids.shape: (ids, weights) for ids, weights in batches}
    first, *_ = made = [TrainingBatch(mx.array(a), mx.array(b)) for a, b in by_shape.values()]
    stepper = _Stepper(state.model, first, grids, True, distillation_loss(teacher))
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
    row(state, "control: further steps, not rounded", twin)
    for bits in (3, 2):
        name = f"{bits} bits, control (further steps, then to nearest)"
        quantized_row(state, name, low(QuantizationConfig(weight_bits=bits)), model=twin)
        gptq = QuantizationConfig(
            weight_bits=bits, algorithm="gptq", calibration_data=state.calibration
        )
        name = f"{bits} bits, control (further steps, then GPTQ)"
        quantized_row(state, name, low(gptq), model=twin)


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


def step_times(state: Run, batches: list[Any]) -> None:
    """Median seconds of a step: plain and fake-quantized, compiled and not, on one batch shape."""
    if not state.wants("step times"):
        return
    ids, weights = batches[0]
    batch = TrainingBatch(mx.array(ids), mx.array(weights))
    grids = grids_of(state.model, _qat_config(2, 1, 1e-6), mx.bfloat16)
    kinds = {
        "plain, compiled": (None, True),
        "fake-quantized, compiled": (grids, True),
        "plain, uncompiled": (None, False),
        "fake-quantized, uncompiled": (grids, False),
    }
    steppers = {name: _Stepper(state.model, batch, *kind) for name, kind in kinds.items()}
    times: dict[str, list[float]] = {name: [] for name in kinds}
    for stepper in steppers.values():
        stepper.step()
        stepper.step()
    for _ in range(_TIMED_STEPS):  # in turn, so that a busy moment meets all alike
        for name, stepper in steppers.items():
            times[name].append(stepper.step())
    figures = {name: statistics.median(found) for name, found in times.items()}
    figures["fake-quantized / plain, compiled"] = (
        figures["fake-quantized, compiled"] / figures["plain, compiled"]
    )
    figures["uncompiled / compiled, fake-quantized"] = (
        figures["fake-quantized, uncompiled"] / figures["fake-quantized, compiled"]
    )
    state.note("step times", f"{ids.shape[0]} rows of {ids.shape[1]}", figures)
    for name, value in figures.items():
        state.report(f"step: {name}: {value:.4f}")


class _Stepper:
    """Takes and times steps of one kind."""

    def __init__(
        self,
        model: Any,
        batch: TrainingBatch,
        grids: Grids | None,
        is_compiled: bool,
        loss: Any = None,
    ) -> None:
        weights = FullWeights(dict(arrays(model)))
        self._trained = weights.start() | (grids.start() if grids else {})
        optimizer = optim.AdamW(1e-6)
        optimizer.init(self._trained)
        self._batch = batch
        self._step = TrainingStep(
            twin_of(model),
            lambda trained: grids.round(weights.exact(trained), trained) if grids else trained,
            loss or next_token_loss, optimizer,
            compute=compute_type(), is_compiled=is_compiled,
        )  # fmt: skip

    def step(self, batch: TrainingBatch | None = None) -> float:
        """Seconds of one step."""
        began = time.perf_counter()
        self._trained, loss = self._step(self._trained, batch or self._batch)
        mx.eval(self._trained, self._step.optimizer.state, loss)
        return time.perf_counter() - began


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
