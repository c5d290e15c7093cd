"""Tables and lists of what real functions and classes do, from the sentences that say so."""

import random

from mlx_backends.bundled.training.generator.corpus import Corpus
from mlx_backends.bundled.training.generator.documentation.markdown import table, table_row, title
from mlx_backends.bundled.training.generator.documentation.writer import Ask, Section
from mlx_backends.bundled.training.prose import Question

_LEAST = 4
# A name, what it does, and the questions that the two answer.
Entry = tuple[str, str, list[Question]]


class Listings:
    """Draws entries of one document at a time."""

    def __init__(self, rng: random.Random, corpus: Corpus) -> None:
        self.rng = rng
        self._documents = [
            found
            for document in corpus.documents
            if len(found := _entries(corpus, document)) >= _LEAST
        ]

    def section(self) -> Section:
        """Write a table or a list of a few neighbours; empty if the corpus has none."""
        if not self._documents:
            return Section()
        rng = self.rng
        entries = rng.choice(self._documents)
        count = rng.randint(3, 9)
        start = rng.randrange(max(1, len(entries) - count + 1))
        chosen = entries[start : start + count]
        form = rng.choice(
            ("| {} | {} |", "| {} | {} |", "- {} {}", "- {}: {}", "- **{}**: {}", "{}\n: {}")
        )
        lines = [form.format(name, does) for name, does, _ in chosen]
        asks = []
        for line, (_, _, questions) in zip(lines, chosen, strict=True):
            for question in rng.sample(questions, min(2, len(questions))):
                asks.append(Ask(question.render(rng), question.answer, " ".join(line.split())))
        if not form.startswith("|"):
            return Section(["\n".join(lines)], asks)
        heads = [title(rng, rng.choice(_NAMES)), title(rng, rng.choice(_MEANINGS))]
        return Section([table(rng, [table_row(heads), *lines])], asks)


def _entries(corpus: Corpus, document: list[list[str]]) -> list[Entry]:
    """What a document says names do, each name once."""
    found: dict[str, Entry] = {}
    for paragraph in document:
        for sentence in paragraph:
            questions = [item for item in corpus.questions(sentence) if "rest" in item.slots]
            if questions:
                name, does = questions[0].slots["s"], questions[0].slots["o"]
                found.setdefault(name, (name, does, questions))
    return list(found.values())


_NAMES = ("name", "function", "call", "what", "method", "member")
_MEANINGS = ("what it does", "description", "effect", "use", "does", "purpose", "meaning")
