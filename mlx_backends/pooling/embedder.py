"""Texts to vectors, on the MLX thread that generation runs on too."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mlx_backends.config import EmbedderConfig
from mlx_backends.errors import ConfigError
from mlx_backends.pooling.description import EncoderDescription, TextKind, read_description
from mlx_backends.pooling.encoder import Encoder
from mlx_backends.pooling.pooled_model import PooledModel, require_texts
from mlx_backends.pooling.row_results import OnProgress
from mlx_backends.pooling.tokenizer import TextTokenizer, TokenIds, TokenizedText
from mlx_backends.pooling.vectors import (
    Precision,
    as_precision,
    check_precision,
    mean_of_windows,
    normalize,
)
from mlx_backends.worker import Worker


@dataclass(frozen=True, slots=True)
class Embedded:
    """Vectors, and what happened to each text on the way.

    Attributes:
        vectors: One row for each text.
        num_tokens: Tokens that the model read of each text, special tokens included.
        num_windows: Windows of each text; above 1 only for ``on_overflow='mean'``.
        is_truncated: Whether the end of each text was dropped.
    """

    vectors: NDArray[Any]
    num_tokens: NDArray[np.int64]
    num_windows: NDArray[np.int64]
    is_truncated: NDArray[np.bool_]


class Embedder(PooledModel[EmbedderConfig, EncoderDescription, TextTokenizer, TokenIds]):
    """Embeds texts with one model. All methods may be called from any thread.

    Nothing is read in the constructor. Properties and ``count`` read the model's small files at
    their first use; weights load with the first text. Calls that come at the same time share
    forward passes.

    Args:
        config: Which model, and how it batches.
        worker: The thread that touches MLX; None is the one that the process shares.
    """

    _KIND = "encoder"
    _NOUN = "embedder"
    _OUTPUT = "vector of texts"

    def __init__(
        self, config: EmbedderConfig | None = None, *, worker: Worker | None = None
    ) -> None:
        super().__init__(config or EmbedderConfig(), worker)

    @property
    def dimensions(self) -> int:
        """Length of every vector, in numbers."""
        asked = self.config.dimensions
        return asked or self._description.default_dimensions or self._description.dimensions

    def count(self, text: str, *, kind: TextKind = "document") -> int:
        """Tokens that the model reads for this text, to compare with ``max_length``."""
        return self._tokenizer.count(self._prepared(text, kind))

    def embed(
        self,
        texts: Sequence[str],
        *,
        kind: TextKind = "document",
        precision: Precision = "float32",
        on_progress: OnProgress | None = None,
    ) -> NDArray[Any]:
        """Embed texts; all are checked before the first is computed.

        Args:
            texts: Any number of texts, empty ones included.
            kind: What the texts are; models may put a different prompt before each kind.
            precision: Type of the vectors, as in ``pooling.vectors.as_precision``.
            on_progress: Called on this thread after each batch with the number of rows done and
                the number of all; a row is a text, or a window of a long one.

        Returns:
            Shape (len(texts), dimensions), in the order of ``texts``; an eighth as wide for
            ``binary``.

        Raises:
            RequestError: An entry is not a text, or is too long and may not be truncated.
            NumericalError: The model gave NaN or infinity.
            EngineClosedError: The embedder was closed.
            ForkedProcessError: The process was forked after the embedder was made.
            MemoryLimitError: The model does not fit the memory limit.
            ModelError: The model cannot be found, loaded or run.
        """
        tokenized = self._tokenized(texts, kind, precision)
        return self._finish(self._run(tokenized, on_progress), tokenized, precision)

    async def aembed(
        self,
        texts: Sequence[str],
        *,
        kind: TextKind = "document",
        precision: Precision = "float32",
        on_progress: OnProgress | None = None,
    ) -> NDArray[Any]:
        """As ``embed``, without blocking the event loop; cancelling stops before the next batch."""
        tokenized = await asyncio.to_thread(self._tokenized, texts, kind, precision)
        rows = await self._runner.arun(
            _rows(tokenized), (self._description.dimensions,), on_progress=on_progress
        )
        return self._finish(rows, tokenized, precision)

    def embed_detailed(
        self,
        texts: Sequence[str],
        *,
        kind: TextKind = "document",
        precision: Precision = "float32",
        on_progress: OnProgress | None = None,
    ) -> Embedded:
        """As ``embed``, with what happened to each text: tokens, windows, truncation."""
        tokenized = self._tokenized(texts, kind, precision)
        vectors = self._finish(self._run(tokenized, on_progress), tokenized, precision)
        return Embedded(
            vectors=vectors,
            num_tokens=np.array([sum(map(len, text.windows)) for text in tokenized], np.int64),
            num_windows=np.array([len(text.windows) for text in tokenized], np.int64),
            is_truncated=np.array([text.is_truncated for text in tokenized], np.bool_),
        )

    def _run(
        self, tokenized: Sequence[TokenizedText], on_progress: OnProgress | None
    ) -> NDArray[np.float32]:
        return self._runner.run(
            _rows(tokenized), (self._description.dimensions,), on_progress=on_progress
        )

    def _tokenized(
        self, texts: Sequence[str], kind: TextKind, precision: Precision
    ) -> list[TokenizedText]:
        self._runner.check_open()
        require_texts("texts", texts)
        check_precision(precision, self.dimensions)
        return self._tokenizer.encode([self._prepared(text, kind) for text in texts])

    def _prepared(self, text: str, kind: TextKind) -> str:
        prompted = self._description.prompts.get(kind, "") + text
        return prompted.lower() if self._description.lowercases else prompted

    def _finish(
        self, rows: NDArray[np.float32], tokenized: Sequence[TokenizedText], precision: Precision
    ) -> NDArray[Any]:
        """One vector for each text, as long and of the type that was asked for."""
        vectors = mean_of_windows(rows, [text.weights for text in tokenized])
        is_changed = len(rows) != len(vectors) or self.dimensions < vectors.shape[1]
        vectors = vectors[:, : self.dimensions]
        if is_changed and self._description.is_normalized:
            vectors = normalize(vectors)
        return as_precision(vectors, precision)

    def _load(self, memory_bytes: int) -> Encoder:
        return Encoder(self._description, self.config, memory_bytes)

    def _read(self, folder: Path) -> tuple[EncoderDescription, TextTokenizer]:
        description = read_description(folder)
        self._check_dimensions(description)
        tokenizer = TextTokenizer(
            description.folder,
            max_length=self._longest_input(
                description.max_length, description.architecture.config.max_length
            ),
            on_overflow=self.config.on_overflow,
        )
        return description, tokenizer

    def _check_dimensions(self, description: EncoderDescription) -> None:
        asked, whole = self.config.dimensions, description.dimensions
        if asked is None or asked == whole:
            return
        if asked > whole:
            raise ConfigError(f"dimensions is {asked}; vectors of this model have {whole}.")
        if description.shorter is not None and asked not in description.shorter:
            raise ConfigError(
                f"dimensions is {asked}; this model's files allow "
                f"{', '.join(map(str, description.shorter))} and {whole}."
            )


def _rows(tokenized: Sequence[TokenizedText]) -> list[TokenIds]:
    return [window for text in tokenized for window in text.windows]
