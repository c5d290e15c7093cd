"""LlamaIndex's ``BaseEmbedding`` over the shared embedder: texts in, lists of floats out."""

import asyncio
from collections.abc import Sequence
from typing import Literal, Protocol, Self

import numpy as np
from llama_index.core.base.embeddings.base import BaseEmbedding, Embedding
from pydantic import ConfigDict, Field, SkipValidation, model_validator
from pydantic.json_schema import SkipJsonSchema

from mlx_backends import registry
from mlx_backends.config import (
    Device,
    DType,
    EmbedderConfig,
    OnOverflow,
    model_from_environment,
)
from mlx_backends.errors import ConfigError
from mlx_backends.llama_index._options import ModelName, options_of

Kind = Literal["query", "document"]
_UNNAMED = BaseEmbedding.model_fields["model_name"].default


class TextEmbedder(Protocol):
    """What this adapter asks of an embedder; ``mlx_backends.Embedder`` fits."""

    def embed(self, texts: Sequence[str], *, kind: Kind = "document") -> np.ndarray: ...

    async def aembed(self, texts: Sequence[str], *, kind: Kind = "document") -> np.ndarray: ...

    def count(self, text: str, *, kind: Kind = "document") -> int: ...

    @property
    def max_length(self) -> int: ...


class MLXEmbedding(BaseEmbedding):
    """An embedding model on MLX, in this process.

    The constructor loads nothing; weights load with the first text. Models of equal configuration
    share one embedder. Queries and documents get the prefixes that the model was trained with.

    ``model_name``, LlamaIndex's own field, is taken as another word for ``model``. With
    ``embedder`` it is a label, which tells the entries of an ingestion cache apart.

    Raises:
        pydantic.ValidationError: An option is unknown or out of its range.
    """

    model_config = ConfigDict(extra="forbid")

    model: ModelName = Field(
        default=None,
        description="Local folder or Hub id; None is MLX_BACKENDS_EMBED_MODEL, else the bundled.",
    )
    revision: str | None = Field(default=None, description="Hub branch, tag or commit.")
    device: Device = Field(default="auto", description="Where to compute.")
    dtype: DType = Field(default="auto", description="Type to compute in.")
    weight_bits: Literal[4, 8] | None = Field(
        default=None, description="Quantize the weights when they are loaded."
    )
    max_batch_tokens: int | None = Field(
        default=None, description="Padded tokens of one forward pass; None goes by the device."
    )
    max_length: int | None = Field(
        default=None, description="Longest text in tokens, if shorter than the model's own."
    )
    on_overflow: OnOverflow = Field(
        default="error",
        description="What happens to a longer text: truncate drops its end, mean averages windows.",
    )
    dimensions: int | None = Field(
        default=None, description="Length that vectors are cut to, for models trained for it."
    )
    # LlamaIndex's 10 would leave the embedder little to sort by length; it bounds its own memory.
    embed_batch_size: int = Field(
        default=256,
        gt=0,
        le=2048,
        description="Texts handed to the embedder at once, which batches them by tokens.",
    )
    embedder: SkipJsonSchema[SkipValidation[TextEmbedder | None]] = Field(
        default=None,
        description="An embedder of one's own in place of the shared one; brings its own model.",
        exclude=True,
        repr=False,
    )

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        """Meet a bad option here rather than with the first text."""
        if self.embedder is None:
            self._settle_model()
        elif self._embedder_config() != EmbedderConfig():
            raise ConfigError(
                "embedder= brings its own model and configuration; leave out model, revision, "
                "device, dtype, weight_bits, max_batch_tokens, max_length, on_overflow and "
                "dimensions, or leave out embedder."
            )
        self._embedder_config()
        return self

    def _settle_model(self) -> None:
        named = None if self.model_name == _UNNAMED else self.model_name
        if self.model is not None and named not in (None, self.model):
            raise ConfigError(
                f"model is {self.model!r} and model_name is {named!r}; give one of them."
            )
        self.model = self.model or named or model_from_environment("encoder")
        self.model_name = self.model or _UNNAMED

    @classmethod
    def class_name(cls) -> str:
        return "MLXEmbedding"

    @property
    def max_tokens(self) -> int:
        """Longest text in tokens; the first time reads the model's small files."""
        return self._embedder().max_length

    def count_tokens(self, text: str) -> int:
        """What the model reads for a text to retrieve, to compare with ``max_tokens``."""
        return self._embedder().count(text)

    def _get_query_embedding(self, query: str) -> Embedding:
        return self._embed([query], "query")[0]

    async def _aget_query_embedding(self, query: str) -> Embedding:
        return (await self._aembed([query], "query"))[0]

    def _get_text_embedding(self, text: str) -> Embedding:
        return self._embed([text], "document")[0]

    async def _aget_text_embedding(self, text: str) -> Embedding:
        return (await self._aembed([text], "document"))[0]

    def _get_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return self._embed(texts, "document")

    async def _aget_text_embeddings(self, texts: list[str]) -> list[Embedding]:
        return await self._aembed(texts, "document")

    def _embed(self, texts: list[str], kind: Kind) -> list[Embedding]:
        return self._embedder().embed(texts, kind=kind).tolist()

    async def _aembed(self, texts: list[str], kind: Kind) -> list[Embedding]:
        # The first time imports MLX, which is too slow for an event loop.
        embedder = await asyncio.to_thread(self._embedder)
        return (await embedder.aembed(texts, kind=kind)).tolist()

    def _embedder(self) -> TextEmbedder:
        return self.embedder or registry.get_embedder(self._embedder_config())

    def _embedder_config(self) -> EmbedderConfig:
        return EmbedderConfig(**options_of(self, EmbedderConfig))
