"""Texts to vectors, on the MLX thread that generation runs on too."""

import asyncio
import threading
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mlx_backends.config import EmbedderConfig, model_from_environment
from mlx_backends.errors import ConfigError, RequestError
from mlx_backends.models.source import BUNDLED, model_folder
from mlx_backends.pooling.batch_runner import BatchRunner, OnProgress
from mlx_backends.pooling.description import EncoderDescription, TextKind, read_description
from mlx_backends.pooling.encoder import Encoder
from mlx_backends.pooling.tokenizer import TextTokenizer
from mlx_backends.worker import Worker, shared_worker


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
        self._lock = threading.Lock()
        self._files: tuple[EncoderDescription, TextTokenizer] | None = None
        self._runner = BatchRunner[list[int]](
            self._load, worker=worker or shared_worker(), noun="embedder", output="vector of texts"
        )

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
        return self._runner.is_closed

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
        return self._runner.run(
            self._tokenized(texts, kind),
            (self.dimensions,),
            max_batch_tokens=self.config.max_batch_tokens,
            on_progress=on_progress,
        )

    async def aembed(
        self,
        texts: Sequence[str],
        *,
        kind: TextKind = "document",
        on_progress: OnProgress | None = None,
    ) -> NDArray[np.float32]:
        """As ``embed``, without blocking the event loop; cancelling stops before the next batch."""
        return await self._runner.arun(
            await asyncio.to_thread(self._tokenized, texts, kind),
            (self.dimensions,),
            max_batch_tokens=self.config.max_batch_tokens,
            on_progress=on_progress,
        )

    def close(self) -> None:
        """Free the model's memory once the batch at hand is done; idempotent."""
        self._runner.close()

    def _tokenized(self, texts: Sequence[str], kind: TextKind) -> list[list[int]]:
        self._runner.check_open()
        require_texts("texts", texts)
        return self._tokenizer.encode([self._prepared(text, kind) for text in texts])

    def _prepared(self, text: str, kind: TextKind) -> str:
        prompted = self._description.prompts.get(kind, "") + text
        return prompted.lower() if self._description.lowercases else prompted

    def _load(self) -> Encoder:
        return Encoder(self._description, self.config.device, self.config.dtype)

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
        return TextTokenizer(
            description.folder,
            max_length=longest_input(self.config.max_length, description.max_length),
            on_overflow=self.config.on_overflow,
        )


def longest_input(asked: int | None, longest: int) -> int:
    """Most tokens of a row: what was asked for, else what the model takes.

    Raises:
        ConfigError: More was asked for than the model takes.
    """
    if asked is not None and asked > longest:
        raise ConfigError(f"max_length is {asked:,}; this model takes at most {longest:,} tokens.")
    return asked or longest


def require_texts(name: str, texts: Sequence[str]) -> None:
    """Raise ``RequestError`` unless this is a list of texts."""
    if isinstance(texts, str):
        raise RequestError(f"{name} must be a list of texts; got one text. Put it in a list.")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise RequestError(f"{name}[{index}] is not a text but {type(text).__name__}.")
