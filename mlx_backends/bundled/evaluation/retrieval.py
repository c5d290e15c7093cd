"""Measures the encoder and the reranker: which passage of many answers a question."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mlx_backends.bundled.evaluation.held_out_prose import HeldOutProse
from mlx_backends.bundled.figures import Figure
from mlx_backends.bundled.training import recall
from mlx_backends.bundled.training.families import (
    ALL_TRAINED,
    HELD_OUT,
    HELD_OUT_RELATIONS,
    HELD_OUT_REWORDED,
)
from mlx_backends.bundled.training.generator import Corpus, Generator
from mlx_backends.retrieval.hybrid_index import HybridIndex
from mlx_backends.retrieval.splitter import Chunk

POOL = 500
TOP = 50
# Of the items; fusion was tuned on those of another.
SEED = 41
_GATE_KNOWN, _GATE_UNSEEN, _GATE_GAIN = 0.97, 0.88, 0.03

Vectors = NDArray[np.float32]
Embed = Callable[[list[str]], Vectors]
# A question and passages to one score each, higher is better.
Score = Callable[[str, list[str]], Sequence[float] | Vectors]
Items = tuple[list[str], list[str]]


@dataclass(frozen=True, slots=True)
class Pool:
    """Questions, each answered by the passage at its own index, with their vectors.

    Attributes:
        asked: Questions.
        passages: At least as many passages.
        similarity: Shape (questions, passages).
        vectors: Of the questions and of the passages.
    """

    asked: list[str]
    passages: list[str]
    similarity: Vectors
    vectors: tuple[Vectors, Vectors]


@dataclass(frozen=True, slots=True)
class _Kind:
    """One kind of items, and what the encoder has to reach on them."""

    name: str
    make: Callable[[Generator, int], Items]
    families: Sequence[object]
    gate: float | None
    corpus: Callable[[HeldOutProse], Corpus] = lambda prose: prose.all


_STATEMENTS = (
    _Kind("known phrasing", recall.statements, ALL_TRAINED, _GATE_KNOWN),
    _Kind("unseen phrasing", recall.statements, HELD_OUT, _GATE_UNSEEN),
    _Kind("reworded questions", recall.statements, HELD_OUT_REWORDED, None),
    _Kind("unseen relations, reworded", recall.statements, HELD_OUT_RELATIONS, None),
)
# A bare statement leaves a reranker nothing to gain; a page does.
_PAGES = (
    _Kind("pages, known phrasing", recall.pages, ALL_TRAINED, None),
    _Kind("pages, unseen phrasing", recall.pages, HELD_OUT, None),
    _Kind("pages, reworded questions", recall.pages, HELD_OUT_REWORDED, None),
    _Kind("pages, unseen relations", recall.pages, HELD_OUT_RELATIONS, None),
    _Kind("real prose", recall.prose, ALL_TRAINED, None),
    _Kind("written questions", recall.written, ALL_TRAINED, None, lambda prose: prose.written),
)


def measure_encoder(
    prose: HeldOutProse, items: int, embed: Embed, rows: Sequence[str] = ()
) -> list[Figure]:
    """Recall at 1 among 500 of the encoder, of BM25 and of the two fused.

    Args:
        prose: The evaluation side of the collection.
        items: Questions of each row.
        embed: The encoder.
        rows: Only kinds of items with one of these texts in the name; all if empty.
    """
    figures = []
    for kind in _named((*_STATEMENTS, *_PAGES), rows):
        pools = list(_pools(kind, prose, items, embed))
        count = sum(len(pool.asked) for pool in pools)
        dense, words, fused = (
            sum(recalled(pool) * len(pool.asked) for pool in pools) / count
            for recalled in (_dense_recall, _bm25_recall, _hybrid_recall)
        )
        metric = f"recall@1 of {POOL}"
        figures += [
            Figure(f"{kind.name}: encoder", metric, dense, count, kind.gate),
            Figure(f"{kind.name}: BM25", metric, words, count),
            Figure(f"{kind.name}: hybrid", metric, fused, count, max(dense, words)),
        ]
    return figures


def measure_reranker(
    prose: HeldOutProse, items: int, embed: Embed, score: Score, rows: Sequence[str] = ()
) -> list[Figure]:
    """Gain of nDCG at 10 when the encoder's 50 best are ranked again.

    Args:
        prose: The evaluation side of the collection.
        items: Questions of each row.
        embed: The encoder.
        score: The reranker.
        rows: As in ``measure_encoder``.
    """
    figures = []
    for kind in _named(_PAGES, rows):
        pools = list(_pools(kind, prose, items, embed))
        count = sum(len(pool.asked) for pool in pools)
        before = ndcg([rank for pool in pools for rank in ranks(pool, TOP)])
        after = ndcg([rank for pool in pools for rank in ranks(pool, TOP, score)])
        metric = f"nDCG@10 of the {TOP} best"
        figures += [
            Figure(f"{kind.name}: encoder", metric, before, count),
            Figure(f"{kind.name}: reranker", metric, after, count, before + _GATE_GAIN),
        ]
    return figures


def ndcg(ranks: Sequence[int | None], depth: int = 10) -> float:
    """Mean nDCG of rankings with one right passage each.

    Args:
        ranks: Rank of the right passage from 0, None where it is missing.
        depth: Ranks from here on count nothing.

    Source: Järvelin and Kekäläinen 2002; with one right passage the ideal gain is 1.
    """
    gains = [1 / np.log2(rank + 2) if rank is not None and rank < depth else 0.0 for rank in ranks]
    return float(np.mean(gains))


def _named(kinds: Sequence[_Kind], rows: Sequence[str]) -> list[_Kind]:
    return [kind for kind in kinds if not rows or any(text in kind.name for text in rows)]


def _pools(kind: _Kind, prose: HeldOutProse, items: int, embed: Embed) -> Iterator[Pool]:
    """Pools of 500 passages each; the last may ask fewer questions than it has passages."""
    generator = Generator(SEED, kind.corpus(prose), held_out=True, families=kind.families)
    for start in range(0, items, POOL):
        asked, passages = kind.make(generator, POOL)
        asked = asked[: items - start]
        questions, texts = embed(asked), embed(passages)
        yield Pool(asked, passages, questions @ texts.T, (questions, texts))
        if len(asked) < POOL:  # all that there are
            return


def _dense_recall(pool: Pool) -> float:
    return float((pool.similarity.argmax(axis=1) == np.arange(len(pool.asked))).mean())


def _bm25_recall(pool: Pool) -> float:
    return recall.bm25(pool.asked, pool.passages)


def _hybrid_recall(pool: Pool) -> float:
    chunks = [Chunk(text, str(index), 1, 1, "") for index, text in enumerate(pool.passages)]
    questions, texts = pool.vectors
    index = HybridIndex(chunks, texts)
    found = [
        index.search(text, vector, 1)[0].chunk.path
        for text, vector in zip(pool.asked, questions, strict=True)
    ]
    return float(np.mean([path == str(row) for row, path in enumerate(found)]))


def ranks(pool: Pool, top: int, score: Score | None = None) -> list[int | None]:
    """Rank of each right passage among the encoder's best, ranked again if there is a score."""
    ranks: list[int | None] = []
    for row, question in enumerate(pool.asked):
        best = np.argsort(-pool.similarity[row], kind="stable")[:top]
        if score is not None and row in best:  # else no order helps
            scores = np.asarray(score(question, [pool.passages[index] for index in best]))
            best = best[np.argsort(-scores, kind="stable")]
        found = np.flatnonzero(best == row)
        ranks.append(int(found[0]) if len(found) else None)
    return ranks
