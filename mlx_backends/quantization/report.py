"""Quantized folders beside their original: size, speed, quality, error a layer."""

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import mlx.core as mx

from mlx_backends.errors import ConfigError, OutputError, QuantizationError
from mlx_backends.models.loader import LoadedModel, load_language_model, read_model, use_device
from mlx_backends.quantization.layers import arrays, leaves
from mlx_backends.quantization.methods import product_of
from mlx_backends.quantization.quality import Item, Quality, measure, weight_errors

_DECODED_TOKENS = 32


@dataclass(frozen=True, slots=True)
class Entry:
    """One model of a report.

    Attributes:
        name: Of its folder.
        weight_bytes: Of its files.
        bits_per_weight: Scales included.
        quality: On the items.
        layer_errors: Relative error of each packed layer's weights; empty for the original.
        tokens_per_s: Of a single stream's decode, by mlx-lm's loop on the layers that the engine
            uses.
        product: How rounded activations are multiplied.
    """

    name: str
    weight_bytes: int
    bits_per_weight: float
    quality: Quality
    layer_errors: dict[str, float]
    tokens_per_s: float
    product: str


@dataclass(frozen=True, slots=True)
class QuantizationReport:
    """The original first, then what was made of it.

    Attributes:
        entries: One for each model.
        device: Where it was measured.
    """

    entries: list[Entry]
    device: str

    def write_json(self, path: Path) -> None:
        """Write everything.

        Raises:
            OutputError: The file cannot be written.
        """
        try:
            path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{path} cannot be written: {error}.") from error

    def table(self) -> Iterator[list[str]]:
        """A heading, then a row for each model."""
        yield ["model", "MB", "bits/weight", "exact match", "perplexity", "KL", "worst layer",
               "tokens/s", "activations"]  # fmt: skip
        for entry in self.entries:
            quality = entry.quality
            yield [
                entry.name,
                f"{entry.weight_bytes / 1e6:,.2f}",
                f"{entry.bits_per_weight:.2f}",
                f"{quality.exact_match:.3f}",
                f"{quality.perplexity:.4f}",
                f"{quality.divergence:.5f}",
                f"{max(entry.layer_errors.values(), default=0.0):.4f}",
                f"{entry.tokens_per_s:,.1f}",
                entry.product,
            ]


def make_report(
    original: Path, folders: Sequence[Path], items: Sequence[Item]
) -> QuantizationReport:
    """Measure a model and quantized folders of it, one after the other.

    Args:
        original: Folder of the model before rounding.
        folders: Made from it.
        items: What to measure on.

    Raises:
        ModelError: A folder cannot be read, or is no quantized form of the original.
        ConfigError: There are no items, or an id is outside the vocabulary.
    """
    reference = _load(original)
    exact, _ = read_model(original)
    if any("scales" in layer for layer in leaves(exact).values()):
        raise QuantizationError(
            f"{original} is quantized itself; a report compares with the model before rounding."
        )
    _check_ids(items, exact)
    num_weights = sum(array.size for _, array in arrays(exact))
    entries = []
    with use_device(reference.device):
        for folder in (original, *folders):
            loaded = reference if folder == original else _load(folder)
            packed, _ = read_model(folder)
            num_bytes = sum(array.nbytes for _, array in arrays(packed))
            entries.append(
                Entry(
                    name=folder.name,
                    weight_bytes=num_bytes,
                    bits_per_weight=num_bytes * 8 / num_weights,
                    quality=measure(loaded.model, items, reference=reference.model),
                    layer_errors=weight_errors(packed, exact),
                    tokens_per_s=_decode_speed(loaded.model, items[0]),
                    product=product_of(loaded.model),
                )
            )
    return QuantizationReport(entries, str(reference.device))


def _load(folder: Path) -> LoadedModel:
    return load_language_model(folder, device="auto", dtype="auto", memory_limit_bytes=None)


def _check_ids(items: Sequence[Item], model: Any) -> None:
    rows = max(layer.weight.shape[0] for layer in leaves(model).values() if "weight" in layer)
    largest = max((max(item.ids) for item in items), default=0)
    if largest >= rows:
        raise ConfigError(f"An item has the token id {largest}; the model has {rows:,}.")


def _decode_speed(model: Any, item: Item) -> float:
    """Greedy tokens a second after the item's prompt, the first one left out."""
    from mlx_lm.generate import generate_step

    prompt = mx.array(list(item.ids[: item.start]))
    steps = generate_step(prompt, model, max_tokens=_DECODED_TOKENS + 1)
    next(steps)
    start = time.perf_counter()
    count = sum(1 for _ in steps)
    return count / (time.perf_counter() - start)
