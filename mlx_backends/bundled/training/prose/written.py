"""Questions written by hand over paragraphs of the real prose, most of them in other words than its.

Rules repeat the words of a sentence; a reader who has not seen the page does not. ``written.tsv`` has
a question a line: the paragraph's key, the question, and the answer as it stands in the paragraph,
or ``-`` where the paragraph does not say.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

_FILE = Path(__file__).with_name("written.tsv")
_NOT_SAID = "-"
_HELD_OUT_OF = 10


@dataclass(frozen=True, slots=True)
class Written:
    """A question over a paragraph.

    Attributes:
        question: As a user asks.
        answer: A span of the paragraph, or None if it does not say.
    """

    question: str
    answer: str | None


def paragraph_key(paragraph: Sequence[str]) -> str:
    """What `written.tsv` names a paragraph by: 10 hex digits of its text's SHA-256."""
    return hashlib.sha256(" ".join(paragraph).encode()).hexdigest()[:10]


def is_held_out(key: str) -> bool:
    """Whether a paragraph is kept for evaluation; one in ten of those with questions is."""
    return int(key, 16) % _HELD_OUT_OF == 0


@cache
def written_questions() -> dict[str, list[Written]]:
    """The questions of each paragraph, by its key."""
    found: dict[str, list[Written]] = {}
    for line in _FILE.read_text("utf-8").splitlines():
        key, question, answer = line.split("\t")
        said = None if answer == _NOT_SAID else answer
        found.setdefault(key, []).append(Written(question, said))
    return found
