"""Contexts of a few chunks, cut from a page by the splitter that the product uses."""

import math
import random
import re
import textwrap
from collections import Counter
from dataclasses import dataclass, field

from mlx_backends.bundled.training.families import Fact
from mlx_backends.bundled.training.generator.documentation.exchange import AnswerExchange
from mlx_backends.bundled.training.generator.documentation.headed import (
    console,
    example,
    run_in_head,
)
from mlx_backends.bundled.training.generator.documentation.listings import Listings
from mlx_backends.bundled.training.generator.documentation.references import References
from mlx_backends.bundled.training.generator.documentation.renaming import Renaming
from mlx_backends.bundled.training.generator.documentation.sections import SECTIONS
from mlx_backends.bundled.training.generator.documentation.writer import Ask, Section, Writer
from mlx_backends.bundled.training.generator.facts import Facts
from mlx_backends.bundled.training.generator.items import Context, Item
from mlx_backends.bundled.training.generator.passages import Passages
from mlx_backends.bundled.training.grammar import capitalize, component_name, thing_name
from mlx_backends.retrieval.documents import Document
from mlx_backends.retrieval.splitter import Splitter

# Contexts that a page serves.
_USES = 4
_MOST_MISSES = 2
# Share of written questions that are asked of their paragraph amid pages that have nothing to do with
# it: only there is it certain that nothing answers what the paragraph does not say.
_ALONE = 0.3
# Share of pages with written questions whose names are exchanged, so that none is learned by heart.
_RENAMED = 0.6
# Share of paragraphs that begin with what they are about in bold.
_RUN_IN = 0.15
# Share of paragraphs with written questions in which an answer is exchanged, for the same reason.
_EXCHANGED = 0.35
# Share of searched contexts whose passages keep the order of the search, as in use.
_IN_ORDER = 0.7
# Characters of a chunk; those of the product are as long as 160 tokens, about 490 characters.
_SIZES = ((260, 420), (380, 560), (420, 520), (420, 520), (450, 900))
_WORD = re.compile(r"[a-z]+|\d+")


@dataclass(slots=True)
class _Page:
    """Chunks of a page as a model sees them, and what the page answers.

    Attributes:
        chunks: The passages.
        asks: Questions with their answers.
        places: For each question, the chunks that hold its anchor.
    """

    chunks: list[str] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)
    places: list[list[int]] = field(default_factory=list)

    @classmethod
    def of(cls, chunks: list[str], asks: list[Ask]) -> "_Page":
        plain = [" ".join(chunk.split()) for chunk in chunks]
        places = [[i for i, text in enumerate(plain) if ask.anchor in text] for ask in asks]
        return cls(chunks, asks, places)

    def ranked(self, question: str) -> list[int]:
        """Chunks in the order in which a search by words finds them."""
        words = [set(_WORD.findall(chunk.lower())) for chunk in self.chunks]
        counts = Counter(word for found in words for word in found)
        asked = {word for word in _WORD.findall(question.lower()) if word in counts}
        rarity = {word: math.log(1 + len(words) / counts[word]) for word in asked}
        scores = [sum(rarity[word] for word in asked & found) for found in words]
        return sorted(range(len(scores)), key=lambda index: -scores[index])


class Documentation:
    """Makes contexts of invented pages and of real ones."""

    def __init__(self, facts: Facts, passages: Passages, *, held_out: bool) -> None:
        self.rng: random.Random = facts.rng
        self.names = facts.names
        self._facts = facts
        self._passages = passages
        self._held_out = held_out
        self._listings = Listings(self.rng, passages.corpus)
        self._references = References(self.rng, passages.corpus, held_out=held_out)
        written = [item.answer for found in passages.corpus.written.values() for item in found]
        self._exchange = AnswerExchange(self.rng, filter(None, written))
        self._page = _Page()
        self._uses = 0
        self._written = [
            (document, index)
            for document in passages.documents
            for index, paragraph in enumerate(document)
            if paragraph[0] in passages.corpus.written
        ]

    def of_invented(self) -> Context:
        """Make a context of an invented project's page; at times a chunk of a real one is among."""
        if not self._uses:
            self._page = self._invented_page()
            self._uses = _USES
        self._uses -= 1
        others = self._real_page().chunks[:2] if self.rng.random() < 0.2 else []
        return self._context(self._page, others)

    def of_real(self) -> Context:
        """Make a context of a real page."""
        return self._context(self._real_page(), [])

    def of_written(self) -> Context:
        """Make a context of a real page with questions that were written by hand."""
        document, index = self.rng.choice(self._written)
        if self.rng.random() < _ALONE:
            return self._alone(document[index])
        start = max(0, index - self.rng.randint(0, 5))
        page = self._written_page(document[start : index + self.rng.randint(2, 6)])
        return self._context(page, [])

    @property
    def has_written(self) -> bool:
        """Whether any paragraph has questions that were written by hand."""
        return bool(self._written)

    def _written_page(self, paragraphs: list[list[str]]) -> _Page:
        """Write real paragraphs as a page, with what they answer."""
        rng, corpus = self.rng, self._passages.corpus
        blocks, asks = [], []
        for paragraph in paragraphs:
            text = " ".join(paragraph)
            blocks += [*self._heading(paragraph), text]
            asks += [
                Ask(item.question, item.answer, text)
                for item in corpus.written.get(paragraph[0], ())
                if item.answer is not None
            ]
        if not self._held_out:  # the evaluation asks what was written of what was written
            blocks, asks = self._exchange.page(blocks, asks, share=_EXCHANGED)
            blocks = self._dressed(blocks)
        if rng.random() < _RENAMED:
            blocks, asks = Renaming(self.names).page(blocks, asks)
        return _Page.of(self._chunks(blocks), asks)

    def _dressed(self, blocks: list[str]) -> list[str]:
        """Write some paragraphs as items, and put a title, tables, lists and commands amid them."""
        rng = self.rng
        writer = Writer(self.names, held_out=self._held_out)
        title = rng.choice((writer.project.name, capitalize(thing_name(self.names))))
        dressed = [f"# {title}"] if rng.random() < 0.85 else []
        if dressed and rng.random() < 0.5:
            dressed.append(f"## {capitalize(component_name(self.names))}")
        for block in blocks:
            draw = 1.0 if block.startswith(("#", "|", "-", "```")) else rng.random()
            if draw < 0.12:
                block = f"{rng.choice(('- ', '- ', '1. ', '> '))}{block}"
            elif draw < 0.2:
                block = f"{run_in_head(writer)} {block}"
            elif draw < 0.26:
                dressed += rng.choice((self._listings, self._references)).section().blocks
            elif draw < 0.4:
                dressed += rng.choice((console, example))(writer).blocks[:2]
            dressed.append(block)
        return dressed

    def _alone(self, paragraph: list[str]) -> Context:
        """Ask a paragraph amid chunks of other pages all that was written for it."""
        rng = self.rng
        page = self._written_page([paragraph])
        others = self._real_page().chunks[: rng.choice((0, 1, 2, 3, 3, 3, 4, 5))]
        passages = [*page.chunks, *others]
        rng.shuffle(passages)
        items = [
            Item(ask.question, ask.answer, passages.index(page.chunks[places[0]]), ask.anchor)
            for ask, places in zip(page.asks, page.places, strict=True)
            if len(places) == 1
        ]
        written = self._passages.corpus.written[paragraph[0]]
        items += [Item(item.question, None) for item in written if item.answer is None]
        rng.shuffle(items)
        return Context(passages, items)

    def _heading(self, paragraph: list[str]) -> list[str]:
        heading = self._passages.corpus.headings.get(paragraph[0])
        return [f"{self.rng.choice(('##', '###'))} {heading}"] if heading else []

    def _invented_page(self) -> _Page:
        rng = self.rng
        writer = Writer(self.names, held_out=self._held_out)
        weights = [weight for weight, _ in SECTIONS]
        makers = [maker for _, maker in SECTIONS]
        blocks = [f"# {rng.choice((writer.project.name, capitalize(thing_name(self.names))))}"]
        if rng.random() < 0.6:
            blocks.append(" ".join(self._passages.real_sentences(rng.randint(1, 2))))
        asks: list[Ask] = []
        for maker in rng.choices(makers, weights, k=rng.randint(5, 9)):
            draw = rng.random()
            if draw < 0.22:
                listed = self._listings if draw < 0.08 else self._references
                section = listed.section()
            else:
                section = maker(writer) if draw < 0.88 else self._facts_section()
            blocks += self._headed(writer, section)
            asks += section.asks
        return _Page.of(self._chunks(blocks), asks)

    def _headed(self, writer: Writer, section: Section) -> list[str]:
        rng = self.rng
        title = capitalize(rng.choice((component_name, thing_name))(self.names))
        first, *rest = section.blocks or [""]
        is_headed = first.startswith("#")
        blocks = []
        if not is_headed and rng.random() < 0.6:
            blocks.append(f"{rng.choice(('##', '##', '##', '###'))} {title}")
        if not is_headed and rng.random() < 0.3:
            blocks.append(" ".join(self._passages.real_sentences(1)))
        elif first[:1].isalpha() and rng.random() < _RUN_IN:
            first = f"{run_in_head(writer)} {first}"
        blocks += [first, *rest] if section.blocks else []
        if rng.random() < 0.25:
            blocks.append(" ".join(self._passages.real_sentences(rng.randint(1, 2))))
        return blocks

    def _facts_section(self) -> Section:
        """Write facts of the families as a paragraph or a list."""
        rng = self.rng
        facts = [fact for fact in self._facts.draw(rng.randint(1, 5)) if "\n" not in fact.statement]
        asks = [ask for fact in facts if (ask := self._asked(fact))]
        lines = [fact.statement for fact in facts]
        body = (
            " ".join(lines)
            if rng.random() < 0.6
            else "\n".join(f"- {line.removeprefix('- ')}" for line in lines)
        )
        return Section([body] if body else [], asks)

    def _asked(self, fact: Fact) -> Ask | None:
        question, answer = self.rng.choice(fact.asks)
        return (
            Ask(question, answer, fact.statement.removeprefix("- "))
            if answer in fact.statement
            else None
        )

    def _real_page(self) -> _Page:
        rng, corpus = self.rng, self._passages.corpus
        document = rng.choice(self._passages.documents)
        start = rng.randrange(len(document))
        blocks, asks = [], []
        for paragraph in document[start : start + rng.randint(4, 12)]:
            blocks += [*self._heading(paragraph), " ".join(paragraph)]
            for sentence in paragraph:
                found = corpus.questions(sentence)
                if found:
                    question = rng.choice(found)
                    asks.append(Ask(question.render(rng), question.answer, sentence))
        for listed, chance in ((self._listings, 0.25), (self._references, 0.6)):
            section = listed.section() if rng.random() < chance else Section()
            place = rng.randint(0, len(blocks))
            blocks[place:place] = section.blocks
            asks += section.asks
        return _Page.of(self._chunks(blocks if self._held_out else self._dressed(blocks)), asks)

    def _chunks(self, blocks: list[str]) -> list[str]:
        """Write the page out and cut it; sizes are in characters, which are quick to count."""
        rng = self.rng
        width = rng.choice((72, 79, 80, 88, 92, 96, 100, 100, 100, 110, 120, 10_000))
        text = "\n\n".join(_wrapped(block, width) for block in blocks)
        size = rng.randint(*rng.choice(_SIZES))
        splitter = Splitter(len, chunk_tokens=size, overlap_tokens=size // 8)
        return [chunk.passage for chunk in splitter.split([Document("page.md", text)])]

    def _context(self, page: _Page, others: list[str]) -> Context:
        """Choose passages of a page, and what of its questions they answer.

        What the passages were searched for comes last, which is asked first.
        """
        rng = self.rng
        count = rng.choice((4, 4, 4, 3, 3, 3, 2, 2, 5, 6, 1)) - len(others)
        chosen, searched = self._retrieved(page, count)
        passages = [page.chunks[index] for index in chosen]
        items, misses = [], []
        for ask, found in zip(page.asks, page.places, strict=True):
            here = [chosen.index(index) for index in found if index in chosen]
            if here:  # chunks overlap: what two of them say is cited from the first
                items.append(Item(ask.question, ask.answer, min(here), ask.anchor))
            elif found:
                misses.append(Item(ask.question, None))
        for some in (items, misses):
            rng.shuffle(some)
            some.sort(key=lambda item: item.question == searched)
        is_missing = any(item.question == searched for item in misses)
        kept = max(rng.choice((0, 0, 1, 1, _MOST_MISSES)), is_missing)
        return Context([*passages, *others], items + (misses[-kept:] if kept else []))

    def _retrieved(self, page: _Page, count: int) -> tuple[list[int], str]:
        """Choose chunks: mostly what a search for a question finds, now and then without its answer."""
        rng = self.rng
        everywhere = list(range(len(page.chunks)))
        telling = [
            (ask.question, found[0])
            for ask, found in zip(page.asks, page.places, strict=True)
            if found
        ]
        if not telling:
            return rng.sample(everywhere, min(len(everywhere), max(1, count))), ""
        question, place = rng.choice(telling)
        is_searched = rng.random() < 0.75
        ranking = page.ranked(question)
        rest = ranking if is_searched else rng.sample(everywhere, len(everywhere))
        rest = [index for index in rest if index != place]
        is_there = not is_searched or rng.random() < 0.87
        chosen = [*[place] * is_there, *rest[: max(not is_there, count - is_there)]]
        rng.shuffle(chosen)
        if is_searched and rng.random() < _IN_ORDER:
            chosen.sort(key=ranking.index)
        return chosen, question


def _wrapped(block: str, width: int) -> str:
    """Break long lines as authors do; code and tables stay."""
    if block.startswith(("|", "```", "#")) or len(block) <= width:
        return block
    lines: list[str] = []
    for line in block.split("\n"):
        indent = "  " if line.startswith("- ") else ""
        lines += textwrap.wrap(
            line, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False
        ) or [""]
    return "\n".join(lines)
