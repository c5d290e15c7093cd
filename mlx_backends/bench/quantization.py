"""What each way of quantizing costs the bundled chat model, and what a training step costs.

One table from one command: every row is the same model on the same held-out items. Rounding to
nearest, calibrated rounding, rounded activations and KV entries, quantization-aware training, and
its control: as many further steps in full precision, then rounding.
"""

import argparse
import gc
import json
import os
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

import mlx.core as mx
import mlx.optimizers as optim
from mlx.utils import tree_unflatten

from mlx_backends import bundled
from mlx_backends.bench import quantization_data as data
from mlx_backends.bench.record import environment
from mlx_backends.kernels.pool import QuantizedPool, default_group_size
from mlx_backends.kernels.reference import dequantize, quantize
from mlx_backends.models import rounded_inputs
from mlx_backends.models.loader import read_model
from mlx_backends.quantization import ptq
from mlx_backends.quantization.config import Algorithm, QuantizationConfig
from mlx_backends.quantization.grids import Grids
from mlx_backends.quantization.layers import arrays, describe
from mlx_backends.quantization.methods import apply, product_of, twin_of
from mlx_backends.quantization.qat import compute_type, grids_of, train
from mlx_backends.quantization.quality import Item, measure, weight_errors
from mlx_backends.quantization.trained_weights import FullWeights
from mlx_backends.quantization.training_config import TrainingConfig
from mlx_backends.quantization.training_data import BatchOf, TrainingBatch
from mlx_backends.quantization.training_step import (
    TrainingStep,
    distillation_loss,
    next_token_loss,
)

Report = Callable[[str], None]
_CALIBRATION_LENGTH = 512
# In both embeddings and head, of the rows at 2 and 3 bits: the same for every method.
_EMBEDDING_BITS = 4
_TIMED_STEPS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to run.

    Attributes:
        collection: Real prose that ``train prepare`` wrote.
        original: Folder of the model before rounding; None unpacks the bundled one.
        items: Held-out items of a row of the table.
        folders: Quantized folders of the same model that are rows too, under their names.
        only: Parts of names of rows; all if empty.
        training_seconds: For the training at 2 bits, at 3 bits takes half, the control as many
            steps.
        batch_tokens: Padded tokens of a training step.
        calibration_rows: Of 512 tokens.
        processes: That make training data.
        learning_rate: Peak at 2 bits; 3 bits and the control take half.
        seconds: No new row begins after so long.
        json_path: Written after every row.
    """

    collection: Path
    original: Path | None = None
    items: int = 1_000
    folders: tuple[Path, ...] = ()
    only: tuple[str, ...] = ()
    training_seconds: float = 80.0
    batch_tokens: int = 32_768
    calibration_rows: int = 64
    processes: int = max(1, (os.cpu_count() or 1) - 2)
    learning_rate: float = 1e-3
    seconds: float = 1e9
    json_path: Path | None = None


@dataclass(slots=True)
class Run:
    """One run: what it works with, and what it has found.

    Attributes:
        model: The original, in float32.
        items: Held-out.
        calibration: Token ids of the training side, (rows, length).
        record: What is written.
    """

    options: Options
    report: Report
    model: Any
    items: list[Item]
    calibration: mx.array
    started: float
    record: dict[str, Any] = field(default_factory=dict)

    def wants(self, name: str) -> bool:
        """Whether a row is asked for and there is time."""
        is_asked = not self.options.only or any(part in name for part in self.options.only)
        has_time = time.perf_counter() - self.started < self.options.seconds
        if is_asked and not has_time:
            self.report(f"{name}: left out, no time")
        return is_asked and has_time

    def note(self, section: str, name: str, figures: Mapping[str, Any]) -> None:
        """Keep figures, and write all so far."""
        self.record.setdefault(section, {})[name] = dict(figures)
        if self.options.json_path:
            self.options.json_path.write_text(json.dumps(self.record, indent=1) + "\n", "utf-8")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    add = parser.add_argument
    add("--collection", type=Path, default=Path("build/bundled/prose.json.gz"),
        help="what `python -m mlx_backends.bundled.train prepare` wrote")  # fmt: skip
    add("--original", type=Path, help="folder of the model before rounding")
    add("--items", type=int, default=1_000, help="held-out items of a row")
    add("--folders", nargs="*", type=Path, default=[], help="quantized folders, as further rows")
    add("--only", nargs="*", default=[], metavar="TEXT", help="rows with one of these in the name")
    add("--training-seconds", type=float, default=80.0, help="of the training at 2 bits")
    add("--batch-tokens", type=int, default=32_768, help="padded tokens of a training step")
    add("--calibration-rows", type=int, default=64, help="of 512 tokens")
    add("--processes", type=int, help="that make training data")
    add("--learning-rate", type=float, default=1e-3, help="peak at 2 bits")
    add("--seconds", type=float, default=1e9, help="no new row begins after so long")
    add("--json", type=Path, help="write the figures here, after every row")


def run(arguments: argparse.Namespace, report: Report) -> int:
    """Measure, and print the table."""
    names = {item.name for item in fields(Options)}
    given: dict[str, Any] = {
        name: value
        for name, value in vars(arguments).items()
        if name in names and value is not None
    }
    lists: dict[str, Any] = {"only": tuple(arguments.only), "folders": tuple(arguments.folders)}
    options = Options(**given | lists | {"json_path": arguments.json})
    for line in table(measure_all(options, report)):
        report(line)
    return 0


def measure_all(options: Options, report: Report) -> dict[str, Any]:
    """Measure every row; a row that fails is noted with its error and the others go on."""
    started = time.perf_counter()
    tokens = int(options.training_seconds * 400_000)  # of which the device may not use all
    training = data.TrainingData(options.collection, tokens, options.processes)
    held_out = data.held_out_items(options.collection, options.items)
    items = [Item(item.ids, item.start, item.row) for item in held_out]
    rows = data.calibration_rows(options.collection, options.calibration_rows, _CALIBRATION_LENGTH)
    state = Run(options, report, _original(options), items, mx.array(rows), started)
    is_gpu = mx.default_device() == mx.Device(mx.gpu)
    state.record["environment"] = environment(is_gpu)
    state.record["reference"] = (
        str(options.original) if options.original else "bundled chat model, unpacked from 4 bits"
    )
    state.record["items"] = len(items)
    _guarded(state, "rounding", lambda: _rounding_rows(state))
    batches = training.batches(options.batch_tokens)
    report(f"{len(batches)} training batches of {options.batch_tokens} padded tokens")
    _guarded(state, "training", lambda: _training_rows(state, batches))
    _guarded(state, "step times", lambda: _step_times(state, batches))
    _guarded(state, "folders", lambda: _folder_rows(state))
    _guarded(state, "calibrated", lambda: _calibrated_rows(state))
    _guarded(state, "formats", lambda: _format_rows(state))
    _guarded(state, "AWQ", lambda: _awq_rows(state))
    state.note("total", "seconds", {"seconds": time.perf_counter() - started})
    return state.record


def _guarded(state: Run, name: str, work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as error:  # one part's fault leaves the others' figures
        state.report(f"{name}: {type(error).__name__}: {error}")
        state.note("errors", name, {"error": f"{type(error).__name__}: {error}"})
    gc.collect()
    mx.clear_cache()


def _original(options: Options) -> Any:
    model, _ = read_model(options.original or bundled.path("lm"))
    ptq.unpack(model)
    model.set_dtype(mx.bfloat16)  # what rounding starts from
    model.set_dtype(mx.float32)
    mx.eval(model.parameters())
    return model


# ---------------------------------------------------------------- rows without training


def _rounding_rows(state: Run) -> None:
    _row(state, "fp32", state.model, num_bytes=4 * _num_weights(state.model))
    if state.wants("bf16"):
        twin = twin_of(state.model)
        twin.set_dtype(mx.bfloat16)
        _row(state, "bf16", twin, num_bytes=2 * _num_weights(state.model))
    for bits in (8, 6, 5, 4, 3, 2):
        _quantized_row(
            state, f"{bits} bits, to nearest", _low(QuantizationConfig(weight_bits=bits))
        )
    for bits in (4, 3, 2):
        config = QuantizationConfig(weight_bits=bits, algorithm="search")
        _quantized_row(state, f"{bits} bits, searched", _low(config))
    for mode in ("mxfp8", "nvfp4", "mxfp4"):
        _quantized_row(state, mode, QuantizationConfig(mode=mode))
    dynamic = QuantizationConfig(method="dynamic", weight_bits=8)
    _quantized_row(state, "W8A8 dynamic", dynamic)
    for observer in ("minmax", "percentile", "mse"):
        config = QuantizationConfig(
            method="static", weight_bits=8, observer=observer, calibration_data=state.calibration
        )
        _quantized_row(state, f"W8A8 static, {observer}", config)
    config = QuantizationConfig(
        method="static", weight_bits=8, smooth=False, calibration_data=state.calibration
    )
    _quantized_row(state, "W8A8 static, minmax, not smoothed", config)
    few = state.calibration[:1, :8]
    wrong = mx.random.randint(0, 4_096, (16, 512), key=mx.random.key(0))
    for name, rows in (("8 tokens", few), ("random tokens", wrong)):
        config = QuantizationConfig(
            method="static", weight_bits=8, observer="minmax", calibration_data=rows
        )
        _quantized_row(state, f"W8A8 static, minmax on {name}", config)
    for name, key_bits, value_bits in (("int8 KV", 8, 8), ("int4 KV, keys 8", 8, 4)):
        caches = [_RoundedEntries(key_bits, value_bits) for _ in state.model.layers]
        _row(state, name, _WithCaches(state.model, caches))


def _folder_rows(state: Run) -> None:
    for folder in state.options.folders:
        if state.wants(folder.name):
            model, settings = read_model(folder)
            keys = ("quantization", rounded_inputs.KEY, rounded_inputs.NATIVE_KEY)
            kept = {key: settings[key] for key in keys if settings.get(key)}
            _packed_row(state, folder.name, model, kept)


def _format_rows(state: Run) -> None:
    for mode in ("mxfp8", "nvfp4"):
        config = QuantizationConfig(method="dynamic", mode=mode)
        _quantized_row(state, f"{mode}, activations too", config)


def _calibrated_rows(state: Run) -> None:
    for bits in (2, 4):
        _algorithm_row(state, bits, "gptq")
    config = QuantizationConfig(
        weight_bits=2, high_bits=4, target_bits=3.5, algorithm="mixed",
        calibration_data=state.calibration,
    )  # fmt: skip
    _quantized_row(state, "2 and 4 bits, mixed, 3.5 a weight", config)
    few = state.calibration[:1, :8]
    config = QuantizationConfig(weight_bits=2, algorithm="gptq", calibration_data=few)
    _quantized_row(state, "2 bits, GPTQ on 8 tokens", _low(config))


def _awq_rows(state: Run) -> None:
    """At the end: it multiplies packed matrices, for which MLX on CUDA first compiles a minute."""
    for bits in (3, 2, 4):
        _algorithm_row(state, bits, "awq")


def _algorithm_row(state: Run, bits: int, algorithm: Algorithm) -> None:
    config = QuantizationConfig(
        weight_bits=bits, algorithm=algorithm, calibration_data=state.calibration
    )
    _quantized_row(state, f"{bits} bits, {algorithm.upper()}", _low(config))


def _low(config: QuantizationConfig) -> QuantizationConfig:
    return replace(config, embedding_bits=_EMBEDDING_BITS) if config.bits < 4 else config


def _quantized_row(state: Run, name: str, config: QuantizationConfig, model: Any = None) -> None:
    """Quantize, and measure as ``_packed_row`` does."""
    if not state.wants(name):
        return
    began = time.perf_counter()
    twin = twin_of(model or state.model)
    if not config.needs_data:
        twin.set_dtype(mx.bfloat16)
    extra = apply(twin, config)
    rounded_inputs.uninstall(twin)
    twin.set_dtype(mx.bfloat16)
    settings = {**extra, "quantization": describe(twin, config)}
    seconds = time.perf_counter() - began
    _packed_row(state, name, twin, settings, quantize_s=seconds)


def _packed_row(state: Run, name: str, twin: Any, settings: dict[str, Any], **facts: Any) -> None:
    """Note the size, and measure with the weights unpacked, as the engine does on a CPU.

    So every row is computed by the same products.
    """
    rounded_inputs.replace_native(twin)
    num_bytes = sum(array.nbytes for _, array in arrays(twin))
    errors = weight_errors(twin, state.model)
    ptq.unpack(twin)
    twin.set_dtype(mx.float32)
    if set(settings) != {"quantization"}:
        rounded_inputs.install(twin, **_rounding_of(settings))
    mx.eval(twin.parameters())
    _row(
        state, name, twin, num_bytes=num_bytes,
        weight_error=statistics.fmean(errors.values()), layer_errors=errors,
        product=product_of(twin),
        **facts,
    )  # fmt: skip


def _rounding_of(settings: dict[str, Any]) -> dict[str, Any]:
    section = settings.get(rounded_inputs.KEY)
    if section is None:
        return {"scales": None, "mode": settings["quantization"]["mode"]}
    return {"scales": section.get("scales")}


def _row(state: Run, name: str, model: Any, **facts: Any) -> None:
    if not state.wants(name):
        return
    began = time.perf_counter()
    quality = measure(model, state.items, reference=state.model)
    figures = asdict(quality) | facts | {"measure_s": time.perf_counter() - began}
    if "num_bytes" in facts:
        figures["bits_per_weight"] = facts["num_bytes"] * 8 / _num_weights(state.model)
    state.note("rows", name, figures)
    size = f"{facts['num_bytes'] / 1e6:6.2f} MB" if "num_bytes" in facts else ""
    state.report(
        f"{name:<34} {size:>10}  exact match {quality.exact_match:.3f}  "
        f"ppl {quality.answer_perplexity:.4f} / {quality.perplexity:.3f}  "
        f"KL {quality.divergence:.5f}"
    )
    mx.clear_cache()


def _num_weights(model: Any) -> int:
    return sum(array.size for _, array in arrays(model))


class _RoundedEntries:
    """A KV cache for one pass over whole sequences, whose entries are rounded as the pool's are."""

    offset = 0

    def __init__(self, key_bits: int, value_bits: int) -> None:
        self._bits = key_bits, value_bits

    def make_mask(self, length: int, **_: Any) -> str:
        return "causal"

    def update_and_fetch(self, keys: mx.array, values: mx.array) -> tuple[mx.array, mx.array]:
        key_bits, value_bits = self._bits
        return _rounded(keys, key_bits), _rounded(values, value_bits)


def _rounded(rows: mx.array, bits: int) -> mx.array:
    group = default_group_size(rows.shape[-1])
    flat = rows.reshape(1, -1, rows.shape[-1])
    codes, affine = quantize(flat, bits, group)
    kept = dequantize(QuantizedPool(codes, affine, bits, group))
    return kept.reshape(rows.shape).astype(rows.dtype)


class _WithCaches:
    """A model called with the same caches each time."""

    def __init__(self, model: Any, caches: list[Any]) -> None:
        self._model, self._caches = model, caches

    def __call__(self, ids: mx.array) -> mx.array:
        return self._model(ids, cache=self._caches)


# ---------------------------------------------------------------- training


def _cycle(batches: list[Any]) -> BatchOf:
    def batch_of(step: int) -> TrainingBatch:
        ids, weights = batches[step % len(batches)]
        return TrainingBatch(mx.array(ids), mx.array(weights))

    return batch_of


def _qat_config(bits: int, steps: int, rate: float, loss: Any = "distillation") -> Any:
    return _low(
        QuantizationConfig(
            method="qat",
            weight_bits=bits,
            training=TrainingConfig(steps=steps, learning_rate=rate, loss=loss),
        )
    )


def _step_times(state: Run, batches: list[Any]) -> None:
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


def _training_rows(state: Run, batches: list[Any]) -> None:
    seconds, rate = state.options.training_seconds, state.options.learning_rate
    names = ("2 bits, QAT", "3 bits, QAT", "2 bits, control", "3 bits, control")
    if not any(state.wants(name) for name in names):
        return
    per_step = _seconds_a_step(state, batches)
    steps = {2: max(1, int(seconds / per_step)), 3: max(1, int(seconds / per_step / 2))}
    state.report(f"{per_step:.4f} s a distillation step, so {steps} steps")
    if state.wants("2 bits, QAT"):
        _trained_row(state, "2 bits, QAT", _qat_config(2, steps[2], rate), batches)
    if state.wants("3 bits, QAT"):
        _trained_row(state, "3 bits, QAT", _qat_config(3, steps[3], rate / 2), batches)
    if state.wants("control"):
        _control_rows(state, _qat_config(2, steps[2], rate / 2, "data"), batches)


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

    losses = train(
        twin, config, _cycle(batches), teacher=_teacher(state), stored=mx.bfloat16, on_step=on_step
    )
    figures = {
        "steps": config.training.steps,
        "batch_tokens": state.options.batch_tokens,
        "learning_rate": config.training.learning_rate,
        "loss": config.training.loss,
        "seconds": time.perf_counter() - began,
        "losses": losses[:: max(1, len(losses) // 50)],
        "last_loss": losses[-1],
    }
    state.note("trainings", name, figures)
    return twin


def _trained_row(state: Run, name: str, config: Any, batches: list[Any]) -> None:
    twin = _train(state, name, config, batches)
    _save(state, twin, name)
    _packed_row(state, name, twin, {"quantization": describe(twin, config)})


def _control_rows(state: Run, config: Any, batches: list[Any]) -> None:
    """As many steps on the data in full precision, then rounding to nearest."""
    twin = _train_exact(state, config, batches)
    _row(state, "control: further steps, not rounded", twin)
    for bits in (3, 2):
        name = f"{bits} bits, control (further steps, then to nearest)"
        _quantized_row(state, name, _low(QuantizationConfig(weight_bits=bits)), model=twin)


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


def table(record: dict[str, Any]) -> Iterator[str]:
    """Lines of a Markdown table of the rows."""
    yield "| weights | MB | bits a weight | exact match | answer perplexity | perplexity | KL |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for name, row in record.get("rows", {}).items():
        size = f"{row['num_bytes'] / 1e6:.2f}" if "num_bytes" in row else "-"
        bits = f"{row['bits_per_weight']:.2f}" if "bits_per_weight" in row else "-"
        yield (
            f"| {name} | {size} | {bits} | {row['exact_match']:.3f} | "
            f"{row['answer_perplexity']:.4f} | {row['perplexity']:.3f} | {row['divergence']:.5f} |"
        )
