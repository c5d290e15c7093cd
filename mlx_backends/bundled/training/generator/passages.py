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
        sentences = [self._in_context(fact) for fact in facts]
        if rng.random() < 0.2:
            sentences = [
                self._opener() + uncapitalize(text)
                if text[-1] == "." and "\n" not in text
                else text
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
        real = self.corpus.headings.get(document[start][0])
        if real and rng.random() < 0.5:
            text = f"{rng.choice(('# ', '## ', '### ', '', ''))}{real}\n{rng.choice(('', chr(10)))}{text}"
        elif rng.random() < 0.2:
            text = f"{self.heading()}\n{text}"
        return (text, items), misses

    def _in_context(self, fact: Fact) -> str:
        """Write a fact, at times with its subject in the sentence or heading before it."""
        rng, statement = self.rng, fact.statement
        subject = next((s for s in _subjects(fact) if statement.startswith(capitalize(s))), None)
        if subject is None or rng.random() > 0.22:
            return statement
        rest = statement[len(subject) :]
        if rest.startswith("'s ") and rng.random() < 0.7:
            return f"{self._introduction(subject)} Its {rest[3:]}"
        if not rest.startswith(" ") or rest[1:2] in "-(=" or "```" in rest:
            return statement
        if rng.random() < 0.6:
            pronoun = rng.choice(("It", "It", "It", "This"))
            return f"{self._introduction(subject)} {pronoun}{rest}"
        title = capitalize(subject.removeprefix("the "))
        lead = rng.choice(("It", "It", "", ""))
        if not lead and rest.split()[0] in ("is", "has", "was"):
            lead = "It"
        body = f"It{rest}" if lead else capitalize(rest[1:])
        return rng.choice(_TITLED).format(t=title, b=body)

    def _introduction(self, subject: str) -> str:
        form = capitalize(self.rng.choice(_INTRODUCTIONS))
        return form.format(s=subject, S=capitalize(subject))

    def page(self, size: int) -> str:
        """Take paragraphs in a row with their headings, up to a number of characters."""
        document = self.rng.choice(self.documents)
        start = self.rng.randrange(len(document))
        parts: list[str] = []
        for paragraph in document[start:]:
            heading = self.corpus.headings.get(paragraph[0])
            text = " ".join(paragraph)
            parts.append(f"## {heading}\n{text}" if heading else text)
            if sum(map(len, parts)) > size:
                break
        return "\n\n".join(parts)

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
        draw = 1.0 if any("\n" in part for part in parts) else rng.random()
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


def _subjects(fact: Fact) -> list[str]:
    """Return the phrases of a fact that can be its singular subject."""
    found = [fact.slots.get(name) for name in ("e", "c", "S", "f", "x")]
    phrases = [item[1] if isinstance(item, tuple) else item for item in found]
    texts = [
        getattr(item, "full", item) for item in phrases if not getattr(item, "is_plural", False)
    ]
    return [text for text in texts if isinstance(text, str) and text and fact.family not in _PLURAL]


_PLURAL = frozenset(("format", "state", "support"))
# None says anything that a family asks for.
_INTRODUCTIONS = (
    "{S} deserves a word.", "{S} is easy to miss.", "{S} is described here.", "Have a look at {s}.", "{S} is new.",
    "Then there is {s}.", "The next part is {s}.", "This section is about {s}.", "One of them is {s}.", "{S} is not hard to use.",
    "Many ask about {s}.", "Everybody knows {s}.", "We now come to {s}.", "{S} has its own page.",
)  # fmt: skip
_TITLED = (
    "## {t}\n{b}", "# {t}\n\n{b}", "### {t}\n\n{b}", "**{t}**: {b}", "{t}\n{b}", "- {t}\n  {b}", "**{t}**\n\n{b}", "{t}\n    {b}",
)  # fmt: skip
_OPENERS = (
    "As of {v}, ", "In practice, ", "Note that ", "By design, ", "In this release, ", "On {p}, ",
    "As a rule, ", "Also, ", "In short, ", "For now, ", "Since {v}, ", "Inside the {c}, ", "At the moment, ",
    "In most cases, ", "Internally, ", "However, ", "Importantly, ", "In addition, ",
)  # fmt: skip
