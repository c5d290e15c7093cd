"""Real prose of one side of the split."""

from dataclasses import dataclass
from pathlib import Path

from mlx_backends.bundled.training import prose
from mlx_backends.bundled.training.prose import Question


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
