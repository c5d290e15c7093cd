"""Documents ordered by how well they answer a query, on the MLX thread that generation uses."""

import asyncio
import threading
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlx_backends.config import RerankerConfig, model_from_environment
from mlx_backends.errors import RequestError
from mlx_backends.models.source import BUNDLED, model_folder
from mlx_backends.pooling.batch_runner import BatchRunner, OnProgress
from mlx_backends.pooling.cross_encoder import CrossEncoder
from mlx_backends.pooling.embedder import longest_input, require_texts
from mlx_backends.pooling.pair_tokenizer import PairTokenizer, TokenPair
from mlx_backends.pooling.reranker_description import (
    RerankerDescription,
    ScoreKind,
    read_reranker_description,
)
from mlx_backends.worker import Worker, shared_worker


@dataclass(frozen=True, slots=True)
class Reranked:
    """A document with its score for a query.

    Attributes:
        index: Position among the documents that were given.
        score: Higher is better; what it means, ``Reranker.score_kind`` says.
        document: The text.
    """

    index: int
    score: float
    document: str


class Reranker:
    """Scores documents for a query with one cross-encoder.

    All methods may be called from any thread.

    Nothing is read in the constructor. Properties read the model's small files at their first use;
    weights load with the first pair.

    Args:
        config: Which model, and how it batches.
        worker: The thread that touches MLX; None is the one that the process shares.
    """

    def __init__(
        self, config: RerankerConfig | None = None, *, worker: Worker | None = None
    ) -> None:
        self.config = config or RerankerConfig()
        self._lock = threading.Lock()
        self._files: tuple[RerankerDescription, PairTokenizer] | None = None
        self._runner = BatchRunner[TokenPair](
            self._load, worker=worker or shared_worker(), noun="reranker", output="score of pairs"
        )

    @property
    def model_name(self) -> str:
        """The model as it is named by the configuration, the environment, or ``bundled``."""
        return self.config.model or model_from_environment("reranker") or BUNDLED

    @property
    def score_kind(self) -> ScoreKind:
        """``probability``: scores lie between 0 and 1; ``logit``: they have no bounds."""
        return self._description.score_kind

    @property
    def max_length(self) -> int:
        """Longest pair in tokens, special tokens included."""
        return self.config.max_length or self._description.max_length

    @property
    def is_closed(self) -> bool:
        return self._runner.is_closed

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
        return _ranked(documents, scores, top_n)

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
        return _ranked(documents, await self._arun(pairs, on_progress), top_n)

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

    def close(self) -> None:
        """Free the model's memory once the batch at hand is done; idempotent."""
        self._runner.close()

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
        return self._runner.run(
            pairs, (), max_batch_tokens=self.config.max_batch_tokens, on_progress=on_progress
        )

    async def _arun(
        self, pairs: Sequence[TokenPair], on_progress: OnProgress | None
    ) -> NDArray[np.float32]:
        return await self._runner.arun(
            pairs, (), max_batch_tokens=self.config.max_batch_tokens, on_progress=on_progress
        )

    def _load(self) -> CrossEncoder:
        return CrossEncoder(self._description, self.config.device, self.config.dtype)

    @property
    def _description(self) -> RerankerDescription:
        return self._read_files()[0]

    @property
    def _tokenizer(self) -> PairTokenizer:
        return self._read_files()[1]

    def _read_files(self) -> tuple[RerankerDescription, PairTokenizer]:
        with self._lock:
            if self._files is None:
                folder = model_folder(self.config.model, "reranker", self.config.revision)
                description = read_reranker_description(folder)
                tokenizer = PairTokenizer(
                    folder,
                    max_length=longest_input(self.config.max_length, description.max_length),
                    on_overflow=self.config.on_overflow,
                )
                self._files = description, tokenizer
            return self._files


def _ranked(
    documents: Sequence[str], scores: NDArray[np.float32], top_n: int | None
) -> list[Reranked]:
    order = np.argsort(-scores, kind="stable")[:top_n]
    return [Reranked(i, float(scores[i]), documents[i]) for i in map(int, order)]
