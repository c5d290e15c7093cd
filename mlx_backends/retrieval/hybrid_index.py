"""Finds chunks by their words and by their meaning, and fuses the two rankings."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import bm25s
import numpy as np
from numpy.typing import NDArray

from mlx_backends.errors import RequestError
from mlx_backends.retrieval.splitter import Chunk

# Share of meaning in the fused score; the rest is words. On other items of the kinds in the bundled
# encoder's card, .65 and .7 fall least behind the better of the two alone. On this project's
# documentation, unlike what the encoder learned from, .6 to .7 find as much, and .75 finds less.
MEANING_WEIGHT = 0.65
# Of BM25, k1 and b: how soon repeating a word stops to count, and how much length does. Defaults of
# Pyserini (Lin et al. 2021, arXiv:2102.10073), better for passages than the common 1.5 and .75.
_SATURATION, _LENGTH = 0.9, 0.4
# Words that a question is made with, not about; in short texts they are rare enough to mislead.
_FUNCTION_WORDS = """
    a an and are as at be been but by can could did do does for from had has have how if in into is
    it its me my no not of on or out should so such than that the their them then there these they
    this those to was were what when where which who whom whose why will with would you your
"""

# Before a part of a word; no word holds it.
_PART = "/"

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

    Fusion is a weighted mean of the two scores, each scaled so that the query's best chunk has 1
    and its worst 0 (for words: a chunk that shares none). Unlike ranks, scores tell how clear a
    winner is, so the surer of the two decides.

    Source: Bruch, Gai and Ingber 2022, "An Analysis of Fusion Functions for Hybrid Retrieval",
        arXiv:2210.11934: convex combination does better than reciprocal ranks.

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
        self._words = _WordIndex([chunk.passage for chunk in chunks])

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
        by_meaning = self._vectors @ _unit_rows(query_vector[None])[0]
        by_words = self._words.scores(query_text)
        fused = _fuse(by_meaning, by_words)
        best = np.argsort(-fused, kind="stable")[:top_k]
        return [Hit(self.chunks[index], float(fused[index])) for index in best]


class _WordIndex:
    """BM25 over texts (Robertson et al. 1994, in Lucene's form)."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._bm25 = bm25s.BM25(method="lucene", k1=_SATURATION, b=_LENGTH)
        # BM25 divides by the mean length, so a text without words gets the empty one.
        self._bm25.index([words(text) or [""] for text in texts], show_progress=False)
        self._num_texts = len(texts)
        self._ignored = frozenset(words(_FUNCTION_WORDS))

    def scores(self, query: str) -> NDArray[np.float32]:
        """Shape (number of texts,); 0 where no word of the query occurs."""
        asked = words(query)
        wanted = [word for word in asked if word not in self._ignored] or asked
        return self._bm25.get_scores(wanted) if wanted else np.zeros(self._num_texts, np.float32)


def words(text: str) -> list[str]:
    """Words to match by, in lower case: each as it stands, then marked, its parts.

    A word without parts is its own only part. So ``max_tokens`` finds "max tokens", "context
    length" finds ``ContextLengthError``, and a word that stands there alone counts more than one
    inside an identifier. Languages written without spaces are matched character by character.
    """
    found = []
    for word in _WORD.findall(text):
        parts = [part for part in _PART_END.split(word) if part]
        found += [word.lower(), *(_PART + part.lower() for part in parts)]
    return found


def _unit_rows(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.maximum(norms, 1e-12)).astype(np.float32)


def _fuse(by_meaning: NDArray[np.float32], by_words: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weighted mean of the two scores of every chunk, from 0 to 1."""
    meaning = _scaled(by_meaning, low=float(by_meaning.min()))
    fused = MEANING_WEIGHT * meaning + (1 - MEANING_WEIGHT) * _scaled(by_words, low=0.0)
    return fused.astype(np.float32)


def _scaled(scores: NDArray[np.float32], low: float) -> NDArray[np.float32]:
    """Map ``low`` to 0 and the best score to 1; all to 0 if none is above ``low``."""
    spread = float(scores.max()) - low
    return (scores - low) / spread if spread > 0 else np.zeros_like(scores)
