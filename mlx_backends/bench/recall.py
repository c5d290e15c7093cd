"""``bench recall``: what quantized weights and smaller vectors cost encoders.

Questions and the statements or pages that answer them are generated, as for the training of the
bundled encoder, with names that it did not train on. For each model and way to run it: how often
the right one of all passages comes first or among ten, and how near its vectors are to those of
whole weights.
"""

import argparse
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_backends.bench.record import environment
from mlx_backends.bundled.training import prose, recall
from mlx_backends.bundled.training.families import ALL_TRAINED, HELD_OUT_REWORDED
from mlx_backends.bundled.training.generator import Generator
from mlx_backends.bundled.training.generator.corpus import Corpus
from mlx_backends.config import EmbedderConfig
from mlx_backends.models.source import model_folder
from mlx_backends.pooling.description import read_description
from mlx_backends.pooling.embedder import Embedder
from mlx_backends.pooling.footprint import weight_bytes
from mlx_backends.pooling.vectors import Precision

_SEED = 43
_KINDS = {
    "known phrasing": (recall.statements, ALL_TRAINED),
    "reworded questions": (recall.statements, HELD_OUT_REWORDED),
    "pages": (recall.pages, ALL_TRAINED),
}
_PARAGRAPH = ["The cache holds the last ten results.", "A worker reads the queue."]


@dataclass(frozen=True, slots=True)
class Variant:
    """One way to run the encoder."""

    name: str
    weight_bits: Any = None
    precision: Precision = "float32"


VARIANTS = (
    Variant("float32"),
    Variant("8-bit weights", weight_bits=8),
    Variant("4-bit weights", weight_bits=4),
    Variant("int8 vectors", precision="int8"),
    Variant("binary vectors", precision="binary"),
)


@dataclass(frozen=True, slots=True)
class Recall:
    """What a variant reached on one kind of questions.

    Attributes:
        model: As it was named.
        variant: Its name.
        weight_bytes: Bytes of the weights in memory.
        kind: Of the questions.
        count: Questions, and passages to choose from.
        first: Share of questions whose passage came first.
        lost: The same of whole weights and vectors, less that.
        among_ten: Share of questions whose passage came among the first ten.
        cosine: Mean cosine with the vectors of whole weights.
    """

    model: str
    variant: str
    weight_bytes: int
    kind: str
    count: int
    first: float
    lost: float
    among_ten: float
    cosine: float

    def line(self) -> str:
        return (
            f"{self.kind:<20} {self.variant:<16} {self.weight_bytes / 2**20:>7.1f} MiB"
            f"  first {self.first:.3f}  lost {self.lost:+.3f}"
            f"  among ten {self.among_ten:.3f}  cosine {self.cosine:.4f}"
        )


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``bench recall``."""
    parser.add_argument(
        "--model", nargs="+", default=["bundled"], help="folders, Hub ids or 'bundled'"
    )
    parser.add_argument("--items", type=int, default=500, help="questions of a kind")
    parser.add_argument("--device", choices=("auto", "cpu", "gpu"), default="auto")
    parser.add_argument("--json", type=Path, help="write the figures here")


def run(arguments: argparse.Namespace, report: Callable[[str], None]) -> int:
    """Measure, print and write; returns the exit status."""
    figures: list[Recall] = []
    for model in arguments.model:
        report(model)
        measured = measure(model, arguments.items, arguments.device)
        for figure in measured:
            report(figure.line())
        figures += measured
    if arguments.json:
        content = {
            "environment": environment(is_gpu=arguments.device == "gpu"),
            "results": [asdict(figure) for figure in figures],
        }
        arguments.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return 0


def measure(model: str, num_items: int, device: Any = "auto") -> list[Recall]:
    """Every variant on every kind of questions."""
    items = {name: _items(make, families, num_items) for name, (make, families) in _KINDS.items()}
    folder = read_description(model_folder(model, "encoder")).folder
    whole: dict[str, NDArray[np.float32]] = {}
    best: dict[str, float] = {}
    figures = []
    for variant in VARIANTS:
        config = EmbedderConfig(model=model, device=device, weight_bits=variant.weight_bits)
        embedder, size = Embedder(config), weight_bytes(folder, config)
        for kind, (asked, passages) in items.items():
            queries = _unit(embedder.embed(asked, kind="query", precision=variant.precision))
            documents = _unit(embedder.embed(passages, precision=variant.precision))
            both = np.concatenate([queries, documents])
            cosine = float((both * whole.setdefault(kind, both)).sum(axis=1).mean())
            ranks = _ranks(queries @ documents.T)
            first, among_ten = float((ranks < 1).mean()), float((ranks < 10).mean())
            lost = best.setdefault(kind, first) - first
            figures.append(
                Recall(
                    *(model, variant.name, size, kind, num_items),
                    *(first, lost, among_ten, cosine),
                )
            )
        embedder.close()
    return sorted(figures, key=lambda figure: list(_KINDS).index(figure.kind))


def _items(
    make: Callable[[Generator, int], tuple[list[str], list[str]]],
    families: Sequence[Any],
    count: int,
) -> tuple[list[str], list[str]]:
    documents = [[_PARAGRAPH]]
    nouns, modifiers = prose.vocabulary(documents)
    corpus = Corpus(documents, {}, nouns, modifiers)
    generator = Generator(_SEED, corpus, held_out=True, families=tuple(families))
    return make(generator, count)


def _unit(vectors: NDArray[Any]) -> NDArray[np.float32]:
    """Vectors of any precision as float32 of length 1; bits become signs."""
    if vectors.dtype == np.uint8:
        vectors = 2.0 * np.unpackbits(vectors, axis=1) - 1.0
    vectors = vectors.astype(np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)


def _ranks(similarity: NDArray[np.float32]) -> NDArray[np.int64]:
    """How many passages come before the right one, for each question."""
    right = np.diagonal(similarity)[:, None]
    return (similarity > right).sum(axis=1)
