"""Cuts a text into the blocks that Markdown and reStructuredText are written in.

A block is a run of whole lines: a heading, a fenced piece of code, a table, a list item or a
paragraph. Blocks lie in the order of the text and hold all of its lines that are not blank.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")
_HASH_HEADING = re.compile(r" {0,3}(#{1,6})[ \t]+(.*?)[ \t#]*")
_UNDERLINE = re.compile(r"([=\-~^\"'*+])\1{2,}[ \t]*")
_LIST_ITEM = re.compile(r"\s*(?:[-*+]|\d{1,9}[.)])\s+\S")
# The line below a table's header, as GitHub's Markdown has it.
_TABLE_RULE = re.compile(r"\s*\|?(?:\s*:?-+:?\s*\|)+(?:\s*:?-+:?)?\s*")
_UNDERLINE_LEVELS = {"=": 1, "-": 2}


class BlockKind(StrEnum):
    """What a block is."""

    HEADING = "heading"
    CODE = "code"
    TABLE = "table"
    LIST_ITEM = "list item"
    PARAGRAPH = "paragraph"


@dataclass(frozen=True, slots=True)
class Block:
    """Lines of one block.

    Attributes:
        kind: What it is.
        start: First line, from 0.
        end: The line after the last.
        heading: Headings above it, outermost first, joined by `` > ``; a heading counts itself.
        above: The same, but a heading does not count itself.
    """

    kind: BlockKind
    start: int
    end: int
    heading: str
    above: str


def find_blocks(lines: list[str]) -> list[Block]:
    """Blocks of a text, in order."""
    headings: dict[int, str] = {}
    blocks = []
    for kind, start, end in _spans(lines):
        own: dict[int, str] = {}
        if kind is BlockKind.HEADING:
            level, title = _heading(lines[start:end])
            headings = {above: headings[above] for above in headings if above < level}
            own = {level: title}
        above, headings = headings, headings | own
        blocks.append(Block(kind, start, end, _path(headings), _path(above)))
    return blocks


def _path(headings: dict[int, str]) -> str:
    return " > ".join(headings.values())


def _spans(lines: list[str]) -> Iterator[tuple[BlockKind, int, int]]:
    position = 0
    while position < len(lines):
        if not lines[position].strip():
            position += 1
            continue
        kind = _kind(lines, position)
        end = _end(lines, position, kind)
        yield kind, position, end
        position = end


def _kind(lines: list[str], position: int) -> BlockKind:
    line = lines[position]
    if _FENCE.match(line):
        return BlockKind.CODE
    if _HASH_HEADING.fullmatch(line):
        return BlockKind.HEADING
    if _LIST_ITEM.match(line):  # before headings: a rule may stand under the last item
        return BlockKind.LIST_ITEM
    if _is_underlined(lines, position):
        return BlockKind.HEADING
    if "|" in line and position + 1 < len(lines) and _TABLE_RULE.fullmatch(lines[position + 1]):
        return BlockKind.TABLE
    return BlockKind.PARAGRAPH


def _is_underlined(lines: list[str], position: int) -> bool:
    if position + 1 == len(lines) or _UNDERLINE.fullmatch(lines[position]):
        return False
    return _UNDERLINE.fullmatch(lines[position + 1]) is not None


def _end(lines: list[str], start: int, kind: BlockKind) -> int:
    """The line after the block that starts here."""
    if kind is BlockKind.HEADING:
        return start + (1 if _HASH_HEADING.fullmatch(lines[start]) else 2)
    if kind is BlockKind.CODE:
        return _fence_end(lines, start)
    for position in range(start + 1, len(lines)):
        if not lines[position].strip() or _kind(lines, position) is not BlockKind.PARAGRAPH:
            return position
    return len(lines)


def _fence_end(lines: list[str], start: int) -> int:
    """The line after the closing fence, or after the text if it is never closed."""
    opening = _FENCE.match(lines[start])
    fence = opening[1] if opening else "```"
    closing = re.compile(rf" {{0,3}}{re.escape(fence[0])}{{{len(fence)},}}\s*")
    for position in range(start + 1, len(lines)):
        if closing.fullmatch(lines[position]):
            return position + 1
    return len(lines)


def _heading(lines: list[str]) -> tuple[int, str]:
    """Level from 1 and title of a heading's lines."""
    marked = _HASH_HEADING.fullmatch(lines[0])
    if marked is not None:
        return len(marked[1]), marked[2]
    return _UNDERLINE_LEVELS.get(lines[1].strip()[0], 3), lines[0].strip()
