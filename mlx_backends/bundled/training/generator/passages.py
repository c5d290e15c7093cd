"""Writes passages as a retriever delivers them: facts amid real prose, or real prose alone."""

import random

from mlx_backends.bundled.training import grammar, lexicon
from mlx_backends.bundled.training.families import Fact
from mlx_backends.bundled.training.generator.corpus import Corpus
from mlx_backends.bundled.training.generator.items import Item
from mlx_backends.bundled.training.grammar import capitalize, uncapitalize
from mlx_backends.bundled.training.lexicon import Names

Passage = tuple[str, list[Item]]


class Passages:
    """Writes one passage at a time, with the items that it answers."""

    def __init__(self, names: Names, corpus: Corpus) -> None:
        self.rng: random.Random = names.rng
        self.names = names
        self.corpus = corpus
        self.documents = [d for d in corpus.documents if sum(map(len, d)) >= 4]

    def of_facts(self, facts: list[Fact], *, paragraph: bool) -> Passage:
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

    def of_prose(
        self, count: int, document: list[list[str]] | None = None
    ) -> tuple[Passage, list[Item]]:
        """Take real sentences in a row; also return questions that the rest of the document answers."""
        rng = self.rng
        document = document or rng.choice(self.documents)
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
            text = f"{self.heading()}\n{text}"
        return (text, items), misses

    def heading(self) -> str:
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

    def real_sentences(self, count: int) -> list[str]:
        sentences: list[str] = []
        for _ in range(count):
            sentences.append(
                self.rng.choice(self.rng.choice(self.rng.choice(self.corpus.documents)))
            )
        return sentences

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
            parts += self.real_sentences(rng.choice((0, 0, 0, 1, 1, 2)))
            parts.append(sentence)
        parts += self.real_sentences(rng.choice((0, 0, 1, 1, 2)))
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
        return f"{self.heading()}\n{body}" if draw < 0.35 else body


_OPENERS = (
    "As of {v}, ", "In practice, ", "Note that ", "By design, ", "In this release, ", "On {p}, ",
    "As a rule, ", "Also, ", "In short, ", "For now, ", "Since {v}, ", "Inside the {c}, ", "At the moment, ",
    "In most cases, ", "Internally, ", "However, ", "Importantly, ", "In addition, ",
)  # fmt: skip
