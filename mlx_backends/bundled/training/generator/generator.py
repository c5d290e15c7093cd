"""The generator: all kinds of contexts and conversations, without end and from a seed."""

import random
from collections.abc import Sequence
from typing import Any

from mlx_backends.bundled.training import chatml
from mlx_backends.bundled.training.families import ALL_TRAINED, Fact
from mlx_backends.bundled.training.generator.contexts import Contexts
from mlx_backends.bundled.training.generator.corpus import Corpus
from mlx_backends.bundled.training.generator.documentation import Documentation
from mlx_backends.bundled.training.generator.facts import Facts
from mlx_backends.bundled.training.generator.follow_ups import FollowUps
from mlx_backends.bundled.training.generator.items import Context, Conversation
from mlx_backends.bundled.training.generator.passages import Passages
from mlx_backends.bundled.training.generator.questioning import Questioning
from mlx_backends.bundled.training.generator.small_talk import json_to_order, small_talk
from mlx_backends.bundled.training.generator.tools import Tools
from mlx_backends.bundled.training.lexicon import Names


class Generator:
    """Makes contexts and conversations.

    Args:
        seed: Of all choices.
        corpus: Real prose of the wanted side of the split.
        held_out: Use invented words of the evaluation side.
        families: Families of facts to draw from.
        level: How hard, 0 to 1; training raises it.
    """

    def __init__(
        self,
        seed: int,
        corpus: Corpus,
        *,
        held_out: bool = False,
        families: Sequence[Any] = tuple(ALL_TRAINED),
        level: float = 1.0,
    ) -> None:
        self.rng = random.Random(seed)
        self.corpus = corpus
        self.names = Names(self.rng, held_out=held_out)
        self.names.learn(corpus.nouns, corpus.modifiers)
        self.level = level
        self._facts = Facts(self.names, families)
        self._passages = Passages(self.names, corpus)
        self._contexts = Contexts(self.rng, self._facts, self._passages, held_out=held_out)
        self._documentation = Documentation(self._facts, self._passages, held_out=held_out)
        self._follow_ups = FollowUps(self.names, self._passages)
        self._questioning = Questioning(self.rng)
        self._tools = Tools(self.names)

    def facts(self, count: int) -> list[Fact]:
        """Make facts that share subjects and attributes, with no question in common."""
        return self._facts.draw(count)

    def context(
        self,
        count: int,
        *,
        real: float | None = None,
        filler: float = 0.5,
        strict: bool = True,
        pick: bool = False,
    ) -> Context:
        """Make passages that hold `count` facts; see `Contexts.of_facts`."""
        chance = 0.35 * self.level if real is None else real
        return self._contexts.of_facts(count, real=chance, filler=filler, strict=strict, pick=pick)

    def prose_context(self, count: int) -> Context:
        """Make passages of real prose alone, several from one document."""
        return self._contexts.of_prose(count)

    def documentation_context(self, *, real: bool) -> Context:
        """Make a context of chunks of one page, a real one or an invented project's."""
        return self._documentation.of_real() if real else self._documentation.of_invented()

    @property
    def has_written(self) -> bool:
        """Whether the corpus has questions that were written by hand."""
        return self._documentation.has_written

    def written_context(self) -> Context:
        """Make a context of chunks of a real page, with questions that were written by hand."""
        return self._documentation.of_written()

    def long_context(self) -> Context:
        """Make up to 12 long passages, 1,000 to 3,000 tokens in all."""
        return self._contexts.long()

    def follow_up_context(self) -> Context:
        """Make a context whose questions lean on each other, in the order of its items."""
        return self._follow_ups.context()

    def grounded(
        self, context: Context, *, turns: int | None = None, in_order: bool = False
    ) -> Conversation:
        """Ask several questions of a context in a random wrapper."""
        return self._questioning.conversation(context, turns=turns, in_order=in_order)

    def small_talk(self) -> Conversation:
        """Greet, thank, or ask without passages."""
        return small_talk(self.rng, self._facts)

    def tool_conversation(self) -> Conversation:
        """Call a tool of an invented schema, then answer from its result."""
        return self._tools.conversation()

    def conversation(self) -> Conversation:
        """Make one training conversation of any kind."""
        rng = self.rng
        copying = 0.35 if self.level < 0.12 else 0.02
        draw = rng.random()
        if draw < copying:
            return self.repeat()
        draw = rng.random()
        if draw < 0.10:
            return self.tool_conversation()
        if draw < 0.11:
            return json_to_order(rng) if rng.random() < 0.25 else self.small_talk()
        if draw < 0.14 and self.level > 0.1:
            context = self.prose_context(rng.randint(1, 6))
        elif draw < 0.175 and self.level > 0.2:
            return self.grounded(self.follow_up_context(), in_order=True)
        elif draw < 0.19 and self.level > 0.2:
            context = self.long_context()
        elif draw < 0.66 and self.level > 0.1:
            context = self._any_documentation()
        else:
            context = self.context(self._fact_count(), pick=True)
        if not context.items:
            return self.small_talk()
        return self.grounded(context)

    def _any_documentation(self) -> Context:
        draw = self.rng.random()
        if draw < 0.42 and self.has_written:
            return self.written_context()
        return self.documentation_context(real=draw < 0.56)

    def page(self) -> str:
        """Take real prose to read on from, up to about 1,000 tokens."""
        return self._passages.page(self.rng.randint(800, 4_000)) + chatml.END_OF_TEXT

    def _fact_count(self) -> int:
        rng = self.rng
        if self.level < 0.05:
            return rng.randint(1, 2)
        if self.level < 0.15:
            return rng.randint(1, 4)
        return rng.choice((1, 1, 2, 3, 4, 4, 4, 5, 6, 8, 10, 12))

    def repeat(self) -> Conversation:
        """Ask for a copy, which teaches copying first."""
        rng = self.rng
        words = [
            rng.choice((self.names.value, self.names.name, self.names.identifier))()
            for _ in range(rng.randint(1, 8))
        ]
        text = rng.choice((" ", ", ", " ")).join(words)
        if rng.random() < 0.3:
            text = self._passages.real_sentences(1)[0]
        return Conversation(
            [{"role": "user", "content": f"Repeat: {text}"}, {"role": "assistant", "content": text}]
        )
