"""mlx-lm's own caches of several sequences, joined so that they decode as one batch."""

from collections.abc import Sequence as Seq
from typing import Any

from mlx_lm.models.cache import CacheList

from mlx_backends.engine.sequence import Sequence


def can_merge(caches: Seq[Any]) -> bool:
    """Whether every layer's cache has a batch form in mlx-lm: what its own server asks, too."""
    return all(
        can_merge(cache.caches) if isinstance(cache, CacheList) else hasattr(cache, "merge")
        for cache in caches
    )


class BatchCaches:
    """One batch cache a layer, with a row for each sequence in it.

    Attributes:
        sequences: Whose rows, in their order.
        layers: What the model is given; empty if there are no rows.
    """

    def __init__(self) -> None:
        self.sequences: list[Sequence] = []
        self.layers: list[Any] = []

    @property
    def nbytes(self) -> int:
        return sum(layer.nbytes for layer in self.layers)

    def add(self, sequences: Seq[Sequence], caches: Seq[list[Any]]) -> None:
        """Take over the caches of sequences, one list of layers for each."""
        if not sequences:
            return
        merged = [of_layer[0].merge(list(of_layer)) for of_layer in zip(*caches, strict=True)]
        if self.sequences:
            for layer, new in zip(self.layers, merged, strict=True):
                layer.extend(new)
        else:
            self.layers = merged
        self.sequences += sequences

    def take(self, sequence: Sequence) -> list[Any]:
        """Remove a sequence's row, and return it as caches of its own."""
        row = self.sequences.index(sequence)
        caches = [layer.extract(row) for layer in self.layers]
        self.drop(sequence)
        return caches

    def drop(self, sequence: Sequence) -> None:
        """Remove a sequence's row."""
        kept = [row for row, other in enumerate(self.sequences) if other is not sequence]
        self.sequences = [self.sequences[row] for row in kept]
        if not kept:
            self.layers = []
        for layer in self.layers:
            layer.filter(kept)
