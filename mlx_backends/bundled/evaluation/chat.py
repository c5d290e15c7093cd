"""Measures a chat model on the rows of `rows`."""

from collections.abc import Callable, Iterable
from typing import Any

from mlx_backends.bundled.evaluation.chat_model import Constraint, Generate, Prompt
from mlx_backends.bundled.evaluation.held_out_prose import HeldOutProse
from mlx_backends.bundled.evaluation.rows import LM_ROWS, TOOL_CALL, Row
from mlx_backends.bundled.figures import Figure
from mlx_backends.bundled.training.generator import Conversation

# An answer that goes on this long after the expected one is wrong.
_SLACK_TOKENS = 8
# Room for a wrong tool's arguments, so that the grammar need not cut them short.
_GRAMMAR_SLACK_TOKENS = 64
_METRIC = "right answers"

Count = Callable[[str], int]
# Tools and most tokens to what bounds the answer.
Constrain = Callable[[list[dict[str, Any]], int], Constraint]
# Row, question, answer, right answer.
OnWrong = Callable[[str, str, str, str], None]


def measure(
    rows: Iterable[Row],
    prose: HeldOutProse,
    items: int,
    generate: Generate,
    count: Count,
    *,
    constrain: Constrain | None = None,
    on_wrong: OnWrong | None = None,
) -> list[Figure]:
    """Measure rows; with a grammar, the row of tool calls a second time within it.

    Args:
        rows: What to ask.
        prose: Real prose of the evaluation side.
        items: Conversations a row.
        generate: Answers prompts.
        count: Counts the tokens of a text.
        constrain: Makes the grammar of a call of one of the tools, within so many tokens.
        on_wrong: Called with the row, the question, the wrong answer and the right one.
    """
    figures = []
    for row in rows:
        asked = row.draw(prose, items)
        figures.append(_measure(row.name, row.gate, row, asked, generate, count, None, on_wrong))
        if row.name == TOOL_CALL and constrain:
            name = f"{row.name}, with grammar"
            figures.append(_measure(name, 0.97, row, asked, generate, count, constrain, on_wrong))
    return figures


def rows_named(parts: list[str]) -> list[Row]:
    """Rows whose names hold one of the texts; all rows if there is none.

    Raises:
        ValueError: No row's name holds any of them.
    """
    found = [row for row in LM_ROWS if not parts or any(part in row.name for part in parts)]
    if not found:
        names = "; ".join(row.name for row in LM_ROWS)
        raise ValueError(f"no row has {' or '.join(map(repr, parts))} in its name. Rows: {names}.")
    return found


def _measure(
    name: str,
    gate: float | None,
    row: Row,
    asked: list[Conversation],
    generate: Generate,
    count: Count,
    constrain: Constrain | None,
    on_wrong: OnWrong | None,
) -> Figure:
    answers = generate([prompt_of(item, count, constrain) for item in asked])
    right = 0
    for conversation, got in zip(asked, answers, strict=True):
        *_, question, wanted = (message["content"] for message in conversation.messages)
        is_right = row.grade(got, wanted)
        right += is_right
        if on_wrong and not is_right:
            on_wrong(name, question, got, wanted)
    return Figure(name, _METRIC, right / len(asked), len(asked), gate)


def prompt_of(
    conversation: Conversation, count: Count, constrain: Constrain | None = None
) -> Prompt:
    """Everything before the last turn, which is the expected answer."""
    *turns, answer = conversation.messages
    slack = _GRAMMAR_SLACK_TOKENS if constrain else _SLACK_TOKENS
    limit = count(answer["content"]) + slack
    constraint = constrain(conversation.tools or [], limit) if constrain else None
    return Prompt(turns, conversation.tools, limit, constraint)
