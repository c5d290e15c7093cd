"""Tells a model's reasoning from its answer.

Owns the marks that families put around reasoning, and the splitting of streamed text at them.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mlx_backends.text.marker import MarkerScanner


@dataclass(frozen=True, slots=True)
class ReasoningFormat:
    """The texts around a family's reasoning."""

    start: str
    end: str


# A template that opens or closes the reasoning does so at the very end of the prompt.
_NUM_LAST_TOKENS = 8
# The pairs that mlx-lm knows (``_infer_thinking``), in its order.
_FORMATS = (
    ReasoningFormat("<think>", "</think>"),
    ReasoningFormat("<longcat_think>", "</longcat_think>"),
    ReasoningFormat("<|think:start|>", "<|think:end|>"),
)


def reasoning_format(has_token: Callable[[str], bool]) -> ReasoningFormat | None:
    """The format whose marks are added tokens of the model; None if it does not reason."""
    return next((f for f in _FORMATS if has_token(f.start) and has_token(f.end)), None)


def is_reasoning_at_end(last_prompt_token_ids: Sequence[int], start_id: int, end_id: int) -> bool:
    """Whether a prompt that ends with these tokens ends inside the reasoning."""
    marks = [i for i in last_prompt_token_ids[-_NUM_LAST_TOKENS:] if i in (start_id, end_id)]
    return bool(marks) and marks[-1] == start_id


def is_reasoning_over(last_prompt_token_ids: Sequence[int], end_id: int) -> bool:
    """Whether the template has put the end of the reasoning at the end of the prompt."""
    return end_id in last_prompt_token_ids[-_NUM_LAST_TOKENS:]


@dataclass(frozen=True, slots=True)
class SplitText:
    """What a piece of text brought.

    Attributes:
        reasoning: New text of the reasoning.
        text: New text of the answer.
    """

    reasoning: str = ""
    text: str = ""


class ReasoningSplitter:
    """Splits one completion, as it comes, into reasoning and answer.

    Reasoning comes first or not at all, so once the answer has begun nothing is looked for any
    more. White space around the marks belongs to neither part.

    Args:
        marks: The family's marks; None passes all text on as the answer.
        is_open: Whether the prompt ends inside the reasoning.
    """

    def __init__(self, marks: ReasoningFormat | None, *, is_open: bool = False) -> None:
        self._marks = marks
        self._reasons = is_open
        self._answers = marks is None
        self._trims = False
        self._head = ""
        self._end = MarkerScanner(marks.end) if marks else None

    @property
    def is_reasoning(self) -> bool:
        """Whether the next token may still belong to the reasoning."""
        return not self._answers and (self._reasons or bool(self._head))

    def feed(self, text: str) -> SplitText:
        """Take the next piece of text."""
        if self._answers:
            return SplitText(text=self._trimmed(text))
        return self._reasoning(text) if self._reasons else self._beginning(text)

    def finish(self) -> SplitText:
        """Return what was held back."""
        if self._reasons and not self._answers and self._end is not None:
            return SplitText(reasoning=self._trimmed(self._end.finish()))
        held, self._head = self._head, ""
        return SplitText(text=held)

    def _beginning(self, text: str) -> SplitText:
        """Wait until it is clear whether the completion begins with reasoning."""
        assert self._marks is not None
        self._head += text
        head, start = self._head.lstrip(), self._marks.start
        if head.startswith(start):
            self._head, self._reasons, self._trims = "", True, True
            return self._reasoning(head[len(start) :])
        if start.startswith(head):
            return SplitText()
        head, self._head, self._answers = self._head, "", True
        return SplitText(text=head)

    def _reasoning(self, text: str) -> SplitText:
        assert self._end is not None
        before, after = self._end.feed(text)
        reasoning = self._trimmed(before)
        if after is None:
            return SplitText(reasoning=reasoning)
        self._answers, self._trims = True, True
        return SplitText(reasoning, self._trimmed(after))

    def _trimmed(self, text: str) -> str:
        """Drop white space until there is something else."""
        if not self._trims:
            return text
        text = text.lstrip()
        self._trims = not text
        return text
