"""One row of the quality table: a quantized form of the model, measured on the same items."""

import json
import os
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_backends.models import rounded_inputs
from mlx_backends.quantization import ptq
from mlx_backends.quantization.config import QuantizationConfig
from mlx_backends.quantization.layers import arrays, describe
from mlx_backends.quantization.methods import apply, product_of, twin_of
from mlx_backends.quantization.quality import Item, measure, weight_errors
from mlx_backends.quantization.training_config import Start

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What to run.

    Attributes:
        collection: Real prose that ``train prepare`` wrote.
        original: Folder of the model before rounding; None unpacks the bundled one.
        items: Held-out items of a row of the table.
        folders: Quantized folders of the same model that are rows too, under their names.
        only: Parts of names of rows; all if empty.
        training_seconds: For each training; the control takes as many steps.
        batch_tokens: Padded tokens of a training step.
        calibration_rows: Of 512 tokens.
        processes: That make training data.
        learning_rate: Peak at 2 bits; 3 bits and the control take half.
        start: Weights that trainings begin with, as in ``TrainingConfig``.
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
    learning_rate: float = 2e-3
    start: Start = "gptq"
    seconds: float = 1e9
    json_path: Path | None = None

    def asks(self, name: str) -> bool:
        """Whether a row is asked for."""
        return not self.only or any(part in name for part in self.only)


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
        is_asked = self.options.asks(name)
        has_time = time.perf_counter() - self.started < self.options.seconds
        if is_asked and not has_time:
            self.report(f"{name}: left out, no time")
        return is_asked and has_time

    def note(self, section: str, name: str, figures: Mapping[str, Any]) -> None:
        """Keep figures, and write all so far."""
        self.record.setdefault(section, {})[name] = dict(figures)
        if self.options.json_path:
            self.options.json_path.write_text(json.dumps(self.record, indent=1) + "\n", "utf-8")


def quantized_row(state: Run, name: str, config: QuantizationConfig, model: Any = None) -> None:
    """Quantize, and measure as ``packed_row`` does."""
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
    packed_row(state, name, twin, settings, quantize_s=seconds)


def packed_row(state: Run, name: str, twin: Any, settings: dict[str, Any], **facts: Any) -> None:
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
    row(
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


def row(state: Run, name: str, model: Any, **facts: Any) -> None:
    if not state.wants(name):
        return
    began = time.perf_counter()
    quality = measure(model, state.items, reference=state.model)
    figures = asdict(quality) | facts | {"measure_s": time.perf_counter() - began}
    if "num_bytes" in facts:
        figures["bits_per_weight"] = facts["num_bytes"] * 8 / num_weights(state.model)
    state.note("rows", name, figures)
    size = f"{facts['num_bytes'] / 1e6:6.2f} MB" if "num_bytes" in facts else ""
    state.report(
        f"{name:<34} {size:>10}  exact match {quality.exact_match:.3f}  "
        f"ppl {quality.answer_perplexity:.4f} / {quality.perplexity:.3f}  "
        f"KL {quality.divergence:.5f}"
    )
    mx.clear_cache()


def num_weights(model: Any) -> int:
    return sum(array.size for _, array in arrays(model))
