"""Retrieval items: questions, each with the one passage of the list that answers it."""

from collections.abc import Callable

from mlx_backends.bundled.training.generator import Context, Generator


def statements(generator: Generator, count: int) -> tuple[list[str], list[str]]:
    """Make questions and the statements that answer them, one each, with no key in common."""
    facts = []
    keys: set[str] = set()
    while len(facts) < count:
        for fact in generator.facts(6):
            if not fact.keys & keys:
                keys |= fact.keys
                facts.append(fact)
    facts = facts[:count]
    return [generator.rng.choice(fact.asks)[0] for fact in facts], [
        fact.statement for fact in facts
    ]


def pages(generator: Generator, count: int) -> tuple[list[str], list[str]]:
    """Make questions and the pages that answer them: facts amid real prose and near misses."""
    return _distinct(lambda: generator.context(6, real=0.0, filler=1.0), count)


def prose(generator: Generator, count: int) -> tuple[list[str], list[str]]:
    """Make questions and the real passages that answer them."""
    return _distinct(lambda: generator.prose_context(4), count)


def written(generator: Generator, count: int) -> tuple[list[str], list[str]]:
    """Take a question written by hand for each paragraph that has some, and the paragraphs.

    Other paragraphs of the same pages, up to ``count`` in all, come after those that answer. There
    may be fewer questions than ``count``.
    """
    rng, corpus = generator.rng, generator.corpus
    answered: dict[str, str] = {}  # paragraph -> question
    others: list[str] = []
    for document in corpus.documents:
        if not any(paragraph[0] in corpus.written for paragraph in document):
            continue
        for paragraph in document:
            heading = corpus.headings.get(paragraph[0], "")
            passage = f"{heading}\n{' '.join(paragraph)}".strip()
            asked = corpus.written.get(paragraph[0], ())
            told = [item.question for item in asked if item.answer is not None]
            if told:
                answered[passage] = rng.choice(told)
            else:
                others.append(passage)
    chosen = rng.sample(sorted(answered), min(count, len(answered)))
    rng.shuffle(others)
    return [answered[passage] for passage in chosen], [*chosen, *others][:count]


def _distinct(make: Callable[[], Context], count: int) -> tuple[list[str], list[str]]:
    """Take one question for each passage; no other passage holds the sentence that answers it."""
    chosen: dict[str, str] = {}  # sentence that answers -> question
    passages: list[str] = []
    while len(passages) < count:
        context = make()
        for item in context.items:
            if item.answer is None or len(passages) == count:
                continue
            passage = context.passages[item.passage]
            plain = unwrapped(passage)
            sentence = unwrapped(item.sentence)
            if any(other in plain for other in chosen) or any(
                sentence in unwrapped(other) for other in passages
            ):
                continue
            chosen[sentence] = item.question
            passages.append(passage)
    return list(chosen.values()), passages


def unwrapped(text: str) -> str:
    """The text on one line, so that a sentence is found however a page breaks its lines."""
    return " ".join(text.split())


def bm25(asked: list[str], passages: list[str]) -> float:
    """Return BM25's recall at 1 on the same items."""
    import bm25s

    index = bm25s.BM25()
    index.index(bm25s.tokenize(passages, show_progress=False), show_progress=False)
    found, _ = index.retrieve(bm25s.tokenize(asked, show_progress=False), k=1, show_progress=False)
    return sum(int(row[0]) == i for i, row in enumerate(found)) / len(asked)
