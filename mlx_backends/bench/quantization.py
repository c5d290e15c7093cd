"""What each way of quantizing costs the bundled chat model, and what a training step costs.

One table from one command: every row is the same model on the same held-out items. Rounding to
nearest, calibrated rounding, rounded activations and KV entries, quantization-aware training, and
its control: as many further steps in full precision, then rounding.
"""

import argparse
import gc
import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import mlx.core as mx

from mlx_backends import bundled
from mlx_backends.bench import quantization_data as data
from mlx_backends.bench import quantization_rows as rows
from mlx_backends.bench.quantization_row import Options, Report, Run
from mlx_backends.bench.quantization_training import step_rows, training_rows, training_tokens
from mlx_backends.bench.record import environment
from mlx_backends.errors import ConfigError
from mlx_backends.models.loader import read_model
from mlx_backends.quantization import ptq
from mlx_backends.quantization.quality import Item
from mlx_backends.quantization.training_config import Start

_CALIBRATION_LENGTH = 512
# Sections of a record whose entries have names.
_NAMED = ("rows", "trainings", "step times", "step parts", "errors")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add this benchmark's options."""
    add = parser.add_argument
    add("--collection", type=Path, default=Path("build/bundled/prose.json.gz"),
        help="what `python -m mlx_backends.bundled.train prepare` wrote")  # fmt: skip
    add("--original", type=Path, help="folder of the model before rounding")
    add("--items", type=int, default=1_000, help="held-out items of a row")
    add("--folders", nargs="*", type=Path, default=[], help="quantized folders, as further rows")
    add("--only", nargs="*", default=[], metavar="TEXT", help="rows with one of these in the name")
    add("--training-seconds", type=float, default=80.0, help="of each training")
    add("--batch-tokens", type=int, default=32_768, help="padded tokens of a training step")
    add("--calibration-rows", type=int, default=64, help="of 512 tokens")
    add("--processes", type=int, help="that make training data")
    add("--learning-rate", type=float, default=2e-3, help="peak at 2 bits")
    add("--start", choices=get_args(Start), default="gptq", help="what trainings begin with")
    add("--seconds", type=float, default=1e9, help="no new row begins after so long")
    add("--json", type=Path, help="write the figures here, after every row")
    add("--plot", type=Path, help="write a PNG here: exact match by bits a weight")
    add("--read", nargs="*", type=Path, default=[], metavar="JSON",
        help="put the table together from files of earlier runs, instead of measuring")  # fmt: skip


def run(arguments: argparse.Namespace, report: Report) -> int:
    """Measure, or read, and print the table; returns the exit status."""
    if arguments.read:
        try:
            record = read_records(arguments.read)
        except ConfigError as error:
            report(str(error))
            return 2
        if arguments.json:
            arguments.json.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    else:
        record = measure_all(_options(arguments), report)
    for line in table(record):
        report(line)
    if arguments.plot:
        from mlx_backends.bench.quantization_plot import draw

        draw(record.get("rows", {}), arguments.plot)
    return 0


def read_records(paths: Sequence[Path]) -> dict[str, Any]:
    """Records of parts of the table as one; a row that several have is taken from the last.

    Raises:
        ConfigError: A file is not a record, or they were measured on different models or numbers
            of items.
    """
    records = [_record(path) for path in paths]
    if len({(record.get("items"), record.get("reference")) for record in records}) > 1:
        raise ConfigError(
            "The files were measured on other items, or another model, than the rest."
        )
    whole: dict[str, Any] = {}
    for record in records:
        for section, content in record.items():
            is_named = isinstance(content, dict) and section in _NAMED
            whole[section] = whole.get(section, {}) | content if is_named else content
    return whole


def _record(path: Path) -> dict[str, Any]:
    try:
        record = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path} cannot be read as JSON: {error}.") from error
    if not isinstance(record, dict):
        raise ConfigError(f"{path} is no record of this benchmark.")
    return record


def _options(arguments: argparse.Namespace) -> Options:
    names = {item.name for item in fields(Options)}
    given: dict[str, Any] = {
        name: value
        for name, value in vars(arguments).items()
        if name in names and value is not None
    }
    lists: dict[str, Any] = {"only": tuple(arguments.only), "folders": tuple(arguments.folders)}
    return Options(**given | lists | {"json_path": arguments.json})


def measure_all(options: Options, report: Report) -> dict[str, Any]:
    """Measure every row; a row that fails is noted with its error and the others go on."""
    started = time.perf_counter()
    tokens = training_tokens(options)
    training = data.TrainingData(options.collection, tokens, options.processes) if tokens else None
    held_out = data.held_out_items(options.collection, options.items)
    items = [Item(item.ids, item.start, item.row) for item in held_out]
    calibration = data.calibration_rows(
        options.collection, options.calibration_rows, _CALIBRATION_LENGTH
    )
    state = Run(options, report, _original(options), items, mx.array(calibration), started)
    is_gpu = mx.default_device() == mx.Device(mx.gpu)
    state.record["environment"] = environment(is_gpu)
    state.record["reference"] = (
        str(options.original) if options.original else "bundled chat model, unpacked from 4 bits"
    )
    state.record["items"] = len(items)
    _guarded(state, "rounding", lambda: rows.rounding_rows(state))
    if training:
        batches = training.batches(options.batch_tokens)
        report(f"{len(batches)} training batches of {options.batch_tokens} padded tokens")
        _guarded(state, "training", lambda: training_rows(state, batches))
    _guarded(state, "step times", lambda: step_rows(state))
    _guarded(state, "folders", lambda: rows.folder_rows(state))
    _guarded(state, "calibrated", lambda: rows.calibrated_rows(state))
    _guarded(state, "formats", lambda: rows.format_rows(state))
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
