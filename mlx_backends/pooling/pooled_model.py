"""What ``Embedder`` and ``Reranker`` have in common: one model, read lazily, run in batches."""

import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence, Sized
from pathlib import Path
from typing import ClassVar, Generic, Protocol, TypeVar

from mlx_backends.config import EmbedderConfig, ModelKind, RerankerConfig, model_from_environment
from mlx_backends.errors import ConfigError, RequestError
from mlx_backends.models.encoders.architectures import Architecture
from mlx_backends.models.loader import pick_device
from mlx_backends.models.source import BUNDLED, model_folder
from mlx_backends.pooling.batch_model import BatchModel, limits_of, max_launched
from mlx_backends.pooling.batch_runner import BatchRunner
from mlx_backends.pooling.footprint import batch_bytes, require_room, weight_bytes
from mlx_backends.pooling.stats import PoolingStats
from mlx_backends.worker import Worker, shared_worker


class Description(Protocol):
    """What a model's small files say, as far as it is common to all."""

    @property
    def folder(self) -> Path: ...

    @property
    def architecture(self) -> Architecture: ...

    @property
    def max_length(self) -> int: ...


Config = TypeVar("Config", EmbedderConfig, RerankerConfig)
Described = TypeVar("Described", bound=Description)
Tokens = TypeVar("Tokens")
Row = TypeVar("Row", bound=Sized)


class PooledModel(ABC, Generic[Config, Described, Tokens, Row]):
    """A model of one configuration. All methods may be called from any thread.

    Nothing is read in the constructor. Properties read the model's small files at their first use;
    weights load with the first row.
    """

    _KIND: ClassVar[ModelKind]
    _NOUN: ClassVar[str]
    _OUTPUT: ClassVar[str]

    def __init__(self, config: Config, worker: Worker | None) -> None:
        self.config: Config = config
        self._lock = threading.Lock()
        self._files: tuple[Described, Tokens] | None = None
        self._runner = BatchRunner[Row](
            self._load_within,
            worker=worker or shared_worker(),
            name=lambda: self.model_name,
            noun=self._NOUN,
            output=self._OUTPUT,
        )

    @property
    def model_name(self) -> str:
        """The model as it is named by the configuration, the environment, or ``bundled``."""
        return self.config.model or model_from_environment(self._KIND) or BUNDLED

    @property
    def max_length(self) -> int:
        """Longest input in tokens, prompt and special tokens included."""
        return self.config.max_length or self._description.max_length

    @property
    def is_closed(self) -> bool:
        return self._runner.is_closed

    def stats(self) -> PoolingStats:
        """What was computed so far, and how much of it was padding."""
        return self._runner.stats

    def close(self) -> None:
        """Free the model's memory once the batch at hand is done; idempotent."""
        self._runner.close()

    @property
    def _description(self) -> Described:
        return self._read_once()[0]

    @property
    def _tokenizer(self) -> Tokens:
        return self._read_once()[1]

    def _read_once(self) -> tuple[Described, Tokens]:
        with self._lock:
            if self._files is None:
                folder = model_folder(self.config.model, self._KIND, self.config.revision)
                self._files = self._read(folder)
            return self._files

    def _longest_input(self, usual: int, longest: int) -> int:
        """Most tokens of a row: what was asked for, else what the model's files say.

        Args:
            usual: What its files say.
            longest: What it has positions for.

        Raises:
            ConfigError: More was asked for than the model takes.
        """
        asked = self.config.max_length
        if asked is not None and asked > longest:
            raise ConfigError(
                f"max_length is {asked:,}; this model takes at most {longest:,} tokens."
            )
        return asked or usual

    @abstractmethod
    def _read(self, folder: Path) -> tuple[Described, Tokens]:
        """Read the small files and make what turns texts into rows."""

    @abstractmethod
    def _load(self, memory_bytes: int) -> BatchModel[Row]:
        """Load the weights; runs on the MLX thread."""

    def _load_within(self, left: int | None) -> BatchModel[Row]:
        """Load the weights if they fit; runs on the MLX thread.

        Raises:
            MemoryLimitError: Weights and batches need more than is left.
        """
        described, device = self._description, pick_device(self.config.device)
        tokens = limits_of(device, self.config).max_tokens
        longest = min(self.max_length, tokens)  # a longer row is counted when it comes
        batch = batch_bytes(described.architecture.config, tokens, longest)
        needed = weight_bytes(described.folder, self.config) + max_launched(device) * batch
        require_room(self.model_name, needed, left)
        return self._load(needed)


def require_texts(name: str, texts: Sequence[str]) -> None:
    """Raise ``RequestError`` unless this is a list of texts."""
    if isinstance(texts, str):
        raise RequestError(f"{name} must be a list of texts; got one text. Put it in a list.")
    for index, text in enumerate(texts):
        if not isinstance(text, str):
            raise RequestError(f"{name}[{index}] is not a text but {type(text).__name__}.")
