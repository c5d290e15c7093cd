"""The prompt for questions over numbered passages, shared by the command line and the adapters.

Owns the wording that the bundled chat model was trained on. Any instruction-tuned model can follow
it too. Knows nothing about retrieval or models; callers pass texts and get chat messages back.
"""

from collections.abc import Sequence

GROUNDED_SYSTEM_PROMPT = (
    "Answer the question from the numbered passages and cite the one that you used, like [1]. "
    "If they do not say, answer: The context does not say."
)
"""The system turn of a grounded question."""

REFUSAL = "The context does not say."
"""The whole answer when no passage holds it."""


def grounded_messages(question: str, passages: Sequence[str]) -> list[dict[str, str]]:
    """Build the chat messages that ask a question over passages.

    Args:
        question: The question, in the user's words.
        passages: The retrieved texts, best first. They are numbered from 1 in this order.

    Returns:
        A system turn and a user turn. The expected answer is ``"[2] <short span>"`` or `REFUSAL`.
    """
    return [
        {"role": "system", "content": GROUNDED_SYSTEM_PROMPT},
        {"role": "user", "content": f"{number_passages(passages)}\n\nQuestion: {question.strip()}"},
    ]


def number_passages(passages: Sequence[str], *, first: int = 1) -> str:
    """Render passages under a ``Passages:`` line, each one numbered ``[1]``, ``[2]``, ..."""
    lines = [f"[{number}] {text.strip()}" for number, text in enumerate(passages, start=first)]
    return "\n".join(["Passages:", *lines])
