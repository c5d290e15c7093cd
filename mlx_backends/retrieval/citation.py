"""From ``[2]`` in an answer to the lines of the passage that bear it out."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mlx_backends.retrieval.splitter import Chunk

_TAG = re.compile(r"\[(\d{1,4}(?:\s*[,;]\s*\d{1,4})*)\]")
_CODE = re.compile(r"`[^`\n]*`")
# Where one claim ends and the next begins, in answers that cite before or after the claim.
_BEFORE_TAG = re.compile(r"(?<!\])\s+(?=\[\d)|\n+")
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+(?!\[\d)|\n+")
_WORD = re.compile(r"\w+")
# A line with fewer of the answer's words than this proves nothing.
_MIN_SHARED_WORDS = 0.5


@dataclass(frozen=True, slots=True)
class Citation:
    """A passage that an answer cites, narrowed to the lines that hold what it says.

    Attributes:
        number: As in the answer, from 1.
        path: Of the document.
        start_line: First line, from 1.
        end_line: Last line.
        quote: The lines' text.
        is_narrowed: False if the answer was not found and the whole chunk is given.
    """

    number: int
    path: str
    start_line: int
    end_line: int
    quote: str
    is_narrowed: bool


@dataclass(frozen=True, slots=True)
class Citations:
    """What an answer cites.

    Attributes:
        found: One for each passage cited, in the order of the first mention.
        unknown: Numbers that are no passage's.
    """

    found: list[Citation]
    unknown: list[int]


def cite(answer: str, passages: Sequence[Chunk]) -> Citations:
    """Resolve an answer's citations.

    Args:
        answer: With tags such as ``[2]`` or ``[1, 3]`` before or after what they bear out.
        passages: What the model was shown, numbered from 1 in this order.
    """
    claims = _claims_by_number(answer)
    known = [number for number in claims if 1 <= number <= len(passages)]
    return Citations(
        found=[_narrow(number, claims[number], passages[number - 1]) for number in known],
        unknown=[number for number in claims if number not in known],
    )


def _claims_by_number(answer: str) -> dict[int, str]:
    """What the answer says, without tags, where it cites each number first."""
    answer = answer.strip()
    boundary = _BEFORE_TAG if _TAG.match(answer) else _SENTENCE_END
    claims: dict[int, str] = {}
    for claim in boundary.split(answer):
        for tag in _TAG.findall(_CODE.sub("", claim)):
            for number in re.findall(r"\d+", tag):
                claims.setdefault(int(number), _TAG.sub(" ", claim).strip())
    return claims


def _narrow(number: int, claim: str, chunk: Chunk) -> Citation:
    lines = chunk.text.split("\n")
    span = _lines_that_quote(claim, chunk.text) or _line_that_shares_most(claim, lines)
    first, last = span or (0, len(lines) - 1)
    return Citation(
        number=number,
        path=chunk.path,
        start_line=chunk.start_line + first,
        end_line=chunk.start_line + last,
        quote="\n".join(lines[first : last + 1]),
        is_narrowed=span is not None,
    )


def _lines_that_quote(claim: str, text: str) -> tuple[int, int] | None:
    """First and last line, from 0, of the claim's words standing in the text one after another."""
    words = [re.escape(word) for word in claim.strip(" \t.,;:!?\"'").split()]
    if not words:
        return None
    # Whole words only: "7 bytes" is not in "17 bytes".
    match = re.search(r"(?<!\w)" + r"\s+".join(words) + r"(?!\w)", text, re.IGNORECASE)
    if match is None:
        return None
    return text.count("\n", 0, match.start()), text.count("\n", 0, match.end())


def _line_that_shares_most(claim: str, lines: list[str]) -> tuple[int, int] | None:
    """The line, as a range of one, with most of the claim's words; None if no line has half."""
    wanted = _words(claim)
    if not wanted:
        return None
    shared = [len(wanted & _words(line)) / len(wanted) for line in lines]
    best = max(range(len(lines)), key=shared.__getitem__)
    return (best, best) if shared[best] >= _MIN_SHARED_WORDS else None


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}
