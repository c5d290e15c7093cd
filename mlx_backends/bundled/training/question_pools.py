"""Questions and the passages they are asked of, in batches: data of the encoder and the reranker."""

import bisect
import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from mlx_backends.bundled.training.generator import Context, Corpus, Generator
from mlx_backends.bundled.training.recall import unwrapped

QUESTION_LENGTH = 48
# Passage length in tokens -> how often a batch has it.
LENGTH_WEIGHTS = {64: 0.3, 160: 0.25, 320: 0.39, 512: 0.06}
# Share of questions that mark no code, as most people write them.
_UNMARKED = 0.5
# Shares of documentation's contexts that are real pages, with questions written by hand and by rules.
_WRITTEN = 0.4
_REAL = 0.2


@dataclass(slots=True)
class Pool:
    """Passages, and questions of which each is answered by one of them.

    Attributes:
        passages: Passages of several contexts, those of one context in a row.
        questions: Distinct questions.
        positives: Index of the passage that answers, for each question.
        sentences: The sentence of that passage which answers.
    """

    passages: list[str] = field(default_factory=list)
    questions: list[str] = field(default_factory=list)
    positives: list[int] = field(default_factory=list)
    sentences: list[str] = field(default_factory=list)

    def add(self, context: Context, *, max_passages: int, max_questions: int) -> None:
        """Take a context's passages and questions as far as there is room."""
        start = len(self.passages)
        for item in context.items:
            is_answered = item.answer is not None and start + item.passage < max_passages
            if is_answered and item.question not in self.questions[-64:]:
                self.questions.append(item.question)
                self.positives.append(start + item.passage)
                self.sentences.append(item.sentence)
        self.passages += context.passages[: max_passages - start]
        for kept in (self.questions, self.positives, self.sentences):
            del kept[max_questions:]

    def twins(self) -> list[tuple[int, int]]:
        """Pairs of a question and a passage that answers it too: no negatives.

        Passages of real prose overlap, so several can hold the sentence that answers.
        """
        lines = [unwrapped(passage) for passage in self.passages]
        starts = list(itertools.accumulate((len(line) + 1 for line in lines), initial=0))
        joined = "\n".join(lines)
        found = []
        for row, sentence in enumerate(map(unwrapped, self.sentences)):
            at = joined.find(sentence) if sentence else -1
            while at >= 0:
                passage = bisect.bisect_right(starts, at) - 1
                if passage != self.positives[row]:
                    found.append((row, passage))
                at = joined.find(sentence, at + 1)
        return found


Batch = tuple[
    NDArray[np.int32],
    NDArray[np.int64],
    NDArray[np.int32],
    NDArray[np.int64],
    NDArray[np.int64],
    NDArray[np.int64],
]


def batches(
    seed: int,
    progress: Any,
    *,
    tokenizer: Tokenizer,
    corpus: Corpus,
    shapes: Mapping[int, tuple[int, int]],
) -> Iterator[Batch]:
    """Yield tokenized pools without end.

    Args:
        seed: Of the generator.
        progress: Unused; data does not depend on how far the training is.
        tokenizer: Makes the ids.
        corpus: Real prose of the training side.
        shapes: Passage length -> number of passages and of questions.

    Yields:
        Question ids and lengths, passage ids and lengths, the positive of each question, and
        twins of shape (n, 2) as in ``Pool.twins``.
    """
    generator = Generator(seed, corpus)
    while True:
        length = generator.rng.choices(list(LENGTH_WEIGHTS), list(LENGTH_WEIGHTS.values()))[0]
        pool = draw(generator, length, *shapes[length])
        yield (
            *encode_rows(tokenizer, pool.questions, QUESTION_LENGTH),
            *encode_rows(tokenizer, pool.passages, length),
            np.asarray(pool.positives, np.int64),
            np.asarray(pool.twins(), np.int64).reshape(-1, 2),
        )


def draw(generator: Generator, length: int, num_passages: int, num_questions: int) -> Pool:
    """Make a pool of exactly so many passages and questions, from contexts of a length."""
    while True:
        pool = Pool()
        while len(pool.passages) < num_passages:
            context = draw_context(generator, length)
            pool.add(context, max_passages=num_passages, max_questions=num_questions)
        if len(pool.questions) == num_questions:
            return pool


def draw_context(generator: Generator, length: int) -> Context:
    """Make a context of passages of about so many tokens."""
    rng = generator.rng
    if length <= 64:
        return generator.context(rng.randint(4, 10), real=0.7, filler=0.1)
    if length <= 160:
        return generator.context(rng.randint(4, 12), real=0.8, filler=0.9)
    if length <= 320 and rng.random() < 0.7:
        return _unmarked(generator, _documentation(generator))
    if rng.random() < 0.4:
        return generator.prose_context(rng.randint(4, 8))
    return generator.long_context()


def _documentation(generator: Generator) -> Context:
    """Make a context of chunks of one page: asked by hand, by rules, or an invented page."""
    draw = generator.rng.random()
    if draw < _WRITTEN and generator.has_written:
        return generator.written_context()
    return generator.documentation_context(real=draw < _WRITTEN + _REAL)


def _unmarked(generator: Generator, context: Context) -> Context:
    """Take the backticks out of some questions."""
    items = [
        replace(item, question=item.question.replace("`", ""))
        if generator.rng.random() < _UNMARKED
        else item
        for item in context.items
    ]
    return replace(context, items=items)


def encode_rows(
    tokenizer: Tokenizer, texts: list[str], length: int
) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    """Tokenize to rows padded with zeros and their lengths.

    Shapes: returns (len(texts), length) and (len(texts),).
    """
    ids = np.zeros((len(texts), length), np.int32)
    lengths = np.zeros(len(texts), np.int64)
    for row, encoding in enumerate(tokenizer.encode_batch_fast(texts, add_special_tokens=False)):
        found = encoding.ids[:length]
        ids[row, : len(found)] = found
        lengths[row] = max(1, len(found))
    return ids, lengths
