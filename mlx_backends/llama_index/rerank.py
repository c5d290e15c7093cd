"""LlamaIndex's ``BaseNodePostprocessor`` over the shared reranker: nodes in, the best nodes out."""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self

from llama_index.core.callbacks import CBEventType, EventPayload
from llama_index.core.instrumentation.events.rerank import ReRankEndEvent, ReRankStartEvent
from llama_index.core.postprocessor.types import BaseNodePostprocessor
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle
from llama_index_instrumentation import get_dispatcher
from pydantic import ConfigDict, Field, SkipValidation, model_validator
from pydantic.json_schema import SkipJsonSchema

from mlx_backends import registry
from mlx_backends.config import Device, DType, RerankerConfig, model_from_environment
from mlx_backends.errors import ConfigError, RequestError
from mlx_backends.llama_index._options import ModelName, options_of

if TYPE_CHECKING:
    from mlx_backends.pooling.reranker import Reranked

RETRIEVAL_SCORE = "retrieval_score"
_BUNDLED_MODEL_NAME = "bundled"
_dispatcher = get_dispatcher(__name__)


class TextReranker(Protocol):
    """What this adapter asks of a reranker; ``mlx_backends.Reranker`` fits."""

    def rerank(
        self, query: str, documents: Sequence[str], *, top_n: int | None = None
    ) -> "list[Reranked]": ...

    async def arerank(
        self, query: str, documents: Sequence[str], *, top_n: int | None = None
    ) -> "list[Reranked]": ...


class MLXRerank(BaseNodePostprocessor):
    """A rerank model on MLX, in this process.

    The constructor loads nothing; weights load with the first nodes. Models of equal configuration
    share one reranker. Nodes are scored by the text that an embedding model would see, metadata
    included; those that are returned are copies with the new score.

    Raises:
        pydantic.ValidationError: An option is unknown or out of its range.
    """

    model_config = ConfigDict(extra="forbid")

    model: ModelName = Field(
        default=None,
        description="Local folder or Hub id; None is MLX_BACKENDS_RERANK_MODEL, else the bundled.",
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
        default=None, description="Longest pair in tokens, if shorter than the model's own."
    )
    on_overflow: Literal["error", "truncate"] = Field(
        default="error", description="What happens to a longer pair."
    )
    instruction: str | None = Field(
        default=None,
        description="What a good document does, for models that are told so in a prompt.",
    )
    top_n: int = Field(default=2, ge=1, description="Number of nodes to return.")
    keep_retrieval_score: bool = Field(
        default=False, description="Keep the score before, as retrieval_score in the metadata."
    )
    reranker: SkipJsonSchema[SkipValidation[TextReranker | None]] = Field(
        default=None,
        description="A reranker of one's own in place of the shared one; brings its own model.",
        exclude=True,
        repr=False,
    )

    @model_validator(mode="after")
    def _check_options(self) -> Self:
        """Meet a bad option here rather than with the first nodes."""
        if self.reranker is None:
            self.model = self.model or model_from_environment("reranker")
        elif self._reranker_config() != RerankerConfig():
            raise ConfigError(
                "reranker= brings its own model and configuration; leave out model, revision, "
                "device, dtype, weight_bits, max_batch_tokens, max_length, on_overflow and "
                "instruction, or leave out reranker."
            )
        self._reranker_config()
        return self

    @classmethod
    def class_name(cls) -> str:
        return "MLXRerank"

    def _postprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query_of(query_bundle)
        with self._reported(query, nodes) as best:
            ranked = self._reranker().rerank(query, _texts(nodes), top_n=self.top_n)
            best += self._scored(nodes, ranked)
        return best

    async def _apostprocess_nodes(
        self, nodes: list[NodeWithScore], query_bundle: QueryBundle | None = None
    ) -> list[NodeWithScore]:
        query = _query_of(query_bundle)
        # The first time imports MLX, which is too slow for an event loop.
        reranker = await asyncio.to_thread(self._reranker)
        with self._reported(query, nodes) as best:
            ranked = await reranker.arerank(query, _texts(nodes), top_n=self.top_n)
            best += self._scored(nodes, ranked)
        return best

    @contextmanager
    def _reported(self, query: str, nodes: list[NodeWithScore]) -> Iterator[list[NodeWithScore]]:
        """Tell callbacks and instrumentation; the list that is given is to be filled."""
        best: list[NodeWithScore] = []
        name = self.model or _BUNDLED_MODEL_NAME
        payload: dict[str, Any] = {
            EventPayload.NODES: nodes,
            EventPayload.MODEL_NAME: name,
            EventPayload.QUERY_STR: query,
            EventPayload.TOP_K: self.top_n,
        }
        _dispatcher.event(
            ReRankStartEvent(query=query, nodes=nodes, top_n=self.top_n, model_name=name)
        )
        with self.callback_manager.event(CBEventType.RERANKING, payload=payload) as event:
            yield best
            event.on_end(payload={EventPayload.NODES: best})
        _dispatcher.event(ReRankEndEvent(nodes=best))

    def _scored(
        self, nodes: Sequence[NodeWithScore], ranked: "Sequence[Reranked]"
    ) -> list[NodeWithScore]:
        return [self._copy(nodes[found.index], found.score) for found in ranked]

    def _copy(self, scored: NodeWithScore, score: float) -> NodeWithScore:
        node = scored.node
        if self.keep_retrieval_score:
            metadata = {**node.metadata, RETRIEVAL_SCORE: scored.score}
            node = node.model_copy(update={"metadata": metadata})
        return NodeWithScore(node=node, score=score)

    def _reranker(self) -> TextReranker:
        return self.reranker or registry.get_reranker(self._reranker_config())

    def _reranker_config(self) -> RerankerConfig:
        return RerankerConfig(**options_of(self, RerankerConfig))


def _query_of(bundle: QueryBundle | None) -> str:
    if bundle is None:
        raise RequestError("A reranker needs the query; give query_str or query_bundle.")
    return bundle.query_str


def _texts(nodes: Sequence[NodeWithScore]) -> list[str]:
    return [scored.node.get_content(metadata_mode=MetadataMode.EMBED) for scored in nodes]
