"""One statement with the questions that it answers."""

from dataclasses import dataclass

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
    """

    family: str
    statement: str
    asks: list[tuple[str, str]]
    keys: frozenset[str]
    slots: dict[str, str]
    pair: tuple[str, str, str] | None = None
    says: frozenset[str] = frozenset()

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
