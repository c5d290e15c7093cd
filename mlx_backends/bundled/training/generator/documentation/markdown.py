"""Markdown of sections: tables, code blocks, lists and paragraphs."""

import random

from mlx_backends.bundled.training.generator.documentation.writer import Ask, Section, Writer
from mlx_backends.bundled.training.grammar import capitalize, uncapitalize

# Groups of patterns stand in parentheses, so those of the text are slots.
PARENTHESES = {"(": "(", ")": ")"}


def title(rng: random.Random, head: str) -> str:
    return capitalize(head) if rng.random() < 0.4 else head


def table_row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def table(rng: random.Random, rows: list[str]) -> str:
    columns = rows[0].count("|") - 1
    rule = rng.choice(("| --- ", "| --- ", "| --- ", "|---", "|:---", "| :--- ")) * columns + "|"
    return "\n".join([rows[0], rule, *rows[1:]])


def fenced(rng: random.Random, lines: list[str], language: str) -> str:
    joiner = rng.choice(("\n", "\n", "\n\n"))
    return f"```{rng.choice((language, language, ''))}\n{joiner.join(lines)}\n```"


def joined(writer: Writer, section: Section) -> Section:
    """Make a list or a paragraph of lines, at times two in one sentence."""
    draw = writer.rng.random()
    if len(section.blocks) > 1 and writer.rng.random() < 0.3:
        _merge(writer, section)
    if draw < 0.4:
        section.blocks = ["\n".join(f"- {line}" for line in section.blocks)]
    elif draw < 0.8:
        section.blocks = [" ".join(section.blocks)]
    return section


def _merge(writer: Writer, section: Section) -> None:
    """Join the first two lines into one sentence."""
    first, second, *rest = section.blocks
    if not first.endswith(".") or second.startswith(("-", "*", "`")):
        return
    lowered = second if second.startswith(writer.project.name) else uncapitalize(second)
    merged = f"{first[:-1]}{writer.rng.choice(('; ', ', and ', ', but ', '; '))}{lowered}"
    section.blocks = [merged, *rest]
    section.asks = [
        _moved(ask, merged) if ask.anchor in (first, second) else ask for ask in section.asks
    ]


def _moved(ask: Ask, line: str) -> Ask:
    """Ask the same of a line that holds what the question was about."""
    answer = ask.answer if ask.answer in line else uncapitalize(ask.answer)
    return Ask(ask.question, answer, line)
