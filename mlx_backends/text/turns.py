"""Brings chat turns into the order that chat templates accept."""

from collections.abc import Iterable
from typing import Any

Turn = dict[str, Any]


def merge_turns(turns: Iterable[Turn]) -> list[Turn]:
    """Put system turns first and join plain neighbours of one role; the given turns stay as are.

    Frameworks put messages of their own (a memory's summary, retrieved passages) beside the
    caller's, and many templates refuse a second system turn or two user turns in a row. Turns with
    tool calls, with reasoning or of tools stay apart.
    """
    merged: list[Turn] = []
    for turn in sorted(turns, key=lambda turn: turn["role"] != "system"):
        if merged and _can_merge(merged[-1], turn):
            texts = filter(None, (merged[-1]["content"], turn["content"]))
            merged[-1] = {**turn, "content": "\n\n".join(texts)}
        else:
            merged.append(turn)
    return merged


def _can_merge(first: Turn, second: Turn) -> bool:
    """Whether two turns differ in their text alone."""
    plain = {"role", "content", "name"}
    return (
        first["role"] == second["role"] != "tool"
        and first.get("name") == second.get("name")
        and first.keys() <= plain
        and second.keys() <= plain
    )
