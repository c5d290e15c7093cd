"""Puts another answer in an answer's place, so that a question is read and not known by heart.

After Longpre et al. 2021, "Entity-Based Knowledge Conflicts in Question Answering",
arXiv:2109.05052: models that have met a question answer from memory unless texts contradict it.
"""

import random
import re
from collections.abc import Iterable
from dataclasses import replace

from mlx_backends.bundled.training.generator.documentation.writer import Ask

# Words that begin phrases of one kind, so that one can stand for another in a sentence.
_FIRST_WORDS = frozenset("a an the if when to in by only at after for because on with as".split())
_LONG_WORD = re.compile(r"[^\W_]{5,}")
_KINDS = (
    ("number", re.compile(r"\d[\d.,]*")),
    ("call", re.compile(r"`[\w.]+\([^`]*\)`")),
    ("flag", re.compile(r"`--?[a-z][\w-]*`")),
    ("error", re.compile(r"`?[A-Z]\w*(?:Error|Exception|Warning)`?")),
    ("class", re.compile(r"`[A-Z][a-z]\w*`")),
    ("code", re.compile(r"`[a-z_.]+`")),
)


class AnswerExchange:
    """Exchanges answers for others of their kind.

    Args:
        rng: Of all choices.
        answers: What may stand in an answer's place.
    """

    def __init__(self, rng: random.Random, answers: Iterable[str]) -> None:
        self._rng = rng
        self._pools: dict[str, list[str]] = {}
        for answer in dict.fromkeys(answers):
            if kind := _kind(answer):
                self._pools.setdefault(kind, []).append(answer)

    def page(
        self, blocks: list[str], asks: list[Ask], *, share: float
    ) -> tuple[list[str], list[Ask]]:
        """Exchange an answer in a share of the blocks that are asked about."""
        for block in dict.fromkeys(ask.anchor for ask in asks):
            if self._rng.random() < share:
                about = [ask for ask in asks if ask.anchor == block]
                text, kept = self._block(block, about)
                asks = [ask for ask in asks if ask.anchor != block] + kept
                blocks = [text if other == block else other for other in blocks]
        return blocks, asks

    def _block(self, text: str, asks: list[Ask]) -> tuple[str, list[Ask]]:
        ask = self._rng.choice(asks)
        pool = self._pools.get(_kind(ask.answer), [ask.answer])
        other = self._rng.choice(pool)
        is_clear = text.count(ask.answer) == 1 and other not in text and other not in ask.question
        if not is_clear or set(_words(ask.answer)) & set(_words(ask.question)):
            return text, asks
        changed = text.replace(ask.answer, other)
        gone = set(_words(ask.answer))
        kept = [
            replace(item, anchor=changed)
            for item in asks
            if item is not ask and item.answer in changed and not gone & set(_words(item.question))
        ]
        return changed, [replace(ask, answer=other, anchor=changed), *kept]


def _kind(answer: str) -> str:
    """What an answer can be exchanged for; empty if it is of no such kind."""
    for kind, pattern in _KINDS:
        if pattern.fullmatch(answer):
            return kind
    first, _, rest = answer.partition(" ")
    return first if rest and first in _FIRST_WORDS else ""


def _words(text: str) -> list[str]:
    return _LONG_WORD.findall(text.lower())
