"""Finds chunks by their words and by their meaning, and fuses the two rankings."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import bm25s
import numpy as np
from numpy.typing import NDArray

from mlx_backends.errors import RequestError
from mlx_backends.retrieval.splitter import Chunk

# Of the paper that introduced the fusion; its results hardly move between 10 and 100.
RRF_K = 60

_CJK = "\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af"
_WORD = re.compile(rf"[{_CJK}]|[^\W{_CJK}]+")
# Inside an identifier: at underscores, before a capital, and between letters and digits.
_PART_END = re.compile(
    r"_+|(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])|(?<=\D)(?=\d)|(?<=\d)(?=\D)"
)


@dataclass(frozen=True, slots=True)
class Hit:
    """A chunk that was found; a higher score is better, and scores of one search compare."""

    chunk: Chunk
    score: float


class HybridIndex:
    """BM25 and cosine similarity over the same chunks.

    Fusion is by reciprocal rank: a chunk's score is the sum of 1 / (60 + rank) over the rankings
    that it is in. Ranks need no calibration between the two kinds of score.

    Source: Cormack, Clarke and Buettcher 2009, "Reciprocal Rank Fusion Outperforms Condorcet and
        Individual Rank Learning Methods".

    Args:
        chunks: What is searched.
        vectors: Shape (len(chunks), dimensions): an embedding of each chunk, of any length.

    Raises:
        RequestError: The two do not fit together, or there is no chunk.
    """

    def __init__(self, chunks: Sequence[Chunk], vectors: NDArray[np.float32]) -> None:
        if not chunks:
            raise RequestError("There is nothing to search: no chunks were given.")
        if vectors.ndim != 2 or len(vectors) != len(chunks):
            raise RequestError(
                f"{len(chunks)} chunks need as many vectors; got an array of {vectors.shape}."
            )
        self.chunks = list(chunks)
        self._vectors = _unit_rows(vectors)
        self._words = _WordIndex([f"{chunk.heading}\n{chunk.text}" for chunk in chunks])

    def search(self, query_text: str, query_vector: NDArray[np.float32], top_k: int) -> list[Hit]:
        """The best chunks, best first; at most ``top_k``.

        Args:
            query_text: Searched for by its words.
            query_vector: Shape (dimensions,): the query's embedding.
            top_k: At least 1.

        Raises:
            RequestError: ``top_k`` or the vector's shape does not fit.
        """
        if top_k < 1:
            raise RequestError(f"top_k must be at least 1; got {top_k}.")
        if query_vector.shape != self._vectors.shape[1:]:
            raise RequestError(
                f"The query's vector has the shape {query_vector.shape}; chunks have "
                f"{self._vectors.shape[1:]}. Embed both with the same model."
            )
        by_meaning = _ranking(self._vectors @ _unit_rows(query_vector[None])[0])
        by_words = _ranking(self._words.scores(query_text), above=0.0)
        fused = _fuse([by_meaning, by_words], len(self.chunks))
        best = np.argsort(-fused, kind="stable")[:top_k]
        return [Hit(self.chunks[index], float(fused[index])) for index in best]


class _WordIndex:
    """BM25 over texts (Robertson et al. 1994, in Lucene's form)."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._bm25 = bm25s.BM25(method="lucene")
        # BM25 divides by the mean length, so a text without words gets the empty one.
        self._bm25.index([words(text) or [""] for text in texts], show_progress=False)
        self._num_texts = len(texts)

    def scores(self, query: str) -> NDArray[np.float32]:
        """Shape (number of texts,); 0 where no word of the query occurs."""
        wanted = words(query)
        return self._bm25.get_scores(wanted) if wanted else np.zeros(self._num_texts, np.float32)


def words(text: str) -> list[str]:
    """Words to match by, in lower case.

    A code identifier stands for itself and for its parts, so that ``max_tokens`` finds "max tokens"
    and "context length" finds ``ContextLengthError``. Languages written without spaces are matched
    character by character.
    """
    found = []
    for word in _WORD.findall(text):
        found.append(word.lower())
        parts = [part.lower() for part in _PART_END.split(word) if part]
        if parts != found[-1:]:
            found += parts
    return found


def _unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(norms, 1e-12)).astype(np.float32)


def _ranking(scores: NDArray[np.float32], above: float = -np.inf) -> NDArray[np.intp]:
    """Indices from the best score down, of scores over ``above`` only; ties in index order."""
    order = np.argsort(-scores, kind="stable")
    return order[scores[order] > above]


def _fuse(rankings: Sequence[NDArray[np.intp]], count: int) -> NDArray[np.float64]:
    """Reciprocal rank fusion: a score for each of ``count`` entries."""
    fused = np.zeros(count)
    for ranking in rankings:
        fused[ranking] += 1.0 / (RRF_K + np.arange(1, len(ranking) + 1))
    return fused
