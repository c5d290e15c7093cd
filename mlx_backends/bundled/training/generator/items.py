"""What the generator makes: questions over contexts, and conversations."""

import json
from dataclasses import dataclass
from typing import Any

from mlx_backends.bundled.training import chatml
from mlx_backends.text.grounding import REFUSAL

Message = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Item:
    """A question over a context.

    Attributes:
        question: The question.
        answer: A span of the passage, or None if no passage says.
        passage: Index of the passage that answers.
        sentence: The statement that answers, empty for a refusal.
    """

    question: str
    answer: str | None
    passage: int = 0
    sentence: str = ""


def answer_text(item: Item, *, as_json: bool = False) -> str:
    """Write the expected answer."""
    if as_json:
        source = item.passage + 1 if item.answer is not None else None
        return json.dumps({"answer": item.answer, "source": source}, ensure_ascii=False)
    return REFUSAL if item.answer is None else f"[{item.passage + 1}] {item.answer}"


@dataclass(slots=True)
class Context:
    """Passages and questions over them, in random order."""

    passages: list[str]
    items: list[Item]


@dataclass(slots=True)
class Conversation:
    """Messages, ending with the assistant's, and the tools they may use."""

    messages: list[Message]
    tools: list[dict[str, Any]] | None = None

    def text(self) -> str:
        return chatml.render(self.messages, self.tools)
