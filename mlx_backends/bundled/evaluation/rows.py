"""What the chat model is asked: one source of held-out conversations for each row of the report.

A row has a seed of its own, so its items do not depend on which other rows are measured. Imports
no MLX, so that training measures itself on the same rows.
"""

import itertools
import re
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from mlx_backends.bundled.evaluation import grading
from mlx_backends.bundled.evaluation.held_out_prose import HeldOutProse
from mlx_backends.bundled.training import chatml
from mlx_backends.bundled.training.families import (
    ALL_TRAINED,
    HELD_OUT,
    HELD_OUT_RELATIONS,
    HELD_OUT_REWORDED,
)
from mlx_backends.bundled.training.generator import (
    NO_TOOL,
    Context,
    Conversation,
    Corpus,
    Generator,
    Item,
    answer_text,
)
from mlx_backends.bundled.training.thesaurus import Thesaurus
from mlx_backends.text.grounding import grounded_messages

Make = Callable[[Generator], Conversation | None]
_MAX_TRIES_IN_VAIN = 500
_MIN_SHARED_WORDS = 0.5


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the report.

    Attributes:
        name: What is asked.
        make: Makes a conversation whose last message is the expected answer, or None.
        gate: Share of right answers to reach.
        grade: Whether an answer is right.
        families: Families of facts to draw from.
        corpora: The real prose to draw from, in turn.
    """

    name: str
    make: Make
    gate: float | None = None
    grade: grading.Grade = grading.exact
    families: Sequence[Any] = field(default=tuple(ALL_TRAINED), repr=False)
    corpora: Callable[[HeldOutProse], list[Corpus]] = field(default=lambda prose: [prose.all])

    def draw(self, prose: HeldOutProse, count: int) -> list[Conversation]:
        """Make up to `count` different conversations, the same ones in every run."""
        corpora = self.corpora(prose)
        seed = zlib.crc32(self.name.encode())
        generators = [
            Generator(seed + index, corpus, held_out=True, families=self.families)
            for index, corpus in enumerate(corpora)
        ]
        found = list(itertools.islice(self._different(generators), count))
        if not found:
            raise LookupError(f"The row {self.name!r} has no items: prepare the real prose anew.")
        return found

    def _different(self, generators: list[Generator]) -> Iterator[Conversation]:
        seen: set[str] = set()
        in_vain = 0
        for generator in itertools.cycle(generators):
            conversation = self.make(generator)
            text = conversation.text() if conversation else ""
            if conversation is not None and text not in seen:
                seen.add(text)
                in_vain = 0
                yield conversation
            else:
                in_vain += 1
                if in_vain == _MAX_TRIES_IN_VAIN:
                    return


# ---------------------------------------------------------------- questions over facts


def _first(items: list[Item], *, refuse: bool = False) -> Item | None:
    return next((item for item in items if (item.answer is None) == refuse), None)


def _ask(context: Context, items: list[Item], *, as_json: bool = False) -> Conversation:
    messages: list[dict[str, Any]] = []
    for index, item in enumerate(items):
        question = item.question + (" Answer as JSON." if as_json else "")
        if index == 0:
            messages += grounded_messages(question, context.passages)
        else:
            messages.append({"role": "user", "content": f"Question: {question}"})
        messages.append({"role": "assistant", "content": answer_text(item, as_json=as_json)})
    return Conversation(messages)


def _facts(count: int, generator: Generator, *, as_json: bool = False) -> Conversation | None:
    context = generator.context(count, real=0.0, filler=0.3, strict=False)
    item = _first(context.items)
    return _ask(context, [item], as_json=as_json) if item else None


def _unseen_synonyms(generator: Generator) -> Conversation | None:
    """Ask with synonyms that training never swaps, at least one of which the passages lack."""
    context = generator.context(4, real=0.0, filler=0.3, strict=False)
    item = _first(context.items)
    if item is None:
        return None
    question = Thesaurus(generator.rng, held_out=True).reword(item.question)
    passages = " ".join(context.passages)
    if _words(question) - _words(item.question) <= _words(passages):
        return None
    return _ask(context, [replace(item, question=question)])


def _near_miss(generator: Generator, *, refuse: bool, strict: bool = False) -> Conversation | None:
    """Ask over a context that has a near miss: that one, or what the same context answers."""
    context = generator.context(4, real=0.0, filler=0.3, strict=strict)
    missing = _first(context.items, refuse=True)
    if missing is None or not is_near_miss(missing.question, context.passages):
        return None
    item = missing if refuse else _first(context.items)
    return _ask(context, [item]) if item else None


def is_near_miss(question: str, passages: list[str]) -> bool:
    """Whether one passage has at least half of the question's words of content."""
    wanted = _words(question)
    shared = max(len(wanted & _words(passage)) for passage in passages)
    return bool(wanted) and shared >= _MIN_SHARED_WORDS * len(wanted)


def _words(text: str) -> set[str]:
    return {word for word in re.findall(r"\w{3,}", text.lower()) if word not in _COMMON}


_COMMON = frozenset(
    {"the", "and", "for", "are", "was", "has", "have", "had", "does", "did", "can", "may", "must"}
    | {"will", "who", "whom", "whose", "what", "which", "when", "where", "why", "how", "long"}
    | {"much", "many", "that", "this", "with", "from", "into", "its", "there"}
)


def _third_question(generator: Generator) -> Conversation | None:
    context = generator.context(4, real=0.0, filler=0.3, strict=False)
    items = [item for item in context.items if item.answer is not None][:3]
    return _ask(context, items) if len(items) == 3 else None


def _follow_up(generator: Generator) -> Conversation | None:
    """Ask as people do who do not say again what they are talking about: "And its default?"."""
    context = generator.follow_up_context()
    items = context.items[: generator.rng.randint(2, 4)]
    return _ask(context, items) if len(items) > 1 else None


def _long(generator: Generator) -> Conversation | None:
    context = generator.long_context()
    item = _first(context.items)
    return _ask(context, [item]) if item else None


def _prose(generator: Generator) -> Conversation | None:
    context = generator.prose_context(3)
    item = _first(context.items)
    return _ask(context, [item]) if item else None


def _written(generator: Generator) -> Conversation | None:
    context = generator.written_context()
    item = _first(context.items)
    return _ask(context, [item]) if item else None


def _each_source(prose: HeldOutProse) -> list[Corpus]:
    return list(prose.by_source.values())


def _written_pages(prose: HeldOutProse) -> list[Corpus]:
    return [prose.written]


def _copy(generator: Generator) -> Conversation:
    return generator.repeat()


# ---------------------------------------------------------------- tools


def _assistant_turn(
    generator: Generator, is_wanted: Callable[[list[dict[str, Any]], int], bool]
) -> Conversation | None:
    """Cut a conversation with tools after the first turn of a kind."""
    conversation = generator.tool_conversation()
    messages = conversation.messages
    for index, message in enumerate(messages):
        if message["role"] == "assistant" and is_wanted(messages, index):
            return Conversation(messages[: index + 1], conversation.tools)
    return None


def _tool_call(generator: Generator) -> Conversation | None:
    return _assistant_turn(
        generator, lambda turns, i: turns[i]["content"].startswith(chatml.TOOL_CALL_START)
    )


def _no_tool(generator: Generator) -> Conversation | None:
    return _assistant_turn(generator, lambda turns, i: turns[i]["content"] == NO_TOOL)


def _tool_result(generator: Generator) -> Conversation | None:
    return _assistant_turn(generator, lambda turns, i: turns[i - 1]["role"] == "tool")


# ---------------------------------------------------------------- the report

TOOL_CALL = "tool call, schema never seen"

LM_ROWS: list[Row] = [
    Row("1 fact", partial(_facts, 1), 0.99),
    Row("4 facts", partial(_facts, 4), 0.95),
    Row("8 facts", partial(_facts, 8), 0.90),
    Row("12 facts", partial(_facts, 12), 0.80),
    Row("4 facts, unseen families, same words", partial(_facts, 4), 0.85, families=HELD_OUT),
    Row("4 facts, unseen families, reworded", partial(_facts, 4), 0.85, families=HELD_OUT_REWORDED),
    Row(
        "4 facts, unseen relations, reworded", partial(_facts, 4), 0.85, families=HELD_OUT_RELATIONS
    ),
    Row("4 facts, unseen synonyms", _unseen_synonyms, 0.85),
    Row("near miss refused", partial(_near_miss, refuse=True), 0.92),
    Row("near miss by one name, role or relation", partial(_near_miss, refuse=True, strict=True)),
    Row("answer beside a near miss", partial(_near_miss, refuse=False), 0.95),
    Row("third question of a conversation", _third_question, 0.93),
    Row("follow-up that leaves words out", _follow_up, 0.93),
    Row("long context, 1,000 to 3,000 tokens", _long),
    Row("JSON answer", partial(_facts, 4, as_json=True), 0.95, grading.same_json),
    Row(TOOL_CALL, _tool_call, 0.90, grading.same_call),
    Row("no tool fits", _no_tool),
    Row("answer from a tool's result", _tool_result),
    Row("real prose, sources never seen", _prose, 0.60, corpora=_each_source),
    Row("written questions, paragraphs never seen", _written, corpora=_written_pages),
    Row("verbatim copy", _copy),
]
