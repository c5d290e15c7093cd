"""One model, its variants, and what is measured of each for ``bench techniques``."""

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx
import numpy as np
from mlx.utils import tree_flatten

from mlx_backends import registry
from mlx_backends.bench import sample_text
from mlx_backends.bench.random_model import SHAPES, make_model
from mlx_backends.bench.techniques_table import Row
from mlx_backends.config import CacheConfig, Device, EngineConfig
from mlx_backends.core import SamplingParams
from mlx_backends.engine.engine import Engine
from mlx_backends.errors import MLXBackendsError
from mlx_backends.models.loader import load_language_model, read_model
from mlx_backends.models.source import model_folder
from mlx_backends.quantization import QuantizationConfig, ptq, quantize_model
from mlx_backends.quantization.quality import Item, Quality, measure
from mlx_backends.sparsity import prune, save_model, to_sparse
from mlx_backends.text.tokenizer import Tokenizer

ANSWER_TOKENS = 36
_ITEM_TOKENS, _NUM_ITEMS, _NUM_CALIBRATION = 192, 8, 8
_PROMPT_TOKENS = 256


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

    def engine(self, folder: Path, kv_bits: int | None = None) -> Engine:
        return Engine(
            EngineConfig(
                model=str(folder),
                device=self.options.device,
                cache=CacheConfig(kv_bits=kv_bits),
            )
        )

    def speed_of(self, engine: Engine) -> dict[str, float]:
        """Tokens a second of prefill and decode, medians; every prompt is new."""
        self.answer(engine, self.new_prompt(), ANSWER_TOKENS)
        prefills, decodes = [], []
        for _ in range(self.options.rounds):
            prompt = self.new_prompt()
            first_s, total_s = self.answer(engine, prompt, ANSWER_TOKENS)
            prefills.append(len(prompt) / first_s)
            decodes.append((ANSWER_TOKENS - 1) / (total_s - first_s))
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

    def kv_token_bytes(self, engine: Engine) -> float:
        """Bytes that a token's keys and values take, over all layers."""
        params = SamplingParams(temperature=0.0, max_tokens=ANSWER_TOKENS, ignore_eos=True)
        handle = engine.submit(self.new_prompt(), params)
        next(iter(engine.stream(handle)))
        stats = engine.stats()
        engine.abort(handle)
        tokens = stats.blocks_in_use * engine.config.cache.block_size
        return stats.cache_bytes / max(tokens, 1)

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
