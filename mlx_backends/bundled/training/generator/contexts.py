"""Puts passages together into contexts, with every question over them."""

import random
import textwrap

from mlx_backends.bundled.training.families import Fact
from mlx_backends.bundled.training.generator.facts import Facts
from mlx_backends.bundled.training.generator.items import Context, Item
from mlx_backends.bundled.training.generator.near_misses import (
    NearMisses,
    is_covered,
    shared_words,
)
from mlx_backends.bundled.training.generator.passages import Passage, Passages
from mlx_backends.bundled.training.generator.tables import Tables

# Share of contexts that keep only so many unanswerable questions, the nearest to their passages.
_NEAREST = 0.85
_FEW_MISSES = 2


class Contexts:
    """Makes contexts of facts, of real prose, and long ones of both."""

    def __init__(
        self, rng: random.Random, facts: Facts, passages: Passages, *, held_out: bool = False
    ) -> None:
        self.rng = rng
        self.facts = facts
        self.passages = passages
        self.near_misses = NearMisses(facts, held_out=held_out)
        self.tables = Tables(facts.names, passages)

    def of_facts(
        self, count: int, *, real: float, filler: float, strict: bool = True, pick: bool = False
    ) -> Context:
        """Make passages that hold `count` facts, and every question over them.

        Args:
            count: Number of facts.
            real: Chance that a passage is real prose with questions made by rules.
            filler: Chance of real sentences around a fact.
            strict: Whether unanswerable questions are one name, one role or one relation off, where
                that is possible; otherwise they are of facts that are not stated.
            pick: Make more unanswerable questions, and mostly keep those whose words the passages
                have, which are the harder ones.
        """
        rng = self.rng
        blocks: list[Passage] = []
        more = rng.choice((1, 2, 2, 3))
        facts = self.facts.draw(count, near=more + 2) if pick else self.facts.draw(count + more)
        ghosts, facts = facts[count:], facts[:count]
        stated = facts
        paragraph = rng.random() < filler
        while facts:
            size = min(len(facts), rng.choice((1, 1, 2, 3, 4)) if paragraph else 1)
            group, facts = facts[:size], facts[size:]
            blocks.append(self.passages.of_facts(group, paragraph=paragraph))
        if paragraph and rng.random() < 0.35:
            tables = self.tables
            maker = rng.choice((tables.card, tables.table, tables.two_columns, tables.settings))
            blocks.append(maker())
        misses: list[Item] = []
        for _ in range(rng.randint(0, 3) if rng.random() < real else 0):
            block, missed = self.passages.of_prose(rng.randint(1, 5))
            blocks.append(block)
            misses += missed
        blocks = blocks[:12]
        misses += self._ghost_items(ghosts, stated)
        if strict and stated:
            text = "\n".join(text for text, _ in blocks)
            near = [Item(question, None) for question in self.near_misses.of(stated, text)]
            misses = near + misses if rng.random() < 0.75 else near or misses
        if pick and rng.random() < _NEAREST:
            passages = [text for text, _ in blocks]
            misses.sort(key=lambda item: -shared_words(item.question, passages))
            misses = misses[:_FEW_MISSES]
        return self._assemble(blocks, misses)

    def of_prose(self, count: int) -> Context:
        """Make passages of real prose alone, several from one document."""
        rng = self.rng
        blocks, misses = [], []
        document = None
        for _ in range(count):
            if document is None or rng.random() < 0.5:
                document = rng.choice(self.passages.documents)
            block, missed = self.passages.of_prose(rng.randint(1, 6), document)
            blocks.append(block)
            misses += missed
        return self._assemble(blocks, misses)

    def long(self) -> Context:
        """Make up to 12 long passages, 1,000 to 3,000 tokens in all."""
        rng = self.rng
        blocks, misses = [], []
        facts = self.facts.draw(rng.randint(4, 12) + 2)
        ghosts, facts = facts[:2], facts[2:]
        stated = facts
        for _ in range(rng.randint(5, 12)):
            size = rng.randint(1, 3)
            group, facts = facts[:size], facts[size:]
            if group:
                text, items = self.passages.of_facts(group, paragraph=True)
                (more, extra), missed = self.passages.of_prose(rng.randint(2, 6))
                parts = [text, more] if rng.random() < 0.5 else [more, text]
                block = (rng.choice((" ", "\n", "\n\n")).join(parts), items + extra)
            else:
                block, missed = self.passages.of_prose(rng.randint(3, 9))
            blocks.append(block)
            misses += missed
        return self._assemble(blocks, self._ghost_items(ghosts, stated) + misses)

    def _assemble(self, blocks: list[Passage], misses: list[Item]) -> Context:
        rng = self.rng
        rng.shuffle(blocks)
        passages = [text for text, _ in blocks]
        joined = "\n".join(passages)
        items: list[Item] = []
        for index, (_, found) in enumerate(blocks):
            # What two passages say cannot be cited with certainty.
            items += [
                Item(i.question, i.answer, index, i.sentence)
                for i in found
                if joined.count(i.sentence) == 1
            ]
        if rng.random() < 0.4:
            width = rng.randint(64, 112)
            passages = [_wrapped(text, width) for text in passages]
        rng.shuffle(items)
        kept_misses = [item for item in misses if not item.sentence or item.sentence not in joined]
        rng.shuffle(kept_misses)
        return Context(passages, items + [Item(item.question, None) for item in kept_misses[:4]])

    def _ghost_items(self, ghosts: list[Fact], stated: list[Fact]) -> list[Item]:
        """Ask for facts that are not stated, unless a stated one may say it in other words."""
        statements = [fact.statement for fact in stated]
        questions = [self.rng.choice(fact.asks)[0] for fact in ghosts]
        return [Item(text, None) for text in questions if not is_covered(text, statements)]


def _wrapped(text: str, width: int) -> str:
    """Break long lines, as the source of a Markdown page does; answers keep their spaces."""
    lines = []
    for line in text.split("\n"):
        is_prose = len(line) > width and not line.startswith(("|", "#", "`", " "))
        lines += (
            textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False)
            if is_prose
            else [line]
        )
    return "\n".join(lines)
