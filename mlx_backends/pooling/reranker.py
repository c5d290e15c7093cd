"""Documents ordered by how well they answer a query, on the MLX thread that generation uses."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from mlx_backends.config import RerankerConfig
from mlx_backends.errors import ConfigError, RequestError
from mlx_backends.pooling.cross_encoder import CrossEncoder
from mlx_backends.pooling.pair_tokenizer import (
    PairTokenizer,
    PromptPairTokenizer,
    SegmentPairTokenizer,
    TokenPair,
)
from mlx_backends.pooling.pooled_model import PooledModel, require_texts
from mlx_backends.pooling.reranker_description import (
    RerankerDescription,
    ScoreKind,
    read_reranker_description,
    with_answers,
)
from mlx_backends.pooling.row_results import OnProgress
from mlx_backends.worker import Worker


@dataclass(frozen=True, slots=True)
class Reranked:
    """A document with its score for a query.

    Attributes:
        index: Position among the documents that were given.
        score: Higher is better; what it means, ``Reranker.score_kind`` says.
        document: The text.
        is_truncated: Whether the model did not read its end.
    """

    index: int
    score: float
    document: str
    is_truncated: bool = False


class Reranker(PooledModel[RerankerConfig, RerankerDescription, PairTokenizer, TokenPair]):
    """Scores documents for a query with one model. All methods may be called from any thread.

    Nothing is read in the constructor. Properties read the model's small files at their first use;
    weights load with the first pair. Calls that come at the same time share forward passes.

    Args:
        config: Which model, and how it batches.
        worker: The thread that touches MLX; None is the one that the process shares.
    """

    _KIND = "reranker"
    _NOUN = "reranker"
    _OUTPUT = "score of pairs"

    def __init__(
        self, config: RerankerConfig | None = None, *, worker: Worker | None = None
    ) -> None:
        super().__init__(config or RerankerConfig(), worker)

    @property
    def score_kind(self) -> ScoreKind:
        """``probability``: scores lie between 0 and 1; ``logit``: they have no bounds."""
        return self._description.score_kind

    def rerank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        top_n: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[Reranked]:
        """Order documents by how well they answer the query.

        Args:
            query: What is asked.
            documents: Any number of texts; all are checked before the first is scored.
            top_n: How many of the best to return; None is all.
            on_progress: As in ``scores``.

        Returns:
            Best first; equal scores in the order of ``documents``.

        Raises:
            RequestError: ``top_n`` is below 1, or as in ``scores``.
            EngineError: As in ``scores``.
            ModelError: The model cannot be found, loaded or run.
        """
        pairs = self._tokenized_documents(query, documents, top_n)
        scores = self._run(pairs, on_progress)
        return _ranked(documents, pairs, scores, top_n)

    async def arerank(
        self,
        query: str,
        documents: Sequence[str],
        *,
        top_n: int | None = None,
        on_progress: OnProgress | None = None,
    ) -> list[Reranked]:
        """As ``rerank``, without blocking the event loop."""
        pairs = await asyncio.to_thread(self._tokenized_documents, query, documents, top_n)
        return _ranked(documents, pairs, await self._arun(pairs, on_progress), top_n)

    def scores(
        self, pairs: Sequence[tuple[str, str]], *, on_progress: OnProgress | None = None
    ) -> NDArray[np.float32]:
        """Score pairs of a query and a document; all are checked before the first is scored.

        Args:
            pairs: Any number of pairs.
            on_progress: Called on this thread after each batch with the number of pairs done and
                the number of all.

        Returns:
            Shape (len(pairs),), in the order of ``pairs``.

        Raises:
            RequestError: An entry is no pair of texts, or is too long and may not be truncated.
            NumericalError: The model gave NaN or infinity.
            EngineClosedError: The reranker was closed.
            ForkedProcessError: The process was forked after the reranker was made.
            ModelError: The model cannot be found, loaded or run.
        """
        return self._run(self._tokenized_pairs(pairs), on_progress)

    async def ascores(
        self, pairs: Sequence[tuple[str, str]], *, on_progress: OnProgress | None = None
    ) -> NDArray[np.float32]:
        """As ``scores``, without blocking the event loop; cancelling stops further batches."""
        return await self._arun(await asyncio.to_thread(self._tokenized_pairs, pairs), on_progress)

    def _tokenized_documents(
        self, query: str, documents: Sequence[str], top_n: int | None
    ) -> list[TokenPair]:
        self._runner.check_open()
        require_texts("query", [query])
        require_texts("documents", documents)
        if top_n is not None and top_n < 1:
            raise RequestError(f"top_n must be at least 1; got {top_n}.")
        return self._tokenizer.encode([query], documents)

    def _tokenized_pairs(self, pairs: Sequence[tuple[str, str]]) -> list[TokenPair]:
        self._runner.check_open()
        for index, pair in enumerate(pairs):
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise RequestError(f"pairs[{index}] is not a pair of a query and a document.")
            require_texts(f"pairs[{index}]", pair)
        return self._tokenizer.encode([query for query, _ in pairs], [text for _, text in pairs])

    def _run(
        self, pairs: Sequence[TokenPair], on_progress: OnProgress | None
    ) -> NDArray[np.float32]:
        return self._runner.run(pairs, (), on_progress=on_progress)

    async def _arun(
        self, pairs: Sequence[TokenPair], on_progress: OnProgress | None
    ) -> NDArray[np.float32]:
        return await self._runner.arun(pairs, (), on_progress=on_progress)

    def _load(self, memory_bytes: int) -> CrossEncoder:
        return CrossEncoder(self._description, self.config, memory_bytes)

    def _read(self, folder: Path) -> tuple[RerankerDescription, PairTokenizer]:
        description = read_reranker_description(folder)
        longest = self._longest_input(
            description.max_length, description.architecture.config.max_length
        )
        overflow, instruction = self.config.on_overflow, self.config.instruction
        if not description.answers:
            if instruction is not None:
                raise ConfigError(
                    "instruction is for models that answer a prompt, such as Qwen3-Reranker; this "
                    "one has a score head. Leave it out."
                )
            return description, SegmentPairTokenizer(
                folder, max_length=longest, on_overflow=overflow
            )
        tokenizer = PromptPairTokenizer(
            folder, max_length=longest, on_overflow=overflow, instruction=instruction
        )
        return with_answers(description, tokenizer.no_id, tokenizer.yes_id), tokenizer


def _ranked(
    documents: Sequence[str],
    pairs: Sequence[TokenPair],
    scores: NDArray[np.float32],
    top_n: int | None,
) -> list[Reranked]:
    order = np.argsort(-scores, kind="stable")[:top_n]
    return [
        Reranked(i, float(scores[i]), documents[i], pairs[i].is_truncated) for i in map(int, order)
    ]
