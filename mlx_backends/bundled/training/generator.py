"""Conversations for training and evaluation, without end and from a seed.

Puts facts (`families`) and real prose (`prose`) into passages as a retriever delivers them, asks
several questions over each set, and adds tool calls, JSON answers and small talk. Standard library
only. Every answer is known by construction: a span of one passage, or the refusal.
"""

import json
import random
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlx_backends.bundled.training import chatml, grammar, lexicon, prose
from mlx_backends.bundled.training.families import (
    ALL_TRAINED,
    FAMILIES,
    TYPED_FAMILIES,
    Fact,
)
from mlx_backends.bundled.training.grammar import capitalize, uncapitalize
from mlx_backends.bundled.training.prose import Question
from mlx_backends.text.grounding import GROUNDED_SYSTEM_PROMPT, REFUSAL, number_passages

Message = dict[str, Any]
NO_TOOL = "None of the tools can do this."
NEEDS_PASSAGES = "I answer from passages. Please give me some."


@dataclass(frozen=True, slots=True)
class Item:
    """A question over a context.

    Attributes:
        question: The question.
        answer: A span of the passage, or None if no passage says.
        passage: Index of the passage that answers.
        sentence: The statement that answers, empty for a refusal.
    """

    question: str
    answer: str | None
    passage: int = 0
    sentence: str = ""


@dataclass(slots=True)
class Context:
    """Passages and questions over them, in random order."""

    passages: list[str]
    items: list[Item]


@dataclass(slots=True)
class Conversation:
    """Messages, ending with the assistant's, and the tools they may use."""

    messages: list[Message]
    tools: list[dict[str, Any]] | None = None

    def text(self) -> str:
        return chatml.render(self.messages, self.tools)


@dataclass(slots=True)
class Corpus:
    """Real sentences of one side of the split, with their questions found once."""

    documents: list[list[list[str]]]
    asked: dict[str, list[Question]]
    nouns: list[str]
    modifiers: list[str]

    @classmethod
    def load(cls, path: Path, *, held_out: bool) -> "Corpus":
        """Read one side of the split of a collection that `prose.save` wrote."""
        documents, asked = prose.load(path)
        chosen = [item.paragraphs for item in documents if item.held_out == held_out]
        nouns, modifiers = prose.vocabulary(chosen)
        return cls(chosen, asked, nouns, modifiers)

    def questions(self, sentence: str) -> list[Question]:
        return self.asked.get(sentence, [])


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
        self.names = lexicon.Names(self.rng, held_out=held_out)
        self.names.learn(corpus.nouns, corpus.modifiers)
        self.corpus = corpus
        self.families = list(families)
        self.level = level
        self._weights = [family.weight for family in self.families]
        self._prose_documents = [d for d in corpus.documents if sum(map(len, d)) >= 4]

    # ------------------------------------------------------------ facts

    def facts(self, count: int) -> list[Fact]:
        """Make facts that share subjects and attributes, with no question in common."""
        rng = self.rng
        chosen: list[tuple[Any, Fact]] = []
        families, weights = self.families, self._weights
        if rng.random() < 0.3:  # a theme: few kinds of facts, so more near misses
            families = rng.choices(self.families, self._weights, k=rng.randint(1, 3))
            weights = [1.0] * len(families)
        used: set[str] = set()
        attempts = 0
        while len(chosen) < count and attempts < 6 * count + 20:
            attempts += 1
            if chosen and rng.random() < 0.55:
                family, fact = self._sibling(rng.choice(chosen))
            else:
                family = rng.choices(families, weights)[0]
                fact = family.make(self.names)
            if not fact.asks or fact.keys & used:
                continue
            used |= fact.keys
            chosen.append((family, fact))
        return [fact for _, fact in chosen]

    def _sibling(self, pair: tuple[Any, Fact]) -> tuple[Any, Fact]:
        """Make a near miss: the same family with some of its key, or another that shares a slot."""
        rng = self.rng
        family, fact = pair
        keys = list(family.keys)
        if len(keys) > 1:
            kept = rng.sample(keys, rng.randint(1, len(keys) - 1))
            return family, family.make(self.names, {key: fact.slots[key] for key in kept})
        if family.name in TYPED_FAMILIES:
            return family, family.make(self.names)
        others = [f for f in self.families if f.name not in TYPED_FAMILIES and keys[0] in f.slots]
        if not others:
            return family, family.make(self.names)
        other = rng.choice(others)
        return other, other.make(self.names, {keys[0]: fact.slots[keys[0]]})

    def _card(self) -> tuple[str, list[tuple[Fact, str, str]]]:
        """Make a heading and lines that give several attributes of one entity."""
        rng = self.rng
        attribute = FAMILIES[0]
        first = attribute.make(self.names)
        entity = first.slots["e"]
        facts = [
            first,
            *(attribute.make(self.names, {"e": entity}) for _ in range(rng.randint(1, 4))),
        ]
        unique = list({fact.slots["n"]: fact for fact in facts}.values())
        style = rng.randrange(6)
        rows = []
        for fact in unique:
            name, value = fact.slots["n"], fact.slots["v"]
            if style == 0:
                row = f"| {name} | {value} |"
            elif style == 1:
                row = f"- {name}: {value}"
            elif style == 2:
                row = f"{capitalize(name)}: {value}"
            elif style == 3:
                row = f"- **{name}**: {value}"
            elif style == 4:
                row = rng.choice(
                    (
                        "Its {n} is {v}.",
                        "It has a {n} of {v}.",
                        "The {n} is {v}.",
                        "{v} is its {n}.",
                    )
                ).format(n=name, v=value)
                row = capitalize(row)
            else:
                row = f"{name.replace(' ', '_')} = {value}"
            question = rng.choice(fact.asks)[0] if fact.asks else f"What is the {name} of {entity}?"
            rows.append((fact, row, question))
        title = capitalize(entity.removeprefix("the "))
        head = rng.choice(("# {e}", "## {e}", "**{e}**", "{e}", "### {e}")).format(e=title)
        if style == 0:
            head += "\n\n| name | value |\n| --- | --- |"
        return head, rows

    # ------------------------------------------------------------ passages

    def context(self, count: int, *, real: float | None = None, filler: float = 0.5) -> Context:
        """Make passages that hold `count` facts, and every question over them.

        Args:
            count: Number of facts.
            real: Chance that a passage is real prose with questions made by rules.
            filler: Chance of real sentences around a fact.
        """
        rng = self.rng
        blocks: list[tuple[str, list[Item]]] = []
        facts = self.facts(count + rng.choice((1, 2, 2, 3)))
        ghosts, facts = facts[count:], facts[:count]
        paragraph = rng.random() < filler
        while facts:
            size = min(len(facts), rng.choice((1, 1, 2, 3, 4)) if paragraph else 1)
            group, facts = facts[:size], facts[size:]
            blocks.append(self._fact_passage(group, paragraph=paragraph))
        if real is None:
            real = 0.35 * self.level
        if paragraph and rng.random() < 0.3:
            maker = rng.choice(
                (self._card_passage, self._card_passage, self._table_passage, self._two_columns)
            )
            blocks.append(maker())
        misses: list[Item] = []
        for _ in range(rng.randint(0, 3) if rng.random() < real else 0):
            block, missed = self._prose_passage(rng.randint(1, 5))
            blocks.append(block)
            misses += missed
        return self._assemble(blocks[:12], self._ghost_items(ghosts) + misses)

    def prose_context(self, count: int) -> Context:
        """Make passages of real prose alone, several from one document."""
        rng = self.rng
        blocks, misses = [], []
        document = None
        for _ in range(count):
            if document is None or rng.random() < 0.5:
                document = rng.choice(self._prose_documents)
            block, missed = self._prose_passage(rng.randint(1, 6), document)
            blocks.append(block)
            misses += missed
        return self._assemble(blocks, misses)

    def long_context(self) -> Context:
        """Make up to 12 long passages, 1,000 to 3,000 tokens in all."""
        rng = self.rng
        blocks, misses = [], []
        facts = self.facts(rng.randint(4, 12) + 2)
        ghosts, facts = facts[:2], facts[2:]
        for _ in range(rng.randint(5, 12)):
            size = rng.randint(1, 3)
            group, facts = facts[:size], facts[size:]
            if group:
                text, items = self._fact_passage(group, paragraph=True)
                (more, extra), missed = self._prose_passage(rng.randint(2, 6))
                parts = [text, more] if rng.random() < 0.5 else [more, text]
                block = (rng.choice((" ", "\n", "\n\n")).join(parts), items + extra)
            else:
                block, missed = self._prose_passage(rng.randint(3, 9))
            blocks.append(block)
            misses += missed
        return self._assemble(blocks, self._ghost_items(ghosts) + misses)

    def _assemble(self, blocks: list[tuple[str, list[Item]]], misses: list[Item]) -> Context:
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

    def _ghost_items(self, ghosts: list[Fact]) -> list[Item]:
        return [Item(self.rng.choice(fact.asks)[0], None) for fact in ghosts]

    def _fact_passage(self, facts: list[Fact], *, paragraph: bool) -> tuple[str, list[Item]]:
        rng = self.rng
        sentences = [fact.statement for fact in facts]
        if rng.random() < 0.2:
            sentences = [
                self._opener() + uncapitalize(text) if text[-1] == "." else text
                for text in sentences
            ]
        items = []
        for index, (fact, sentence) in enumerate(zip(facts, sentences, strict=True)):
            question, answer = rng.choice(fact.asks)
            if answer not in sentence:
                answer = uncapitalize(answer) if uncapitalize(answer) in sentence else None
            if answer is None:
                continue
            if rng.random() < 0.03 and "`" not in answer and sentence.count(answer) == 1:
                sentences[index] = sentence.replace(answer, f"**{answer}**")
            items.append(Item(question, answer, 0, sentences[index]))
        return (self._page(sentences) if paragraph else sentences[0]), items

    def _opener(self) -> str:
        rng = self.rng
        return rng.choice(_OPENERS).format(
            v=f"version {self.names.version()}",
            p=rng.choice(lexicon.PLATFORMS),
            c=grammar.component_name(self.names),
        )

    def _page(self, sentences: list[str]) -> str:
        """Write sentences as part of a page, real prose around them."""
        rng = self.rng
        parts: list[str] = []
        for sentence in sentences:
            parts += self._real_sentences(rng.choice((0, 0, 0, 1, 1, 2)))
            parts.append(sentence)
        parts += self._real_sentences(rng.choice((0, 0, 1, 1, 2)))
        draw = 1.0 if any("```" in part for part in parts) else rng.random()
        if draw < 0.6:
            body = " ".join(part if part[-1] in ".!?:" else part + "." for part in parts)
        elif draw < 0.75:
            body = "\n".join(part if part[:2] in ("- ", "| ") else f"- {part}" for part in parts)
        elif draw < 0.85:
            body = "\n".join(parts)
        else:
            body = "\n\n".join(parts)
        draw = rng.random()
        return f"{self._heading()}\n{body}" if draw < 0.35 else body

    def _heading(self) -> str:
        rng, names = self.rng, self.names
        title = capitalize(rng.choice((grammar.component_name, grammar.thing_name))(names))
        form = rng.choice(
            (
                "# {t}",
                "## {t}",
                "### {t}",
                "{f}",
                "{t}",
                "**{t}**",
                "{f} > {t}",
                "## {t}\n",
                "# {t}\n",
                "{f}#{a}",
            )
        )
        return form.format(t=title, f=names.file_path(), a=title.lower().replace(" ", "-"))

    def _real_sentences(self, count: int) -> list[str]:
        sentences: list[str] = []
        for _ in range(count):
            sentences.append(
                self.rng.choice(self.rng.choice(self.rng.choice(self.corpus.documents)))
            )
        return sentences

    def _card_passage(self) -> tuple[str, list[Item]]:
        head, rows = self._card()
        items = [
            Item(question, fact.slots["v"], 0, f"{head}\n{row}") for fact, row, question in rows
        ]
        return "\n".join([head, *(row for _, row, _ in rows)]), items

    def _table_passage(self) -> tuple[str, list[Item]]:
        """Write a table: a row for each entity, a column for each attribute."""
        rng, names = self.rng, self.names
        columns = rng.sample(lexicon.ATTRIBUTES, rng.randint(1, 4))
        makers = (
            names.value,
            names.name,
            names.identifier,
            lambda: names.rng.choice(("yes", "no", "partly", "experimental")),
            names.number,
            names.quantity,
        )
        column_makers = [rng.choice(makers) for _ in columns]
        row_maker = rng.choice(
            (
                names.name,
                lambda: f"`{names.identifier()}`",
                lambda: grammar.component_name(names),
                lambda: f"`{names.flag()}`",
                names.word,
            )
        )
        entities = list(dict.fromkeys(row_maker() for _ in range(rng.randint(2, 6))))
        kind = self.names.thing()
        lines = [f"| {kind} | " + " | ".join(columns) + " |", "| --- " * (len(columns) + 1) + "|"]
        items = []
        for entity in entities:
            cells = [maker() for maker in column_makers]
            lines.append(f"| {entity} | " + " | ".join(cells) + " |")
            column = rng.randrange(len(columns))
            question = rng.choice(_TABLE_ASKS).format(n=columns[column], e=entity, k=kind)
            items.append(Item(question, cells[column], 0, lines[-1]))
        head = f"{self._heading()}\n\n" if rng.random() < 0.6 else ""
        tail = "\n\n" + " ".join(self._real_sentences(1)) if rng.random() < 0.3 else ""
        return head + "\n".join(lines) + tail, items

    def _two_columns(self) -> tuple[str, list[Item]]:
        """Write a table of code names and what each does, sets or means."""
        rng, names = self.rng, self.names
        kind, head, maker, says, asks_name, asks_says = rng.choice(_TWO_COLUMNS)
        lines = [
            rng.choice((f"| {kind} | {head} |", f"| {kind} | {rng.choice(_COLUMN_HEADS)} |")),
            "| --- | --- |",
        ]
        items: list[Item] = []
        for _ in range(rng.randint(2, 7)):
            code = f"`{getattr(names, maker)(*(('Error',) if kind in ('error', 'exception') else ()))}`"
            text, loose = _column_text(names, says)
            lines.append(f"| {code} | {text} |")
            if rng.random() < 0.6:
                items.append(
                    Item(rng.choice(asks_name).format(t=loose, c=code, k=kind), code, 0, lines[-1])
                )
            else:
                items.append(Item(rng.choice(asks_says).format(c=code, k=kind), text, 0, lines[-1]))
        title = f"{self._heading()}\n\n" if rng.random() < 0.5 else ""
        return title + "\n".join(lines), items

    def _prose_passage(
        self, count: int, document: list[list[str]] | None = None
    ) -> tuple[tuple[str, list[Item]], list[Item]]:
        """Take real sentences in a row; also return questions that the rest of the document answers."""
        rng = self.rng
        document = document or rng.choice(self._prose_documents)
        start = rng.randrange(len(document))
        sentences: list[str] = []
        for paragraph in document[start:]:
            sentences += paragraph
            if len(sentences) >= count:
                break
        sentences = sentences[:count]
        items = []
        for sentence in sentences:
            found = self.corpus.questions(sentence)
            if found:
                question = rng.choice(found)
                items.append(Item(question.render(rng), question.answer, 0, sentence))
        misses = []
        other = rng.choice(rng.choice(document))
        found = self.corpus.questions(other)
        if other not in sentences and found:
            misses.append(Item(rng.choice(found).render(rng), None, 0, other))
        text = " ".join(sentences) if rng.random() < 0.8 else "\n".join(sentences)
        if rng.random() < 0.25:
            text = f"{self._heading()}\n{text}"
        return (text, items), misses

    # ------------------------------------------------------------ conversations

    def conversation(self) -> Conversation:
        """Make one training conversation of any kind."""
        rng = self.rng
        copying = 0.35 if self.level < 0.12 else 0.02
        draw = rng.random()
        if draw < copying:
            return self.repeat()
        draw = rng.random()
        if draw < 0.07:
            return self.tool_conversation()
        if draw < 0.085:
            return self.small_talk()
        if draw < 0.32 and self.level > 0.1:
            context = self.prose_context(rng.randint(1, 6))
        elif draw < 0.38 and self.level > 0.2:
            context = self.long_context()
        else:
            context = self.context(self._fact_count())
        if not context.items:
            return self.small_talk()
        return self.grounded(context)

    def _fact_count(self) -> int:
        rng = self.rng
        if self.level < 0.05:
            return rng.randint(1, 2)
        if self.level < 0.15:
            return rng.randint(1, 4)
        return rng.choice((1, 2, 3, 4, 4, 5, 6, 6, 8, 8, 10, 12, 14))

    def grounded(self, context: Context, *, turns: int | None = None) -> Conversation:
        """Ask several questions of a context in a random wrapper."""
        rng = self.rng
        items = self._order(context.items)[: turns or rng.choice((1, 2, 3, 4, 5, 6))]
        draw = rng.random()
        if draw < 0.12:
            return self._unnumbered(context, items)
        system, first = self._wrapper(context)
        as_json = rng.random() < 0.07
        messages: list[Message] = [{"role": "system", "content": system}] if system else []
        for index, item in enumerate(items):
            json_turn = as_json or rng.random() < 0.02
            question = self._question(item.question) + (rng.choice(_JSON_ASKS) if json_turn else "")
            content = first.format(question=question) if index == 0 else f"Question: {question}"
            if index and rng.random() < 0.15:
                content = question
            messages.append({"role": "user", "content": content})
            messages.append({"role": "assistant", "content": answer_text(item, as_json=json_turn)})
        return Conversation(messages)

    def _order(self, items: list[Item]) -> list[Item]:
        """Mix in refusals so that about 27% of the questions have no answer."""
        rng = self.rng
        answered = [item for item in items if item.answer is not None]
        missing = [item for item in items if item.answer is None]
        ordered: list[Item] = []
        while answered or missing:
            pool = missing if missing and (not answered or rng.random() < 0.33) else answered
            if pool is missing and not answered and ordered:
                break
            ordered.append(pool.pop())
        return ordered

    def _question(self, question: str) -> str:
        rng = self.rng
        draw = rng.random()
        if draw < 0.80:
            return question
        if draw < 0.85:
            return (
                question.rstrip("?.").lower()
                if "`" not in question and rng.random() < 0.3
                else uncapitalize(question).rstrip("?")
            )
        if draw < 0.95:
            return rng.choice(_QUESTION_HEADS) + uncapitalize(question)
        return question + rng.choice(_QUESTION_TAILS)

    def _wrapper(self, context: Context) -> tuple[str, str]:
        """Choose a system prompt and the first user turn, with ``{question}`` left open."""
        rng = self.rng
        numbered = number_passages(context.passages)
        draw = rng.random()
        system = GROUNDED_SYSTEM_PROMPT
        if draw > 0.76:
            system = rng.choice(_SYSTEM_PARAPHRASES)
        draw = rng.random()
        if draw > 0.90:
            body = "\n\n".join(f"Source {i}:\n{text}" for i, text in enumerate(context.passages, 1))
        elif draw > 0.83:
            body = "Context:" + numbered.removeprefix("Passages:")
        elif draw > 0.79:
            body = numbered.removeprefix("Passages:\n")
        else:
            body = numbered
        body = body.replace("{", "{{").replace("}", "}}")
        tail = "\n\nQuestion: {question}" if rng.random() < 0.93 else "\n\n{question}"
        return system, body + tail

    def _unnumbered(self, context: Context, items: list[Item]) -> Conversation:
        rng = self.rng
        joined = "\n\n".join(context.passages)
        template = rng.choice(_UNNUMBERED)
        messages: list[Message] = []
        if rng.random() < 0.3:
            messages.append({"role": "system", "content": rng.choice(_PLAIN_SYSTEMS)})
        for index, item in enumerate(items):
            question = self._question(item.question)
            content = (
                template.replace("{q}", question).replace("{c}", joined) if index == 0 else question
            )
            messages.append({"role": "user", "content": content})
            messages.append({"role": "assistant", "content": item.answer or REFUSAL})
        return Conversation(messages)

    def repeat(self) -> Conversation:
        """Ask for a copy, which teaches copying first."""
        rng = self.rng
        words = [
            rng.choice((self.names.value, self.names.name, self.names.identifier))()
            for _ in range(rng.randint(1, 8))
        ]
        text = rng.choice((" ", ", ", " ")).join(words)
        if rng.random() < 0.3:
            text = self._real_sentences(1)[0]
        return Conversation(
            [{"role": "user", "content": f"Repeat: {text}"}, {"role": "assistant", "content": text}]
        )

    def small_talk(self) -> Conversation:
        """Greet, thank, or ask without passages."""
        rng = self.rng
        messages: list[Message] = []
        if rng.random() < 0.35:
            messages.append(
                {"role": "system", "content": rng.choice([*_PLAIN_SYSTEMS, GROUNDED_SYSTEM_PROMPT])}
            )
        for _ in range(rng.randint(1, 3)):
            if rng.random() < 0.25:
                question, answer = rng.choice(self.facts(1)[0].asks)[0], NEEDS_PASSAGES
            else:
                asked, answer = rng.choice(_SMALL_TALK)
                question = rng.choice(asked)
                question = rng.choice(
                    (question, question, question.lower(), question.rstrip(".!?"), question + " ")
                )
            messages += [
                {"role": "user", "content": question},
                {"role": "assistant", "content": answer},
            ]
        return Conversation(messages)

    # ------------------------------------------------------------ tools

    def tool_conversation(self) -> Conversation:
        """Call a tool of an invented schema, then answer from its result."""
        rng = self.rng
        count = rng.randint(1, 4)
        tools = [self._tool() for _ in range(count)]
        schemas = [schema for schema, _ in tools]
        messages: list[Message] = []
        if rng.random() < 0.4:
            messages.append({"role": "system", "content": rng.choice(_PLAIN_SYSTEMS)})
        draw = rng.random()
        if draw < 0.12:
            _, ask = self._tool()
            question, *_ = ask()
            messages += [
                {"role": "user", "content": question},
                {"role": "assistant", "content": NO_TOOL},
            ]
            return Conversation(messages, schemas)
        if draw < 0.17:
            asked, answer = rng.choice(_SMALL_TALK)
            messages += [
                {"role": "user", "content": rng.choice(asked)},
                {"role": "assistant", "content": answer},
            ]
            return Conversation(messages, schemas)
        for schema, ask in rng.sample(tools, min(count, rng.choice((1, 1, 2)))):
            question, arguments, result, answer = ask()
            name = schema["function"]["name"]
            messages += [
                {"role": "user", "content": question},
                {"role": "assistant", "content": chatml.tool_call_text(name, arguments)},
                {"role": "tool", "content": result},
                {"role": "assistant", "content": answer},
            ]
        return Conversation(messages, schemas)

    def _tool(self):  # noqa: ANN202
        """Make a schema and a function that makes a request, its arguments, result and answer."""
        rng, names = self.rng, self.names
        is_lookup = rng.random() < 0.45
        attribute = rng.choice(lexicon.ATTRIBUTES)
        verb = rng.choice(rng.choice(grammar.VERB_GROUPS))
        thing = grammar.thing_name(names)
        action = f"{verb.base} {grammar.indefinite(thing)}"
        parameters = [_Parameter(self) for _ in range(rng.choice((1, 2, 2, 3)))]
        parameters = list({item.name: item for item in parameters}.values())
        if is_lookup:
            name = rng.choice(
                (
                    f"get_{attribute}",
                    f"find_{attribute}",
                    f"{attribute}_of",
                    f"lookup_{attribute}",
                    names.identifier(),
                )
            )
            name = name.replace(" ", "_").replace("-", "_")
            description = rng.choice(
                (
                    "Return the {a} of {k}.",
                    "Look up the {a} of {k}.",
                    "Get the {a} for {k}.",
                    "{a} of {k}",
                )
            )
            target = self.names.thing()
            description = capitalize(description.format(a=attribute, k=grammar.indefinite(target)))
            key = rng.choice(("name", target.replace(" ", "_"), "query", "entity", "subject", "id"))
            properties = {
                key: {
                    "type": "string",
                    "description": rng.choice(
                        (
                            f"Name of the {target}",
                            f"The {target}",
                            f"{target} name",
                            f"{target} to look up",
                        )
                    ),
                }
            }
            required = [key]
        else:
            name = rng.choice(
                (f"{verb.base}_{thing}", names.identifier(), f"{verb.base}_{thing.split()[-1]}")
            ).replace(" ", "_")
            description = capitalize(action) + rng.choice(
                (".", "", f" of the {grammar.component_name(names)}.")
            )
            properties = {item.name: item.schema() for item in parameters}
            required = [item.name for item in parameters]
        name = name.replace("-", "_")
        order = rng.random() < 0.5
        body = (
            {"type": "object", "properties": properties, "required": required}
            if order
            else {"properties": properties, "required": required, "type": "object"}
        )
        function = {"name": name, "description": description, "parameters": body}
        if rng.random() < 0.3:
            function = {"description": description, "name": name, "parameters": body}
        schema = {"type": "function", "function": function}
        if rng.random() < 0.2:
            schema = {"function": function, "type": "function"}

        def ask_lookup():  # noqa: ANN202
            entity, value = names.name(), names.value()
            question = rng.choice(
                (
                    "What is the {a} of {e}?",
                    "What is the {a} in {e}?",
                    "What is the {a} for {e}?",
                    "How is the {a} in {e}?",
                    "{a} of {e}",
                    "Show the {a} for {e}",
                    "Tell me the {a} of {e}.",
                    "Which {a} does {e} have?",
                    "I need the {a} of {e}.",
                    "Find the {a} for {e}.",
                    "{e}: {a}?",
                    "Use a tool to find the {a} of {e}.",
                )
            ).format(a=attribute, e=entity)
            result = rng.choice(
                (
                    value,
                    json.dumps({attribute: value}, ensure_ascii=False),
                    json.dumps({"result": value}, ensure_ascii=False),
                    f"The {attribute} of {entity} is {value}.",
                    json.dumps({"name": entity, "value": value}, ensure_ascii=False),
                )
            )
            return capitalize(question), {required[0]: entity}, result, value

        def ask_action():  # noqa: ANN202
            values = {item.name: item.value() for item in parameters}
            if rng.random() < 0.35:
                said = [item.say(values[item.name]) for item in parameters]
                told = rng.choice((" and ", ", ", " with ", " to ", " for ", " by ")).join(said)
                lead = rng.choice(
                    (
                        verb.base,
                        f"{verb.base} {thing}",
                        f"Please {verb.base}",
                        f"Can you {verb.base}",
                        f"I want to {verb.base}",
                    )
                )
                status = rng.choice(("done", "ok", names.code(), names.quantity()))
                return (
                    capitalize(f"{lead} {told}") + rng.choice((".", "?", "")),
                    values,
                    json.dumps({"result": status}),
                    status,
                )
            told = ", ".join(
                rng.choice(("{n} {v}", "the {n} is {v}", "{n}: {v}", "{n} = {v}")).format(
                    n=item.spoken, v=item.say(values[item.name])
                )
                for item in parameters
            )
            question = rng.choice(
                (
                    "Please {a} with {t}.",
                    "{a}: {t}.",
                    "Can you {a}? {t}.",
                    "I want to {a}, {t}.",
                    "{a} ({t})",
                    "Could you {a} for me, with {t}?",
                )
            ).format(a=action, t=told)
            status = rng.choice(("done", "ok", names.code(), names.quantity()))
            result = rng.choice(
                (status, json.dumps({"status": status}), json.dumps({"result": status}))
            )
            return capitalize(question), values, result, status

        return schema, (ask_lookup if is_lookup else ask_action)


class _Parameter:
    """One typed parameter of an invented tool."""

    def __init__(self, generator: Generator) -> None:
        rng, names = generator.rng, generator.names
        self.rng, self.names = rng, names
        self.spoken = rng.choice((*lexicon.ATTRIBUTES, names.thing(), names.thing(), names.word()))
        self.name = self.spoken.replace(" ", "_").replace("-", "_")
        self.type = rng.choice(("string", "string", "integer", "integer", "number", "boolean"))

    def schema(self) -> dict[str, Any]:
        result: dict[str, Any] = {"type": self.type}
        if self.rng.random() < 0.5:
            result["description"] = f"The {self.spoken}"
        return result

    def value(self) -> Any:
        rng = self.rng
        if self.type == "integer":
            return rng.randint(0, 9999) if rng.random() < 0.6 else rng.randint(1, 64)
        if self.type == "number":
            return round(rng.uniform(0, 100), rng.choice((1, 2)))
        if self.type == "boolean":
            return rng.random() < 0.5
        return rng.choice(
            (
                self.names.name,
                self.names.word,
                self.names.code,
                self.names.phrase,
                lambda: rng.choice(lexicon.COLORS),
            )
        )()

    @staticmethod
    def say(value: Any) -> str:
        return str(value).lower() if isinstance(value, bool) else str(value)


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


def answer_text(item: Item, *, as_json: bool = False) -> str:
    """Write the expected answer."""
    if as_json:
        source = item.passage + 1 if item.answer is not None else None
        return json.dumps({"answer": item.answer, "source": source}, ensure_ascii=False)
    return REFUSAL if item.answer is None else f"[{item.passage + 1}] {item.answer}"


def _column_text(names: lexicon.Names, says: str) -> tuple[str, str]:
    """Make the right cell, and the words that a question uses for it."""
    rng = names.rng
    if says == "clause":
        clause = grammar.make_clause(names)
        return clause.text, rng.choice((clause.text, clause.loose))
    if says == "verb":
        verb, thing = rng.choice(grammar.verb_group(names)), grammar.object_phrase(names)
        tail = f" and {rng.choice(grammar.verb_group(names)).third} {grammar.object_phrase(names).full}"
        text = f"{verb.third} {thing.full}"
        return text + (tail if rng.random() < 0.2 else ""), text
    thing = rng.choice(
        (
            f"the {grammar.thing_name(names)}",
            f"the {grammar.thing_name(names)} of the {grammar.component_name(names)}",
            f"where the {grammar.component_name(names)} keeps {grammar.plural(names.thing())}",
        )
    )
    extra = rng.choice(
        (
            "",
            "",
            f" when no {names.thing()} is named",
            f", such as `{names.quoted_literal()}`",
            f" in {rng.choice(lexicon.UNITS)}",
        )
    )
    return thing + extra, thing


_COLUMN_HEADS = ("meaning", "what it does", "description", "use", "effect", "notes", "purpose")
_ERROR_ASKS = (
    (
        "Which {k} is raised when {t}?",
        "Which {k} is raised if {t}?",
        "What is raised when {t}?",
        "Which {k} do I get when {t}?",
        "What happens when {t}?",
    ),
    ("When is {c} raised?", "What does {c} mean?", "When do I get {c}?"),
)
_SETTING_ASKS = (
    (
        "Which {k} sets {t}?",
        "Which {k} is for {t}?",
        "What sets {t}?",
        "Which {k} gives {t}?",
        "Which {k} names {t}?",
        "How do I set {t}?",
    ),
    (
        "What does {c} set?",
        "What is {c} for?",
        "What does {c} name?",
        "What does the {k} {c} do?",
        "What is the meaning of {c}?",
    ),
)
_COMMAND_ASKS = (
    ("Which {k} {t}?", "What {t}?", "Which {k} {t}?"),
    ("What does {c} do?", "What is the {k} {c} for?", "What is the effect of {c}?"),
)
_TWO_COLUMNS = (
    ("error", "raised when", "class_name", "clause", *_ERROR_ASKS),
    ("exception", "when", "class_name", "clause", *_ERROR_ASKS),
    ("variable", "sets", "environment_variable", "noun", *_SETTING_ASKS),
    ("option", "meaning", "flag", "noun", *_SETTING_ASKS),
    ("setting", "is", "identifier", "noun", *_SETTING_ASKS),
    ("command", "what it does", "command", "verb", *_COMMAND_ASKS),
    ("function", "effect", "function", "verb", *_COMMAND_ASKS),
    ("class", "what it does", "class_name", "verb", *_COMMAND_ASKS),
    ("module", "does", "file_path", "verb", *_COMMAND_ASKS),
)

_TABLE_ASKS = (
    "What is the {n} of {e}?", "What is the {n} of the {k} {e}?", "Which {n} does {e} have?", "What {n} does {e} have?",
    "What does the table give as {n} of {e}?", "What is listed as {n} for {e}?", "{e}: {n}?", "What is {e}'s {n}?",
)  # fmt: skip
_OPENERS = (
    "As of {v}, ", "In practice, ", "Note that ", "By design, ", "In this release, ", "On {p}, ",
    "As a rule, ", "Also, ", "In short, ", "For now, ", "Since {v}, ", "Inside the {c}, ", "At the moment, ",
    "In most cases, ", "Internally, ", "However, ", "Importantly, ", "In addition, ",
)  # fmt: skip
_QUESTION_HEADS = (
    "Please tell me: ", "Quick question: ", "According to the passages, ", "According to the docs, ",
    "I would like to know: ", "Tell me: ", "From the text, ", "In the passages, ", "Hi, ", "Can you tell me: ",
    "Do you know: ", "Short answer please: ",
)  # fmt: skip
_QUESTION_TAILS = (
    " Answer briefly.", " Please cite the passage.", " Be short.", " Thanks.", " Use the passages.",
    " Only the answer, please.",
)  # fmt: skip
_JSON_ASKS = (
    " Answer as JSON.", ' Answer as JSON with the keys "answer" and "source".', " Reply in JSON.",
    " Give a JSON object with answer and source.", " Return JSON.",
)  # fmt: skip
_SYSTEM_PARAPHRASES = (
    "", "", "",
    "Use the numbered passages to answer and name the one that you used, like [1].",
    "Answer from the passages and cite them.",
    "You answer questions about documents. Cite the passage, like [1]. If the answer is not there, say: The context does not say.",
    "Answer with a citation such as [2]. Use nothing but the passages.",
    "You are a helpful assistant. Answer from the context and cite your source in brackets.",
    "Read the passages and answer the question briefly, citing the passage number.",
    "Reply with the number of the passage in brackets and a short answer.",
    "Answer questions using only the given sources. Cite as [n].",
)  # fmt: skip
_PLAIN_SYSTEMS = (
    "You are a helpful assistant.", "You are a helpful, concise assistant.", "Answer briefly.",
    "You are an assistant that can use tools.", "Be helpful.",
)  # fmt: skip
_UNNUMBERED = (
    "Context information is below.\n---------------------\n{c}\n---------------------\nGiven the context information and not prior knowledge, answer the query.\nQuery: {q}\nAnswer: ",
    "Context information is below.\n---------------------\n{c}\n---------------------\nGiven the context information and not prior knowledge, answer the query.\nQuery: {q}\nAnswer: ",
    "Use the following pieces of context to answer the question at the end. If you don't know the answer, say so and do not make one up.\n\n{c}\n\nQuestion: {q}\nHelpful answer:",
    "You help with question answering. Use these retrieved pieces of context for your answer. If the answer is not there, say that you do not know. Keep it short.\nQuestion: {q}\nContext: {c}\nAnswer:",
    "Answer the question based only on the following context:\n{c}\n\nQuestion: {q}",
    "Context:\n{c}\n\nQuestion: {q}",
    "{c}\n\nQuestion: {q}\nAnswer:",
    "{c}\n\n{q}",
)  # fmt: skip
_SMALL_TALK = (
    (("Hello", "Hi", "Hello!", "Hi there", "Hey", "Good morning", "Good evening", "Hello there!", "Greetings"), "Hello! Give me passages and a question about them."),
    (("How are you?", "How is it going?", "How do you do?", "Are you well?"), "I am fine, thank you."),
    (("Who are you?", "What are you?", "Tell me about yourself.", "What model are you?", "What is your name?"), "I am a small demonstration model that answers from passages."),
    (("What can you do?", "Help", "How can you help me?", "What are you for?"), "I answer short questions from passages and cite them."),
    (("Thanks", "Thank you", "Thank you!", "Thanks a lot", "Great, thanks."), "You are welcome."),
    (("Bye", "Goodbye", "See you", "Bye bye!"), "Goodbye!"),
    (("Tell me a joke.", "Write a poem.", "Write a story about the sea.", "Tell me something.", "Write some code."), NEEDS_PASSAGES),
)  # fmt: skip
