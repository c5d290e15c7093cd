"""Texts to vectors, on the MLX thread that generation runs on too.

The caller's thread tokenizes and plans; each batch is one job on the worker, so that generation of
a running request goes on between two batches of a large document.
"""

import asyncio
import contextlib
import functools
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError, Future
from dataclasses import dataclass

import mlx.core as mx
import numpy as np
from numpy.typing import NDArray

from mlx_backends.config import EmbedderConfig, model_from_environment
from mlx_backends.errors import (
    ConfigError,
    EngineClosedError,
    EngineError,
    NumericalError,
    RequestError,
)
from mlx_backends.models.source import BUNDLED, model_folder
from mlx_backends.pooling.batching import pad, plan_batches
from mlx_backends.pooling.description import EncoderDescription, TextKind, read_description
from mlx_backends.pooling.encoder import Encoder
from mlx_backends.pooling.tokenizer import TextTokenizer
from mlx_backends.worker import Worker, shared_worker

OnProgress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class _Plan:
    """One call's work: token ids of every text, and which texts share a forward pass."""

    token_ids: list[list[int]]
    batches: list[list[int]]


class Embedder:
    """Embeds texts with one model. All methods may be called from any thread.

    Nothing is read in the constructor. Properties and ``count`` read the model's small files at
    their first use; weights load with the first text.

    Args:
        config: Which model, and how it batches.
        worker: The thread that touches MLX; None is the one that the process shares.
    """

    def __init__(
        self, config: EmbedderConfig | None = None, *, worker: Worker | None = None
    ) -> None:
        self.config = config or EmbedderConfig()
        self._worker = worker or shared_worker()
        self._lock = threading.Lock()
        self._files: tuple[EncoderDescription, TextTokenizer] | None = None
        self._encoder: Encoder | None = None  # touched on the worker's thread only
        self._is_closed = False

    @property
    def model_name(self) -> str:
        """The model as it is named by the configuration, the environment, or ``bundled``."""
        return self.config.model or model_from_environment("encoder") or BUNDLED

    @property
    def dimensions(self) -> int:
        """Length of every vector."""
        return self._description.config.hidden_size

    @property
    def max_length(self) -> int:
        """Longest text in tokens, prompt and special tokens included."""
        return self.config.max_length or self._description.max_length

    @property
    def is_closed(self) -> bool:
        return self._is_closed

    def count(self, text: str, *, kind: TextKind = "document") -> int:
        """Tokens that the model reads for this text, to compare with ``max_length``."""
        return self._tokenizer.count(self._prepared(text, kind))

    def embed(
        self,
        texts: Sequence[str],
        *,
        kind: TextKind = "document",
        on_progress: OnProgress | None = None,
    ) -> NDArray[np.float32]:
        """Embed texts; all are checked before the first is computed.

        Args:
            texts: Any number of texts, empty ones included.
            kind: What the texts are; models may put a different prompt before each kind.
            on_progress: Called on this thread after each batch with the number of texts done and
                the number of all.

        Returns:
            Shape (len(texts), dimensions), in the order of ``texts``.

        Raises:
            RequestError: An entry is not a text, or is too long and may not be truncated.
            NumericalError: The model gave NaN or infinity.
            EngineClosedError: The embedder was closed.
            ForkedProcessError: The process was forked after the embedder was made.
            ModelError: The model cannot be found, loaded or run.
        """
        plan = self._plan(texts, kind)
        result = _Result(len(texts), self.dimensions, on_progress)
        for batch in plan.batches:
            result.put(batch, self._wait(self._submit(plan, batch)))
        return result.vectors

    async def aembed(
        self,
        texts: Sequence[str],
        *,
        kind: TextKind = "document",
        on_progress: OnProgress | None = None,
    ) -> NDArray[np.float32]:
        """As ``embed``, without blocking the event loop; cancelling stops before the next batch."""
        plan = await asyncio.to_thread(self._plan, texts, kind)
        result = _Result(len(texts), self.dimensions, on_progress)
        for batch in plan.batches:
            result.put(batch, await self._await(self._submit(plan, batch)))
        return result.vectors

    def close(self) -> None:
        """Free the model's memory once the batch at hand is done; idempotent."""
        self._is_closed = True
        with contextlib.suppress(EngineError):  # the worker has ended, or belongs to our parent
            self._worker.post(self._drop_encoder)

    def _plan(self, texts: Sequence[str], kind: TextKind) -> _Plan:
        self._check_open()
        _require_texts(texts)
        token_ids = self._tokenizer.encode([self._prepared(text, kind) for text in texts])
        lengths = [len(ids) for ids in token_ids]
        return _Plan(token_ids, plan_batches(lengths, self.config.max_batch_tokens))

    def _prepared(self, text: str, kind: TextKind) -> str:
        prompted = self._description.prompts.get(kind, "") + text
        return prompted.lower() if self._description.lowercases else prompted

    def _submit(self, plan: _Plan, batch: Sequence[int]) -> Future[NDArray[np.float32]]:
        sequences = [plan.token_ids[index] for index in batch]
        lengths = [len(sequence) for sequence in sequences]
        return self._worker.run(functools.partial(self._forward, pad(sequences), lengths))

    def _forward(self, token_ids: NDArray[np.int32], lengths: list[int]) -> NDArray[np.float32]:
        """Run one batch, on the worker's thread. Shapes: as ``Encoder.__call__``."""
        self._check_open()
        if self._encoder is None:
            self._encoder = Encoder(self._description, self.config.device, self.config.dtype)
        return self._encoder(token_ids, lengths)

    def _wait(self, future: Future[NDArray[np.float32]]) -> NDArray[np.float32]:
        try:
            return future.result()
        except CancelledError:
            raise _worker_closed() from None

    async def _await(self, future: Future[NDArray[np.float32]]) -> NDArray[np.float32]:
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if self._worker.is_usable:
                raise
            raise _worker_closed() from None

    def _drop_encoder(self) -> None:
        self._encoder = None
        mx.clear_cache()

    def _check_open(self) -> None:
        if self._is_closed:
            raise EngineClosedError("The embedder was closed; make a new one.")

    @property
    def _description(self) -> EncoderDescription:
        return self._read_files()[0]

    @property
    def _tokenizer(self) -> TextTokenizer:
        return self._read_files()[1]

    def _read_files(self) -> tuple[EncoderDescription, TextTokenizer]:
        with self._lock:
            if self._files is None:
                folder = model_folder(self.config.model, "encoder", self.config.revision)
                description = read_description(folder)
                self._files = description, self._make_tokenizer(description)
            return self._files

    def _make_tokenizer(self, description: EncoderDescription) -> TextTokenizer:
        longest, asked = description.max_length, self.config.max_length
        if asked is not None and asked > longest:
            raise ConfigError(
                f"max_length is {asked:,}; this model takes at most {longest:,} tokens."
            )
        return TextTokenizer(
            description.folder,
            max_length=asked or longest,
            on_overflow=self.config.on_overflow,
        )


class _Result:
    """Vectors in the order of the texts, filled batch by batch."""

    def __init__(self, num_texts: int, dimensions: int, on_progress: OnProgress | None) -> None:
        self.vectors = np.empty((num_texts, dimensions), np.float32)
        self._num_done = 0
        self._on_progress = on_progress

    def put(self, batch: Sequence[int], vectors: NDArray[np.float32]) -> None:
        finite = np.isfinite(vectors).all(axis=1)
        if not finite.all():
            index = batch[int(np.argmin(finite))]
            raise NumericalError(
                f"The vector of texts[{index}] has NaN or infinite entries. The weights may be "
                "damaged, or their type too narrow: try dtype='float32'."
            )
        self.vectors[batch] = vectors
        self._num_done += len(batch)
        if self._on_progress is not None:
            self._on_progress(self._num_done, len(self.vectors))


def _worker_closed() -> EngineClosedError:
    return EngineClosedError("The MLX thread was closed while texts were embedded.")


def _require_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise RequestError("texts must be a list of texts; got one text. Put it in a list.")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise RequestError(f"texts[{index}] is not a text but {type(text).__name__}.")
