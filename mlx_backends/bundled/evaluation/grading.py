"""Decides whether an answer is right. No answer is half right."""

import json
import re
from collections.abc import Callable
from typing import Any

from mlx_backends.bundled.training import chatml

Grade = Callable[[str, str], bool]
_CALL = re.compile(
    rf"\s*{re.escape(chatml.TOOL_CALL_START)}(.*){re.escape(chatml.TOOL_CALL_END)}\s*", re.DOTALL
)


def exact(got: str, wanted: str) -> bool:
    """Same text to the letter, the citation included."""
    return got == wanted


def same_json(got: str, wanted: str) -> bool:
    """Same JSON value, whatever its spaces and the order of its keys."""
    try:
        return _equal(json.loads(got), json.loads(wanted))
    except ValueError:
        return False


def same_call(got: str, wanted: str) -> bool:
    """One call of the same tool, with the same arguments of the same types."""
    found, expected = _CALL.fullmatch(got), _CALL.fullmatch(wanted)
    return found is not None and expected is not None and same_json(found[1], expected[1])


def holds(got: str, answers: list[str]) -> bool:
    """One of the texts stands in the answer, as whole words; markup, case and spaces aside."""
    return any(
        re.search(rf"(?<!\w){re.escape(plain(answer))}(?!\w)", plain(got)) for answer in answers
    )


def plain(text: str) -> str:
    """Text without code and emphasis marks, in lower case, with single spaces."""
    return " ".join(re.sub(r"[`*]", "", text).casefold().split())


def _equal(got: Any, wanted: Any) -> bool:
    """Equal JSON values. A whole number may stand for a float, but not the other way round."""
    if isinstance(wanted, dict) and isinstance(got, dict):
        return got.keys() == wanted.keys() and all(_equal(got[k], wanted[k]) for k in wanted)
    if isinstance(wanted, list) and isinstance(got, list):
        return len(got) == len(wanted) and all(map(_equal, got, wanted))
    if isinstance(wanted, float) and type(got) is int:
        return got == wanted
    return type(got) is type(wanted) and got == wanted
