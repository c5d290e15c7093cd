"""``MLXRerank`` and ``MLXCrossEncoder``: LangChain's two rerank interfaces over one reranker."""

import asyncio
from collections.abc import Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Literal, Protocol, Self

from langchain_core.callbacks import Callbacks
from langchain_core.cross_encoders import BaseCrossEncoder
from langchain_core.documents import BaseDocumentCompressor, Document
from pydantic import BaseModel, ConfigDict, Field, SkipValidation, model_validator

from mlx_backends import registry
from mlx_backends.config import Device, DType, RerankerConfig, model_from_environment
from mlx_backends.langchain._options import refuse_beside

if TYPE_CHECKING:
    import numpy as np

    from mlx_backends.pooling.reranker import Reranked

RELEVANCE_SCORE = "relevance_score"

_RERANKER_OPTIONS = tuple(field.name for field in fields(RerankerConfig))


class TextReranker(Protocol):
    """The part of ``mlx_backends.Reranker`` that is used here."""

    def rerank(
        self, query: str, documents: Sequence[str], *, top_n: int | None = None
    ) -> "list[Reranked]": ...

    async def arerank(
        self, query: str, documents: Sequence[str], *, top_n: int | None = None
    ) -> "list[Reranked]": ...

    def scores(self, pairs: Sequence[tuple[str, str]]) -> "np.ndarray": ...

    async def ascores(self, pairs: Sequence[tuple[str, str]]) -> "np.ndarray": ...


class _RerankerOptions(BaseModel):
    """Which reranker to ask. The constructor loads nothing."""

    model_config = ConfigDict(extra="forbid", arbitrary_types_allowed=True)

    model: str | None = None
    """Local folder or Hub id; None is ``MLX_BACKENDS_RERANK_MODEL``, else the bundled model."""
    revision: str | None = None
    """Hub branch, tag or commit of ``model``."""
    device: Device = "auto"
    """Where to compute; ``auto`` is the GPU where MLX has one."""
    dtype: DType = "auto"
    """Type of weights and activations, as in ``RerankerConfig``."""
    weight_bits: Literal[4, 8] | None = None
    """Quantize the weights when they are loaded."""
    max_batch_tokens: int | None = None
    """Padded tokens of one forward pass; None goes by the device."""
    max_length: int | None = None
    """Longest pair of a query and a document in tokens, if shorter than the model's own."""
    on_overflow: Literal["error", "truncate"] = "error"
    """What happens to a pair that is too long; ``truncate`` drops the end of the document."""
    instruction: str | None = None
    """What a good document does, for models that are told so in a prompt."""
    reranker: Annotated[TextReranker | None, SkipValidation] = Field(
        default=None, exclude=True, repr=False
    )
    """Score with this one instead of the shared one that the options above name."""

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        """Meet a bad option here rather than in the first call."""
        if self.reranker is not None:
            refuse_beside("reranker", self, _RERANKER_OPTIONS)
        elif self.model is None:
            self.model = model_from_environment("reranker")
        self._reranker_config()
        return self

    def _reranker(self) -> TextReranker:
        """The reranker to ask. May import MLX, so an event loop gets it through a thread."""
        if self.reranker is not None:
            return self.reranker
        return registry.get_reranker(self._reranker_config())

    def _reranker_config(self) -> RerankerConfig:
        return RerankerConfig(**{name: getattr(self, name) for name in _RERANKER_OPTIONS})


class MLXRerank(_RerankerOptions, BaseDocumentCompressor):
    """Keep the retrieved documents that answer the query best, best first.

    Example:
        ```python
        from mlx_backends.langchain import MLXRerank

        rerank = MLXRerank(model="cross-encoder/ms-marco-MiniLM-L6-v2", top_n=3)
        best = rerank.compress_documents(documents, "Why is the sky blue?")
        ```

    The documents that come back are copies with their score as ``relevance_score`` in the metadata.
    """

    top_n: int | None = Field(default=3, ge=1)
    """How many documents to keep; None is all."""

    def compress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        texts = [document.page_content for document in documents]
        ranked = self._reranker().rerank(query, texts, top_n=self.top_n)
        return _scored(documents, ranked)

    async def acompress_documents(
        self, documents: Sequence[Document], query: str, callbacks: Callbacks | None = None
    ) -> list[Document]:
        reranker = await asyncio.to_thread(self._reranker)
        texts = [document.page_content for document in documents]
        return _scored(documents, await reranker.arerank(query, texts, top_n=self.top_n))


class MLXCrossEncoder(_RerankerOptions, BaseCrossEncoder):
    """Score pairs of a query and a document.

    Whether scores are logits or probabilities is the model's choice, see
    ``mlx_backends.Reranker.score_kind``.
    """

    def score(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        return self._reranker().scores(text_pairs).tolist()

    async def ascore(self, text_pairs: list[tuple[str, str]]) -> list[float]:
        """As ``score``, without blocking the event loop."""
        reranker = await asyncio.to_thread(self._reranker)
        return (await reranker.ascores(text_pairs)).tolist()


def _scored(documents: Sequence[Document], ranked: "Sequence[Reranked]") -> list[Document]:
    return [
        documents[found.index].model_copy(
            update={"metadata": {**documents[found.index].metadata, RELEVANCE_SCORE: found.score}}
        )
        for found in ranked
    ]
