"""Evaluation of the chat model while it trains, on the evaluation side of every split."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from mlx_backends.bundled.training import prose
from mlx_backends.bundled.training.families import HELD_OUT, HELD_OUT_RELATIONS, HELD_OUT_REWORDED
from mlx_backends.bundled.training.generator import (
    Context,
    Conversation,
    Corpus,
    Generator,
    Item,
    answer_text,
)
from mlx_backends.bundled.training.lm.batches import Encoded, pad
from mlx_backends.bundled.training.lm.model import ANSWER, LanguageModel
from mlx_backends.bundled.training.thesaurus import Thesaurus
from mlx_backends.text.grounding import grounded_messages


def _asked(
    generator: Generator,
    count: int,
    items: int,
    *,
    refuse: bool = False,
    as_json: bool = False,
    strict: bool = False,
    thesaurus: Thesaurus | None = None,
) -> list[Conversation]:
    result: list[Conversation] = []
    while len(result) < items:
        context = generator.context(count, real=0.0, filler=0.3, strict=strict)
        found = [item for item in context.items if (item.answer is None) == refuse]
        if thesaurus:
            reworded = [replace(i, question=thesaurus.reword(i.question)) for i in found]
            pairs = zip(found, reworded, strict=True)
            found = [new for old, new in pairs if new.question != old.question]
        if found:
            result.append(_single(context.passages, found[0], as_json=as_json))
    return result


def _prose(generator: Generator, items: int) -> list[Conversation]:
    result: list[Conversation] = []
    while len(result) < items:
        context = generator.prose_context(3)
        found = [item for item in context.items if item.answer is not None]
        result += [_single(context.passages, item) for item in found[:1]]
    return result


def _documentation(draw: Callable[[], Context], items: int) -> list[Conversation]:
    """Ask questions over chunks of pages."""
    result: list[Conversation] = []
    while len(result) < items:
        context = draw()
        found = [item for item in context.items if item.answer is not None]
        result += [_single(context.passages, item) for item in found[:2]]
    return result[:items]


def _in_order(context: Context) -> Conversation:
    """Ask the questions of a context one after the other."""
    first, *rest = context.items
    messages = _single(context.passages, first).messages
    for item in rest:
        messages.append({"role": "user", "content": f"Question: {item.question}"})
        messages.append({"role": "assistant", "content": answer_text(item)})
    return Conversation(messages)


def _single(passages: list[str], item: Item, *, as_json: bool = False) -> Conversation:
    question = item.question + (" Answer as JSON." if as_json else "")
    answer = answer_text(item, as_json=as_json)
    return Conversation(
        [*grounded_messages(question, passages), {"role": "assistant", "content": answer}]
    )


def evaluation_sets(folder: Path, items: int) -> dict[str, list[str]]:
    """Make small sets on the evaluation side of every split."""
    corpus = Corpus.load(folder / "prose.json.gz", held_out=True)
    known = Generator(7, corpus, held_out=True)
    unseen = Generator(8, corpus, held_out=True, families=HELD_OUT)
    sets = {f"facts_{n}": _asked(known, n, items) for n in (1, 4, 8, 12)}
    sets["unseen_4"] = _asked(unseen, 4, items)
    reworded = Generator(8, corpus, held_out=True, families=HELD_OUT_REWORDED)
    sets["reworded_4"] = _asked(reworded, 4, items)
    sets["refuse_4"] = _asked(known, 4, items, refuse=True)
    sets["near_4"] = _asked(known, 4, items, refuse=True, strict=True)
    sets["json_4"] = _asked(known, 4, items, as_json=True)
    related = Generator(8, corpus, held_out=True, families=HELD_OUT_RELATIONS)
    sets["related_4"] = _asked(related, 4, items)
    sets["synonyms_4"] = _asked(known, 4, items, thesaurus=Thesaurus(known.rng, held_out=True))
    manuals = frozenset(manual.package for manual in prose.MANUALS if manual.held_out)
    unread = Corpus.load(folder / "prose.json.gz", held_out=True, sources=manuals)
    sets["prose_3"] = _prose(known, items)
    sets["manuals_3"] = _prose(Generator(9, unread, held_out=True), items)
    contexts = [known.follow_up_context() for _ in range(items // 2)]
    sets["follow_up"] = [_in_order(context) for context in contexts]
    sets["tool"] = [known.tool_conversation() for _ in range(items // 2)]
    sets["docs_4"] = _documentation(partial(known.documentation_context, real=False), items)
    manual = Generator(9, unread, held_out=True)
    sets["docs_manuals_4"] = _documentation(partial(manual.documentation_context, real=True), items)
    written = Generator(9, Corpus.load_written(folder / "prose.json.gz"), held_out=True)
    sets["written_4"] = _documentation(written.written_context, items)
    return {name: [item.text() for item in conversations] for name, conversations in sets.items()}


@torch.no_grad()
def exact_match(model: LanguageModel, encode: Encoded, texts: list[str], device: str) -> float:
    """Share of assistant turns whose every token is the most likely one.

    Equal to greedy decoding, because each turn has one right text.
    """
    right = total = 0
    for start in range(0, len(texts), 32):
        pool = list(encode(texts[start : start + 32]))
        length = -(-max(len(ids) for ids, _ in pool) // 128) * 128
        ids, kinds = (torch.from_numpy(array) for array in pad(pool, length))
        ids = ids.to(device).long()
        x = model.hidden(ids)
        best = F.linear(x, model.embed_tokens.weight.to(x.dtype)).argmax(-1).view(ids.shape)
        good = (best[:, :-1] == ids[:, 1:]).cpu().numpy()
        answers = kinds[:, 1:].numpy() == ANSWER
        for row_good, row_answers in zip(good, answers, strict=True):
            edges = np.flatnonzero(np.diff(np.concatenate(([0], row_answers, [0]))))
            for begin, end in edges.reshape(-1, 2):
                right += bool(row_good[begin:end].all())
                total += 1
    return right / max(1, total)
