"""Real prose that training never reads."""

from dataclasses import dataclass, replace
from pathlib import Path

from mlx_backends.bundled.training import prose
from mlx_backends.bundled.training.generator import Corpus


@dataclass(frozen=True, slots=True)
class HeldOutProse:
    """The evaluation side of a collection of real prose.

    Attributes:
        all: Every held-out document, also pages of sources that training reads others of.
        by_source: The sources of which training reads nothing.
        written: Pages of the training side, with paragraphs that it never reads and the questions
            written over these.
    """

    all: Corpus
    by_source: dict[str, Corpus]
    written: Corpus

    @classmethod
    def load(cls, path: Path) -> "HeldOutProse":
        """Read the evaluation side of a collection that `train prepare` wrote."""
        documents, _ = prose.load(path)
        corpus = Corpus.load(path, held_out=True)
        trained = {item.source for item in documents if not item.held_out}
        by_source: dict[str, list[list[list[str]]]] = {}
        for item in documents:
            if item.source not in trained:
                by_source.setdefault(item.source, []).append(item.paragraphs)
        return cls(
            corpus,
            {source: replace(corpus, documents=found) for source, found in by_source.items()},
            Corpus.load_written(path),
        )
