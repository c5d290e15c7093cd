"""One statement with the questions that it answers."""

from collections.abc import Container
from dataclasses import dataclass, replace

from mlx_backends.bundled.training.grammar import capitalize


@dataclass(frozen=True, slots=True)
class Fact:
    """One statement and the questions that it answers.

    Attributes:
        family: Name of its family.
        statement: The sentence; every answer is a span of it.
        asks: Pairs of a question and its answer.
        keys: What its questions ask for; facts of one context share none.
        slots: What filled the patterns.
        pair: Subject, attribute and value where the fact has this simple form, for tables.
        says: Keys of further questions that a reader might take the statement to answer.
        of_all: A key, and which of the questions ask for all that is said of a subject: they fit
            where no other statement says something of it.
    """

    family: str
    statement: str
    asks: list[tuple[str, str]]
    keys: frozenset[str]
    slots: dict[str, str]
    pair: tuple[str, str, str] | None = None
    says: frozenset[str] = frozenset()
    of_all: tuple[str, tuple[str, ...]] = ("", ())

    def narrowed(self, taken: Container[str] | None = None) -> "Fact":
        """Leave out the questions `of_all` if their key is taken, or without keys in any case."""
        key, questions = self.of_all
        if not questions or (taken is not None and key not in taken):
            return self
        asks = [(question, answer) for question, answer in self.asks if question not in questions]
        return replace(self, asks=asks, of_all=("", ()))

    def meets(self, other: "Fact") -> bool:
        """Whether one of the two statements answers a question of the other."""
        return bool(self.keys & (other.keys | other.says) or self.says & other.keys)


def key_of(topic: str, *given: str) -> str:
    """Name what a question asks: its topic, and the things that it names."""
    return f"{topic}: {'|'.join(given)}".lower()


def span_of(answer: str, statement: str) -> str | None:
    """Return the answer as the statement writes it, or None if it does not hold it."""
    if answer in statement:
        return answer
    raised = capitalize(answer)
    return raised if statement.startswith(raised) else None
