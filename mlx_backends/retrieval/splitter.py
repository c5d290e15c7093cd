"""Cuts documents into chunks of at most so many tokens, along the lines of their structure.

A chunk is a stretch of the document as it stands, so that line numbers are exact. It never crosses
into another section. What does not fit is cut at the best boundary that helps: blocks, sentences,
lines, words and, at last, anywhere. Each chunk knows the headings and the table header that it
stands under: a row of figures means little without them.
"""

import bisect
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from mlx_backends.errors import ConfigError
from mlx_backends.retrieval.blocks import Block, BlockKind, find_blocks
from mlx_backends.retrieval.documents import Document

CountTokens = Callable[[str], int]

MIN_CHUNK_TOKENS = 16
# White space further away than this from the middle is not looked for.
_MAX_WORD_LENGTH = 200
_SENTENCE_END = re.compile(r"(?<=[.!?])[\"')\]]*\s+|(?<=[\u3002\uff01\uff1f])")
_LINE_END = re.compile(r"\n")


@dataclass(frozen=True, slots=True)
class Chunk:
    """A stretch of a document.

    Attributes:
        text: The stretch as it stands.
        path: Of the document.
        start_line: First line, from 1.
        end_line: Last line.
        heading: Headings above it, outermost first, joined by `` > ``.
        lead: Lines that say what the stretch belongs to: the headings above it that it does not
            hold itself and, within a table, the table's header. Empty, or ends with a line feed.
    """

    text: str
    path: str
    start_line: int
    end_line: int
    heading: str
    lead: str = ""

    @property
    def passage(self) -> str:
        """What to search and to show to a model: the stretch below its lead."""
        return self.lead + self.text


@dataclass(frozen=True, slots=True)
class _Span:
    """Characters ``start`` to ``end`` of a document that fit into one chunk below their lead."""

    start: int
    end: int
    block: Block
    lead: str

    @property
    def is_heading(self) -> bool:
        return self.block.kind is BlockKind.HEADING


class Splitter:
    """Splits documents for one embedding model.

    Args:
        count: Tokens of a text, as the model counts them.
        chunk_tokens: Most tokens of a chunk, its lead included. A lead that would take more than
            half of them is left out.
        overlap_tokens: Most tokens at the end of a chunk that the next one of the same section
            repeats; whole sentences only.

    Raises:
        ConfigError: A number is out of its range.
    """

    def __init__(self, count: CountTokens, *, chunk_tokens: int, overlap_tokens: int = 0) -> None:
        if chunk_tokens < MIN_CHUNK_TOKENS:
            raise ConfigError(
                f"chunk_tokens must be at least {MIN_CHUNK_TOKENS}; got {chunk_tokens}."
            )
        if not 0 <= overlap_tokens <= chunk_tokens // 2:
            raise ConfigError(
                f"overlap_tokens must lie between 0 and half of chunk_tokens ({chunk_tokens}); "
                f"got {overlap_tokens}."
            )
        self._count = count
        self._chunk_tokens = chunk_tokens
        self._overlap_tokens = overlap_tokens

    def split(self, documents: Iterable[Document]) -> list[Chunk]:
        """Chunks of all documents, in order. Every line that is not blank is in one."""
        return [chunk for document in documents for chunk in self._split_one(document)]

    def _split_one(self, document: Document) -> Iterator[Chunk]:
        text = document.text
        line_starts = [0, *(match.end() for match in _LINE_END.finditer(text))]
        spans = self._spans(text, line_starts)
        for group in self._pack(text, spans):
            start, end = group[0].start, group[-1].end
            yield Chunk(
                text=text[start:end],
                path=document.path,
                start_line=bisect.bisect_right(line_starts, start),
                end_line=bisect.bisect_right(line_starts, end - 1),
                heading=group[-1].block.heading,
                lead=group[0].lead,
            )

    def _spans(self, text: str, line_starts: list[int]) -> list[_Span]:
        """Blocks of the text, those that are too long in pieces."""
        spans: list[_Span] = []
        bounds = [*line_starts, len(text) + 1]
        for block in find_blocks(text.split("\n")):
            start, end = _strip(text, bounds[block.start], bounds[block.end] - 1)
            lead = self._lead(block.above)
            if block.kind is BlockKind.TABLE and not self._fits(lead, text[start:end]):
                spans += self._rows(text, start, bounds[block.start + 2], end, block)
            else:
                pieces = self._pieces(text, start, end, lead, _boundaries(block))
                spans += [_Span(*piece, block, lead) for piece in pieces]
        return spans

    def _rows(self, text: str, start: int, body: int, end: int, block: Block) -> Iterator[_Span]:
        """Rows of a table that is too long; all but the first are led by the header."""
        header = text[start:body]
        lead = self._lead(block.above, header)
        rows = list(self._pieces(text, body, end, lead, _boundaries(block)))
        if rows and lead.endswith(header):
            yield _Span(start, rows[0][1], block, lead.removesuffix(header))
            rows = rows[1:]
        else:  # no room to repeat the header
            for piece in self._pieces(text, start, body, lead, _boundaries(block)):
                yield _Span(*piece, block, lead)
        for row in rows:
            yield _Span(*row, block, lead)

    def _lead(self, headings: str, header: str = "") -> str:
        """As much of the two as takes at most half of a chunk."""
        above = f"{headings}\n" if headings else ""
        half = self._chunk_tokens // 2
        found = (lead for lead in (above + header, above) if self._count(lead) <= half)
        return next(found, "")

    def _pieces(
        self, text: str, start: int, end: int, lead: str, boundaries: tuple[re.Pattern[str], ...]
    ) -> Iterator[tuple[int, int]]:
        """Cut a stretch at the first kind of boundary that it has, until all pieces fit."""
        start, end = _strip(text, start, end)
        if start == end:
            return
        if self._fits(lead, text[start:end]) or end - start == 1:
            yield start, end
            return
        if boundaries:
            cuts = [match.end() for match in boundaries[0].finditer(text, start, end)]
            parts, finer = itertools.pairwise([start, *cuts, end]), boundaries[1:]
        else:
            middle = _middle(text, start, end)
            parts, finer = [(start, middle), (middle, end)], ()
        for part in parts:
            yield from self._pieces(text, *part, lead, finer)

    def _pack(self, text: str, spans: list[_Span]) -> Iterator[list[_Span]]:
        """Group neighbours greedily into chunks."""
        group: list[_Span] = []
        for span in spans:
            if group and span.is_heading and not group[-1].is_heading:
                yield group
                group = []
            elif group and not self._fits(group[0].lead, text[group[0].start : span.end]):
                yield group
                group = self._repeated(text, group, span)
            group.append(span)
        if group:
            yield group

    def _repeated(self, text: str, group: list[_Span], following: _Span) -> list[_Span]:
        """The end of a chunk that the next one, which goes on with ``following``, repeats."""
        if not self._overlap_tokens:
            return []
        for first in range(1, len(group)):
            start = group[first].start
            is_short = self._count(text[start : group[-1].end]) <= self._overlap_tokens
            if is_short and self._fits(group[first].lead, text[start : following.end]):
                return group[first:]
        return []

    def _fits(self, lead: str, text: str) -> bool:
        return self._count(lead + text) <= self._chunk_tokens


def _boundaries(block: Block) -> tuple[re.Pattern[str], ...]:
    """Where a block that is too long may be cut, best first."""
    by_lines = block.kind in (BlockKind.CODE, BlockKind.TABLE)
    return (_LINE_END,) if by_lines else (_SENTENCE_END, _LINE_END)


def _strip(text: str, start: int, end: int) -> tuple[int, int]:
    """Leave blank edges out, but keep the indentation of the first line."""
    while end > start and text[end - 1].isspace():
        end -= 1
    first = start
    while first < end and text[first].isspace():
        first += 1
    line_start = text.rfind("\n", start, first) + 1
    return max(start, line_start), end


def _middle(text: str, start: int, end: int) -> int:
    """A position near the middle: after white space if there is some, else the middle itself."""
    middle = (start + end) // 2
    for distance in range(min(_MAX_WORD_LENGTH, middle - start)):
        for position in (middle - distance, middle + distance):
            if start < position < end and text[position - 1].isspace():
                return position
    return middle
