"""Retrieval items: questions with the passages that answer them."""

from mlx_backends.bundled.training.generator import Generator


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


def prose(generator: Generator, count: int) -> tuple[list[str], list[str]]:
    """Make questions and the real passages that answer them."""
    asked: dict[str, str] = {}
    while len(asked) < count:
        context = generator.prose_context(4)
        for item in context.items:
            if item.answer is not None and context.passages[item.passage] not in asked:
                asked[context.passages[item.passage]] = item.question
    passages = list(asked)[:count]
    return [asked[passage] for passage in passages], passages


def bm25(asked: list[str], passages: list[str]) -> float:
    """Return BM25's recall at 1 on the same items."""
    import bm25s

    index = bm25s.BM25()
    index.index(bm25s.tokenize(passages, show_progress=False), show_progress=False)
    found, _ = index.retrieve(bm25s.tokenize(asked, show_progress=False), k=1, show_progress=False)
    return sum(int(row[0]) == i for i, row in enumerate(found)) / len(asked)
