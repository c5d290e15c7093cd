"""Measures a chat model on the rows of `rows`.

An item whose right answer the model prefers token by token is right: greedy decoding writes it. The
others are wrong where an answer has to be right to the letter. Where it is compared by value, and
within a grammar, they are generated.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from mlx_backends.bundled.evaluation.chat_model import Constraint, Generate, Prompt
from mlx_backends.bundled.evaluation.grading import exact
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
# Prompts and right answers to whether greedy decoding gives them.
Prefers = Callable[[Sequence[Prompt], Sequence[str]], list[bool]]
# Tools and most tokens to what bounds the answer.
Constrain = Callable[[list[dict[str, Any]], int], Constraint]
# Row, question, answer, right answer.
OnWrong = Callable[[str, str, str, str], None]


@dataclass(frozen=True, slots=True)
class Asked:
    """What answers, as functions.

    Attributes:
        generate: Answers prompts.
        count: Counts the tokens of a text.
        prefers: Says which right answers would be given; all are generated if None.
        constrain: Makes the grammar of a call of one of the tools, within so many tokens.
    """

    generate: Generate
    count: Count
    prefers: Prefers | None = None
    constrain: Constrain | None = None


def measure(
    rows: Iterable[Row],
    prose: HeldOutProse,
    items: int,
    asked: Asked,
    *,
    on_wrong: OnWrong | None = None,
) -> list[Figure]:
    """Measure rows; with a grammar, the row of tool calls a second time within it.

    Args:
        rows: What to ask.
        prose: Real prose of the evaluation side.
        items: Conversations a row.
        asked: What answers.
        on_wrong: Called with the row, the question, the wrong answer and the right one; every wrong
            answer is generated then.
    """
    figures = []
    for row in rows:
        drawn = row.draw(prose, items)
        free = replace(asked, constrain=None)
        figures.append(_measure(row.name, row.gate, row, drawn, free, on_wrong))
        if row.name == TOOL_CALL and asked.constrain:
            name = f"{row.name}, with grammar"
            figures.append(_measure(name, 0.97, row, drawn, asked, on_wrong))
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
    drawn: list[Conversation],
    asked: Asked,
    on_wrong: OnWrong | None,
) -> Figure:
    prompts = [prompt_of(item, asked.count, asked.constrain) for item in drawn]
    wanted = [item.messages[-1]["content"] for item in drawn]
    is_right = [False] * len(drawn)
    if asked.prefers and not asked.constrain:
        is_right = asked.prefers(prompts, wanted)
        if row.grade is exact and not on_wrong:
            return Figure(name, _METRIC, sum(is_right) / len(drawn), len(drawn), gate)
    open_ones = [index for index, right in enumerate(is_right) if not right]
    answers = asked.generate([prompts[index] for index in open_ones])
    for index, got in zip(open_ones, answers, strict=True):
        is_right[index] = row.grade(got, wanted[index])
        if on_wrong and not is_right[index]:
            on_wrong(name, drawn[index].messages[-2]["content"], got, wanted[index])
    return Figure(name, _METRIC, sum(is_right) / len(drawn), len(drawn), gate)


def prompt_of(
    conversation: Conversation, count: Count, constrain: Constrain | None = None
) -> Prompt:
    """Everything before the last turn, which is the expected answer."""
    *turns, answer = conversation.messages
    slack = _GRAMMAR_SLACK_TOKENS if constrain else _SLACK_TOKENS
    limit = count(answer["content"]) + slack
    constraint = constrain(conversation.tools or [], limit) if constrain else None
    return Prompt(turns, conversation.tools, limit, constraint)
