"""Batches of token ids and token kinds, from generated conversations."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from mlx_backends.bundled.training import chatml
from mlx_backends.bundled.training.generator import Corpus, Generator
from mlx_backends.bundled.training.lm.model import ANSWER, CONTEXT, PAD, PROSE

_PAGE_SHARE = 0.05
# Lengths of rows; all divide the 46,080 tokens of a batch, so that compiled parts see one shape.
BUCKETS = (192, 256, 320, 384, 480, 576, 640, 768, 960, 1152, 1280, 1536, 1920, 2304, 3072)


class Encoded:
    """Turns conversations into ids and token kinds."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.start = tokenizer.token_to_id(chatml.IM_START)
        self.end = tokenizer.token_to_id(chatml.IM_END)
        self.role = tokenizer.encode("assistant", add_special_tokens=False).ids
        if len(self.role) != 1:
            raise ValueError("the tokenizer must know 'assistant' as one token")

    def __call__(self, texts: list[str]) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for encoding in self.tokenizer.encode_batch_fast(texts, add_special_tokens=False):
            ids = np.asarray(encoding.ids, dtype=np.uint16)
            yield ids, self._kinds(ids)

    def _kinds(self, ids: np.ndarray) -> np.ndarray:
        if ids[0] != self.start:  # a page of real prose
            return np.full(len(ids), PROSE, dtype=np.uint8)
        kinds = np.full(len(ids), CONTEXT, dtype=np.uint8)
        starts = np.flatnonzero((ids[:-2] == self.start) & (ids[1:-1] == self.role[0]))
        ends = np.flatnonzero(ids == self.end)
        for begin in starts:
            end = ends[np.searchsorted(ends, begin)]
            kinds[begin + 3 : end + 1] = ANSWER
        return kinds


def batches(
    seed: int, progress: Any, *, tokenizer: Tokenizer, corpus: Corpus, tokens: int
) -> Iterator[tuple]:
    """Yield (ids, kinds) with `tokens` tokens each, in rows of one bucket."""
    generator = Generator(seed, corpus)
    encode = Encoded(tokenizer)
    pools: dict[int, list] = {length: [] for length in BUCKETS}
    while True:
        generator.level = min(1.0, progress.value / 0.5)
        texts = [
            generator.page()
            if generator.rng.random() < _PAGE_SHARE
            else generator.conversation().text()
            for _ in range(64)
        ]
        for ids, kinds in encode(texts):
            length = next((b for b in BUCKETS if b >= len(ids)), None)
            if length is None:
                continue
            pool = pools[length]
            pool.append((ids, kinds))
            if len(pool) == tokens // length:
                yield pad(pool, length)
                pool.clear()


def pad(pool: list, length: int) -> tuple[np.ndarray, np.ndarray]:
    ids = np.zeros((len(pool), length), dtype=np.int32)
    kinds = np.full((len(pool), length), PAD, dtype=np.uint8)
    for row, (row_ids, row_kinds) in enumerate(pool):
        ids[row, : len(row_ids)] = row_ids
        kinds[row, : len(row_ids)] = row_kinds
    return ids, kinds
