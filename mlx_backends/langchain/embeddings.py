"""``MLXEmbeddings``: LangChain's embeddings over an embedding model that MLX runs."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, Self

from langchain_core.embeddings import Embeddings
from pydantic import BaseModel, ConfigDict, Field, SkipValidation, model_validator

from mlx_backends import registry
from mlx_backends.config import (
    Device,
    DType,
    EmbedderConfig,
    OnOverflow,
    model_from_environment,
)
from mlx_backends.langchain._options import refuse_beside

if TYPE_CHECKING:
    import numpy as np

Kind = Literal["query", "document"]
OnProgress = Callable[[int, int], None]

_EMBEDDER_OPTIONS = tuple(field.name for field in fields(EmbedderConfig))


class TextEmbedder(Protocol):
    """The part of ``mlx_backends.Embedder`` that is used here."""

    def embed(
        self,
        texts: Sequence[str],
        *,
        kind: Kind = "document",
        on_progress: OnProgress | None = None,
    ) -> "np.ndarray": ...

    async def aembed(
        self,
        texts: Sequence[str],
        *,
        kind: Kind = "document",
        on_progress: OnProgress | None = None,
    ) -> "np.ndarray": ...


class MLXEmbeddings(BaseModel, Embeddings):
    """Embed texts with a model that MLX runs in this process.

    Example:
        ```python
        from mlx_backends.langchain import MLXEmbeddings

        embeddings = MLXEmbeddings(model="BAAI/bge-small-en-v1.5")
        vector = embeddings.embed_query("Why is the sky blue?")
        ```

    Queries and documents each get the prompt that the model was trained with. Models of the same
    options share one copy of the weights. The constructor loads nothing.
    """

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    model: str | None = None
    """Local folder or Hub id; None is ``MLX_BACKENDS_EMBED_MODEL``, else the bundled model."""
    revision: str | None = None
    """Hub branch, tag or commit of ``model``."""
    device: Device = "auto"
    """Where to compute; ``auto`` is the GPU where MLX has one."""
    dtype: DType = "auto"
    """Type of weights and activations, as in ``EmbedderConfig``."""
    weight_bits: Literal[4, 8] | None = None
    """Quantize the weights when they are loaded."""
    max_batch_tokens: int | None = None
    """Padded tokens of one forward pass; None goes by the device."""
    max_length: int | None = None
    """Longest text in tokens, if shorter than the model's own."""
    on_overflow: OnOverflow = "error"
    """What happens to a text that is too long: ``truncate`` drops its end, ``mean`` averages over
    windows."""
    dimensions: int | None = None
    """Length that vectors are cut to, for models trained for it."""
    show_progress: bool = False
    """Show a bar in the terminal while documents are embedded."""
    embedder: Annotated[TextEmbedder | None, SkipValidation] = Field(
        default=None, exclude=True, repr=False
    )
    """Embed with this one instead of the shared one that the options above name."""

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        """Meet a bad option here rather than in the first call."""
        if self.embedder is not None:
            refuse_beside("embedder", self, _EMBEDDER_OPTIONS)
        elif self.model is None:
            self.model = model_from_environment("encoder")
        self._embedder_config()
        return self

    def embed_documents(self, texts: list[str]) -> list[list[float]]:
        with self._progress(len(texts)) as on_progress:
            return self._embedder().embed(texts, on_progress=on_progress).tolist()

    async def aembed_documents(self, texts: list[str]) -> list[list[float]]:
        embedder = await asyncio.to_thread(self._embedder)
        with self._progress(len(texts)) as on_progress:
            return (await embedder.aembed(texts, on_progress=on_progress)).tolist()

    def embed_query(self, text: str) -> list[float]:
        return self._embedder().embed([text], kind="query")[0].tolist()

    async def aembed_query(self, text: str) -> list[float]:
        embedder = await asyncio.to_thread(self._embedder)
        return (await embedder.aembed([text], kind="query"))[0].tolist()

    def _embedder(self) -> TextEmbedder:
        """The embedder to ask. May import MLX, so an event loop gets it through a thread."""
        if self.embedder is not None:
            return self.embedder
        return registry.get_embedder(self._embedder_config())

    def _embedder_config(self) -> EmbedderConfig:
        return EmbedderConfig(**{name: getattr(self, name) for name in _EMBEDDER_OPTIONS})

    @contextlib.contextmanager
    def _progress(self, num_texts: int) -> Iterator[OnProgress | None]:
        """What to call as texts get done, while a bar shows it; None without ``show_progress``."""
        if not self.show_progress:
            yield None
            return
        from rich.progress import Progress

        with Progress() as progress:
            task = progress.add_task("Embedding", total=num_texts)
            yield lambda done, total: progress.update(task, completed=done, total=total)
