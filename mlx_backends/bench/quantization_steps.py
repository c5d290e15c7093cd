"""What a training step costs: plain and with rounding, compiled and not, and its parts."""

import statistics
import time
from collections.abc import Callable, Mapping
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
from mlx.utils import tree_unflatten

from mlx_backends.bench.quantization_loop import round_when_called
from mlx_backends.bench.quantization_row import Run
from mlx_backends.bench.quantization_rows import low
from mlx_backends.quantization.config import QuantizationConfig
from mlx_backends.quantization.grids import Grids
from mlx_backends.quantization.layers import arrays
from mlx_backends.quantization.methods import twin_of
from mlx_backends.quantization.qat import compute_type, grids_of
from mlx_backends.quantization.trained_weights import Arrays, FullWeights
from mlx_backends.quantization.training_data import TrainingBatch
from mlx_backends.quantization.training_step import TrainingStep, next_token_loss

STEP_TIMES, STEP_PARTS = "step times", "step parts"
_TIMED_STEPS = 9
_CONFIG = low(QuantizationConfig(method="qat", weight_bits=2))
# Two figures of which the first is divided by the second.
_RATIOS = (
    ("with rounding, compiled", "plain, compiled"),
    ("with rounding, uncompiled", "with rounding, compiled"),
    ("usual loop, uncompiled", "with rounding, compiled"),
    ("usual loop, uncompiled", "usual loop, compiled"),
)


class Stepper:
    """Takes and times steps of one kind.

    Args:
        model: Stays as it is.
        batch: Of a step, where none is given.
        grids: How the step rounds all weights; None does not.
        is_compiled: Whether the step is one compiled graph.
        loss: As in ``TrainingStep``.
    """

    def __init__(
        self,
        model: Any,
        batch: TrainingBatch,
        grids: Grids | None,
        is_compiled: bool,
        loss: Any = next_token_loss,
    ) -> None:
        parameters = dict(arrays(model))
        weights = FullWeights(grids.join(parameters) if grids else parameters)
        self._trained = weights.start() | (grids.start() if grids else {})
        optimizer = optim.AdamW(1e-6)
        optimizer.init(self._trained)
        self._batch = batch
        self._step = TrainingStep(
            twin_of(model),
            lambda trained: (
                grids.round(weights.exact(trained), trained, compute_type()) if grids else trained
            ),
            loss, optimizer,
            compute=compute_type(), is_compiled=is_compiled,
        )  # fmt: skip

    def step(self, batch: TrainingBatch | None = None) -> float:
        """Seconds of one step."""
        began = time.perf_counter()
        self._trained, loss = self._step(self._trained, batch or self._batch)
        mx.eval(self._trained, self._step.optimizer.state, loss)
        return time.perf_counter() - began


def step_times(state: Run, batch: TrainingBatch) -> None:
    """Median seconds of a step at 2 bits, by kind, and their ratios.

    The usual loop rounds in each layer's call; ours rounds all weights side by side, and trains
    scales and biases besides.
    """
    if not state.wants(STEP_TIMES):
        return
    grids = grids_of(state.model, _CONFIG, mx.bfloat16)
    usual = twin_of(state.model)
    round_when_called(usual, _CONFIG)
    steppers = {
        f"{name}, {'compiled' if is_compiled else 'uncompiled'}": Stepper(
            model, batch, kind, is_compiled
        )
        for is_compiled in (True, False)
        for name, model, kind in (
            ("plain", state.model, None),
            ("with rounding", state.model, grids),
            ("usual loop", usual, None),
        )
    }
    figures = _medians(state, {name: stepper.step for name, stepper in steppers.items()})
    for above, below in _RATIOS:
        figures[f"{above} / {below}"] = figures[above] / figures[below]
    _note(state, STEP_TIMES, batch, figures)


def step_parts(state: Run, batch: TrainingBatch) -> None:
    """Median seconds of what a compiled step is made of, each part compiled by itself."""
    if not state.wants(STEP_PARTS):
        return
    model = twin_of(state.model)
    grids = grids_of(model, _CONFIG, mx.bfloat16)
    parameters = dict(arrays(model))
    joined = FullWeights(grids.join(parameters)).start()
    trained, changes = FullWeights(parameters).start(), grids.start()
    mx.eval(trained, joined, changes)
    ids, counted = batch.ids, batch.weights[:, 1:]

    def loss(trained: Arrays) -> mx.array:
        cast = [(name, array.astype(compute_type())) for name, array in trained.items()]
        model.update(tree_unflatten(cast))
        return (next_token_loss(model(ids).astype(mx.float32), ids) * counted).mean()

    def rounded(joined: Arrays, changes: Arrays) -> mx.array:
        made = grids.round(joined, changes, compute_type())
        return mx.stack([array.sum() for array in made.values()]).sum()

    def update(weights: Arrays) -> Callable[[Arrays], Arrays]:
        optimizer = optim.AdamW(1e-6)
        optimizer.init(weights)

        def run(weights: Arrays) -> Arrays:
            gradients, _ = optim.clip_grad_norm(weights, 1.0)
            return optimizer.apply_gradients(gradients, weights)

        return run

    parts: dict[str, tuple[Callable[..., Any], tuple[Any, ...]]] = {
        "forward": (loss, (trained,)),
        "forward and backward": (mx.value_and_grad(loss), (trained,)),
        "rounding": (rounded, (joined, changes)),
        "rounding, forward and backward": (
            mx.value_and_grad(rounded, argnums=(0, 1)), (joined, changes)
        ),
        "update of each weight": (update(trained), (trained,)),
        "update of joined weights": (update(joined), (joined,)),
        **{
            f"attention of all layers{name}": (run, arguments)
            for name, run, arguments in _attention(state.model, ids.shape)
        },
    }  # fmt: skip
    figures = _medians(
        state, {name: _timed(mx.compile(run), *given) for name, (run, given) in parts.items()}
    )
    _note(state, STEP_PARTS, batch, figures)


def _attention(model: Any, shape: tuple[int, ...]) -> list[tuple[str, Any, tuple[Any, ...]]]:
    """Attention alone, forward and with gradients, of as many layers as the model has."""
    settings = model.args
    heads = (settings.num_attention_heads, *2 * [settings.num_key_value_heads])
    inputs = [
        mx.random.normal((shape[0], count, shape[1], settings.head_dim)).astype(compute_type())
        for count in heads
    ]

    def forward(q: mx.array, k: mx.array, v: mx.array) -> mx.array:
        for _ in model.layers:
            q = mx.fast.scaled_dot_product_attention(q, k, v, scale=0.125, mask="causal")
        return q.astype(mx.float32).sum()

    return [
        ("", forward, tuple(inputs)),
        (", forward and backward", mx.value_and_grad(forward, argnums=(0, 1, 2)), tuple(inputs)),
    ]


def _timed(run: Callable[..., Any], *arguments: Any) -> Callable[[], float]:
    def once() -> float:
        began = time.perf_counter()
        mx.eval(run(*arguments))
        return time.perf_counter() - began

    return once


def _medians(state: Run, timed: Mapping[str, Callable[[], float]]) -> dict[str, float]:
    for name, once in timed.items():
        state.report(f"{name}: {once():.1f} s at first, {once():.4f} then")  # it compiles kernels
    times: dict[str, list[float]] = {name: [] for name in timed}
    for _ in range(_TIMED_STEPS):  # in turn, so that a busy moment meets all alike
        for name, once in timed.items():
            times[name].append(once())
    return {name: statistics.median(found) for name, found in times.items()}


def _note(state: Run, section: str, batch: TrainingBatch, figures: dict[str, float]) -> None:
    rows, length = batch.ids.shape
    state.note(section, f"{rows} rows of {length}", figures)
    for name, value in figures.items():
        state.report(f"{section}: {rows} rows of {length}: {name}: {value:.4f}")
