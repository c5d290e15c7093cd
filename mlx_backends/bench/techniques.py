"""``bench techniques``: what each way of making inference cheaper gains and costs on one model.

Every figure is measured when the command runs, through the engine, on this machine and this model;
the last row repeats the first, and their difference is what a difference may be worth here.
"""

import argparse
import gc
import json
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, get_args

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

from mlx_backends import registry
from mlx_backends.bench import sample_text, step
from mlx_backends.bench.random_model import SHAPES, make_model
from mlx_backends.bench.record import environment
from mlx_backends.config import Device, EngineConfig
from mlx_backends.core import SamplingParams
from mlx_backends.engine.engine import Engine
from mlx_backends.errors import MLXBackendsError
from mlx_backends.models.loader import load_language_model, read_model
from mlx_backends.models.source import model_folder
from mlx_backends.quantization import QuantizationConfig, ptq, quantize_model
from mlx_backends.quantization.quality import Item, Quality, measure
from mlx_backends.quantization.training_config import TrainingConfig
from mlx_backends.sparsity import prune, save_model, to_sparse
from mlx_backends.text.tokenizer import Tokenizer

BASELINE = "as it is, unpacked"
_FEW, _MORE = 4, 36
_ITEM_TOKENS, _NUM_ITEMS, _NUM_CALIBRATION = 192, 8, 8
_PROMPT_TOKENS = 256
# The lecture's table in words of our own: what it is for, and what it takes.
WHEN = {
    "quantization": ("memory or bandwidth is the limit", "accuracy, from about 4 bits down"),
    "compilation and fusion": ("always; small models gain most", "time at the first step"),
    "memory": ("prompts that begin alike; many sequences", "memory that is held"),
    "sparsity": ("a model that bears pruning, and a form that pays here", "accuracy; training"),
    "custom kernels": ("one operation dominates, on a device that has them", "code to maintain"),
    "quantization-aware training": ("2 to 3 bits lose too much", "data and training time"),
}


@dataclass(frozen=True, slots=True)
class Row:
    """One technique on the model.

    Attributes:
        technique: Key of ``WHEN``.
        variant: What exactly was done.
        figures: By name; those that were not measured are absent.
        note: What a reader has to know.
    """

    technique: str
    variant: str
    figures: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True, slots=True)
class Options:
    """What to measure.

    Attributes:
        model: Folder, Hub id or ``bundled``.
        device: As in ``EngineConfig``.
        shape: Name of a shape with random weights, which has speed and size but no quality.
        only: Parts of techniques' names; all if empty.
        skip: Parts of variants' names that are left out.
        text: File of texts for calibration and quality; None is this package's documentation.
        rounds: Timed answers of a row.
        qat_steps: Steps of quantization-aware training; 0 leaves it out.
    """

    model: str = "bundled"
    device: Device = "auto"
    shape: str | None = None
    only: tuple[str, ...] = ()
    skip: tuple[str, ...] = ()
    text: Path | None = None
    rounds: int = 3
    qat_steps: int = 0


class Bench:
    """One run: the unpacked model in a folder of its own, and what it is compared with."""

    def __init__(self, options: Options, scratch: Path) -> None:
        self.options = options
        self.scratch = scratch
        self.source = _source(options, scratch)
        self.folder = scratch / "plain"
        ids = self._ids()
        rows = [ids[i : i + _ITEM_TOKENS] for i in range(0, len(ids), _ITEM_TOKENS)]
        rows = [row for row in rows if len(row) == _ITEM_TOKENS]
        self.items = [Item(row, 1) for row in rows[0::2][:_NUM_ITEMS]]
        self.calibration = mx.array(rows[1::2][:_NUM_CALIBRATION])
        self.prompt = ids[:_PROMPT_TOKENS]
        self._turn = 0
        self._write_plain()
        self.reference = None if options.shape else self._model(self.folder)

    def _ids(self) -> list[int]:
        """Tokens of the text; random ones where the model has no real vocabulary."""
        if self.options.shape:
            count = 2 * _ITEM_TOKENS * max(_NUM_ITEMS, _NUM_CALIBRATION)
            size = SHAPES[self.options.shape].vocab_size
            return np.random.default_rng(0).integers(size, size=count).tolist()
        text = sample_text.read(self.options.text)
        return Tokenizer.from_folder(self.source).encode(text)

    def _write_plain(self) -> None:
        """The model without quantization, as a folder."""
        model, _ = read_model(self.source)
        ptq.unpack(model)
        save_model(model, self.source, self.folder)

    def _model(self, folder: Path) -> Any:
        return load_language_model(
            folder, device=self.options.device, dtype="auto", memory_limit_bytes=None
        ).model

    def rows(self, technique: str, variants: Mapping[str, Callable[[Path], Any]]) -> Iterator[Row]:
        """The variants that are not to be left out, one after the other."""
        for variant, make in variants.items():
            if not any(part in variant for part in self.options.skip):
                yield self.row(technique, variant, make)

    def row(self, technique: str, variant: str, make: Callable[[Path], Any] | None = None) -> Row:
        """Make a variant's folder and measure it; a variant that fails says why."""
        folder = self.folder if make is None else self.scratch / f"variant-{time.time_ns()}"
        figures: dict[str, float] = {}
        try:
            if make is not None:
                started = time.perf_counter()
                make(folder)
                figures["made in, s"] = time.perf_counter() - started
            figures |= self._sizes(folder) | self._quality(folder) | self._speed(folder)
        except MLXBackendsError as error:
            return Row(technique, variant, figures, f"not measured: {error!s:.200}")
        return Row(technique, variant, figures)

    def _sizes(self, folder: Path) -> dict[str, float]:
        weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
        return {"weights, MB": weights / 1e6}

    def _quality(self, folder: Path) -> dict[str, float]:
        if self.reference is None:
            return {}
        found: Quality = measure(self._model(folder), self.items, self.reference)
        assert found.divergence is not None
        return {"perplexity": found.perplexity, "divergence, nats": found.divergence}

    def _speed(self, folder: Path) -> dict[str, float]:
        registry.close_all()
        gc.collect()
        mx.clear_cache()
        before = mx.get_active_memory()
        mx.reset_peak_memory()
        with self.engine(folder) as engine:
            figures = self.speed_of(engine)
        figures["peak memory, MB"] = (mx.get_peak_memory() - before) / 1e6
        return figures

    def engine(self, folder: Path) -> Engine:
        return Engine(EngineConfig(model=str(folder), device=self.options.device))

    def speed_of(self, engine: Engine) -> dict[str, float]:
        """Tokens a second of prefill and decode, medians; every prompt is new."""
        self.answer(engine, self.new_prompt(), _MORE)
        prefills, decodes = [], []
        for _ in range(self.options.rounds):
            prompt = self.new_prompt()
            first_s, total_s = self.answer(engine, prompt, _MORE)
            prefills.append(len(prompt) / first_s)
            decodes.append((_MORE - 1) / (total_s - first_s))
        return {
            "prefill, tokens/s": statistics.median(prefills),
            "decode, tokens/s": statistics.median(decodes),
        }

    def new_prompt(self) -> list[int]:
        """The prompt, turned by one more token, so that no engine has met its beginning."""
        self._turn = (self._turn + 1) % len(self.prompt)
        return self.prompt[self._turn :] + self.prompt[: self._turn]

    @staticmethod
    def answer(engine: Engine, prompt: list[int], count: int) -> tuple[float, float]:
        """Seconds to the first token and to the last."""
        params = SamplingParams(temperature=0.0, max_tokens=count, ignore_eos=True)
        metrics = engine.submit(prompt, params).result().metrics
        assert metrics is not None
        return metrics.time_to_first_token_s, metrics.total_s

    def quantized(self, **options: Any) -> Callable[[Path], Any]:
        config = QuantizationConfig(**options)
        return lambda folder: quantize_model(self.folder, folder, config)

    def pruned(self, method: Any, pattern: Any) -> Callable[[Path], Any]:
        def make(folder: Path) -> None:
            model, _ = read_model(self.folder)
            parameters: list[Any] = [array for _, array in tree_flatten(model.parameters())]
            stored = next(a.dtype for a in parameters if mx.issubdtype(a.dtype, mx.floating))
            model.set_dtype(mx.float32)  # what a CPU computes fastest, for the calibration
            prune(model, method, 0.5, pattern, calibration_data=self.calibration)
            model.set_dtype(stored)
            to_sparse(model, pattern)
            save_model(model, self.folder, folder)

        return make


def _source(options: Options, scratch: Path) -> Path:
    if options.shape is None:
        return model_folder(options.model, "lm")
    make_model(SHAPES[options.shape], scratch / "source")
    return scratch / "source"


def measure_all(options: Options) -> Iterator[Row]:
    """Measure row after row; blocks for seconds to minutes between them."""
    with tempfile.TemporaryDirectory(prefix="mlx-backends-techniques-") as scratch:
        bench = Bench(options, Path(scratch))
        sections: dict[str, Callable[[Bench], Iterator[Row]]] = {
            "quantization": _quantization,
            "compilation and fusion": _compilation,
            "memory": _memory,
            "sparsity": _sparsity,
            "custom kernels": _kernels,
            "quantization-aware training": _training,
        }
        yield bench.row("none", BASELINE)
        for name, section in sections.items():
            if not options.only or any(part in name for part in options.only):
                yield from section(bench)
        yield bench.row("none", f"{BASELINE}, again")


def _quantization(bench: Bench) -> Iterator[Row]:
    data = [bench.calibration]
    variants: dict[str, dict[str, Any]] = {
        "weights 8 bits": {"weight_bits": 8},
        "weights 4 bits": {"weight_bits": 4},
        "weights 4 bits, GPTQ": {
            "weight_bits": 4,
            "algorithm": "gptq",
            "calibration_data": data,
        },
        "weights and activations 8 bits, dynamic": {"weight_bits": 8, "method": "dynamic"},
        "weights and activations 8 bits, static": {
            "weight_bits": 8,
            "method": "static",
            "calibration_data": data,
        },
    }
    makes = {variant: bench.quantized(**options) for variant, options in variants.items()}
    return bench.rows("quantization", makes)


def _compilation(bench: Bench) -> Iterator[Row]:
    found = step.profile(
        str(bench.folder), device=bench.options.device, rounds=bench.options.rounds
    )
    for variant, side in (("mx.compile off", found.plain), ("mx.compile on", found.compiled)):
        yield Row(
            "compilation and fusion",
            variant,
            {
                "decode, tokens/s": 1e3 / side.step_ms,
                "operations a token": side.operations,
                "host time a token, ms": side.host_ms,
            },
        )


def _memory(bench: Bench) -> Iterator[Row]:
    with bench.engine(bench.folder) as engine:
        bench.answer(engine, bench.new_prompt(), 2)
        news, seens = [], []
        for _ in range(bench.options.rounds):
            prompt = bench.new_prompt()
            news.append(bench.answer(engine, prompt, 2)[0])
            seens.append(bench.answer(engine, prompt, 2)[0])
        for variant, times in (("a prompt that is new", news), ("the same prompt again", seens)):
            figures = {"first token, ms": 1e3 * statistics.median(times)}
            yield Row("memory", f"blocks of keys and values: {variant}", figures)
        held = mx.set_cache_limit(0)
        try:
            nothing = bench.speed_of(engine)
        finally:
            mx.set_cache_limit(held)
        yield Row("memory", "freed buffers: none held back", nothing)
        kept = bench.speed_of(engine)
        yield Row("memory", f"freed buffers: {held >> 20} MiB held back", kept)


def _sparsity(bench: Bench) -> Iterator[Row]:
    patterns = {
        "half the weights, Wanda": "unstructured",
        "half in blocks of 32, Wanda": "block",
        "two of each four, Wanda": "2:4",
    }
    makes = {variant: bench.pruned("wanda", pattern) for variant, pattern in patterns.items()}
    return bench.rows("sparsity", makes)


def _kernels(bench: Bench) -> Iterator[Row]:
    is_gpu = bench.options.device != "cpu" and mx.is_available(mx.gpu)
    ours = "paged attention and fused steps" if is_gpu else "own layers and BLAS calls for a CPU"
    with bench.engine(bench.folder) as engine:
        yield Row("custom kernels", f"this engine: {ours}", bench.speed_of(engine))
    with _default_device(is_gpu):
        figures = _mlx_lm(bench, None if is_gpu else mx.float32)
    yield Row("custom kernels", "the same weights in mlx-lm's own loop", figures)


@contextmanager
def _default_device(is_gpu: bool) -> Iterator[None]:
    before = mx.default_device()
    mx.set_default_device(mx.Device(mx.gpu if is_gpu else mx.cpu))
    try:
        yield
    finally:
        mx.set_default_device(before)


def _mlx_lm(bench: Bench, dtype: mx.Dtype | None) -> dict[str, float]:
    """mlx-lm's ``generate_step`` on the plain model, in the type that the engine runs it in."""
    from mlx_lm.generate import generate_step

    model, _ = read_model(bench.folder)
    if dtype is not None:
        model.set_dtype(dtype)
    mx.eval(model.parameters())
    prefills, decodes = [], []
    for _ in range(bench.options.rounds + 1):
        prompt = mx.array(bench.new_prompt())
        started = time.perf_counter()
        steps = generate_step(prompt, model, max_tokens=_MORE)
        times = [time.perf_counter() - started for _ in steps]
        prefills.append(prompt.size / times[0])
        decodes.append((len(times) - 1) / (times[-1] - times[0]))
    return {
        "prefill, tokens/s": statistics.median(prefills[1:]),
        "decode, tokens/s": statistics.median(decodes[1:]),
    }


def _training(bench: Bench) -> Iterator[Row]:
    name, steps = "quantization-aware training", bench.options.qat_steps
    rounded = {"weight_bits": 3, "embedding_bits": 4}
    if not steps:
        yield Row(name, "3 bits", note="not run: --qat-steps 200 trains on the text")
        return
    yield bench.row(name, "weights 3 bits, rounded", bench.quantized(**rounded))
    trained = bench.quantized(
        **rounded,
        method="qat",
        calibration_data=[bench.calibration],
        training=TrainingConfig(steps=steps),
    )
    yield bench.row(name, f"weights 3 bits, {steps} steps of training", trained)


COLUMNS = (
    ("decode, tokens/s", "decode t/s", ",.1f"),
    ("prefill, tokens/s", "prefill t/s", ",.0f"),
    ("weights, MB", "weights MB", ",.1f"),
    ("peak memory, MB", "peak MB", ",.0f"),
    ("perplexity", "perplexity", ",.2f"),
    ("divergence, nats", "divergence", ".4f"),
)


def table(rows: list[Row]) -> str:
    """Plain text: a line for each row, and for each technique what it is for and what it costs."""
    width = max(len(row.variant) for row in rows) + 2
    lines = [" " * width + "".join(f"{label:>12}" for _, label, _ in COLUMNS)]
    technique = ""
    for row in rows:
        if row.technique != technique and row.technique in WHEN:
            when, cost = WHEN[row.technique]
            lines.append(f"{row.technique}: when {when}; costs {cost}")
        technique = row.technique
        lines.append(_line(row, width))
    return "\n".join(lines) + "\n"


def _line(row: Row, width: int) -> str:
    shown = {name for name, _, _ in COLUMNS}
    cells = [
        format(row.figures[name], style) if name in row.figures else ""
        for name, _, style in COLUMNS
    ]
    others = [f"{name} {value:,.1f}" for name, value in row.figures.items() if name not in shown]
    rest = "; ".join([*others, *([row.note] if row.note else [])])
    return f"{row.variant:<{width}}" + "".join(f"{cell:>12}" for cell in cells) + f"  {rest}"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``bench techniques``."""
    parser.add_argument("model", nargs="?", default="bundled", help="folder or Hub id")
    parser.add_argument("--shape", choices=tuple(SHAPES), help="random weights instead")
    parser.add_argument("--device", choices=get_args(Device), default="auto")
    parser.add_argument("--only", action="append", default=[], help="part of a technique's name")
    parser.add_argument("--skip", action="append", default=[], help="part of a variant's name")
    parser.add_argument("--text", type=Path, help="texts for calibration and quality")
    parser.add_argument("--rounds", type=int, default=3, help="timed answers of a row")
    parser.add_argument("--qat-steps", type=int, default=0, help="train for so many steps")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--plot", type=Path, help="write a PNG here")


def run(options: argparse.Namespace, report: Callable[[str], None]) -> int:
    """Run ``bench techniques``; returns the exit status."""
    asked = Options(
        model=options.model,
        shape=options.shape,
        device=options.device,
        only=tuple(options.only),
        skip=tuple(options.skip),
        text=options.text,
        rounds=max(options.rounds, 1),
        qat_steps=max(options.qat_steps, 0),
    )
    is_gpu = asked.device != "cpu" and mx.is_available(mx.gpu)
    rows: list[Row] = []
    for row in measure_all(asked):
        rows.append(row)
        report(_line(row, 44))
        if options.json:
            content = {"environment": environment(is_gpu), "rows": [asdict(r) for r in rows]}
            text = json.dumps(
                {"model": asked.shape or asked.model, **content, "when": WHEN}, indent=1
            )
            options.json.write_text(text + "\n", encoding="utf-8")
    report(f"\n{asked.shape or asked.model}\n{table(rows)}")
    if options.plot:
        from mlx_backends.bench.techniques_plot import draw

        draw(rows, options.plot)
    return 0
