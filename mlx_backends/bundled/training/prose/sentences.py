"""Cuts marked-up text into sentences of prose, and gives summary lines a subject."""

import re

from mlx_backends.bundled.training import grammar

VERBS = {verb.base: verb for group in grammar.VERB_GROUPS for verb in group}
for _base in (
    "return get call use apply append extend iterate construct produce raise emit wrap enable disable perform "
    "execute insert extract provide determine generate change handle yield process register retrieve "
    "represent implement render parse specify expand increase yield attempt ensure invoke contain include consist "
    "allow require need mean cause affect hold behave accept permit refer describe denote imply depend belong enable "
    "evaluate issue turn become work occur match fail wait try add modify assign construct reference"
).split():
    VERBS.setdefault(_base, grammar.conjugate(_base))
BY_THIRD = {verb.third: verb for verb in VERBS.values()}


def sentences_of(text: str) -> list[str]:
    """Cut a paragraph into sentences and keep those that are prose."""
    return [sentence for sentence in _split(text) if _is_prose(sentence)]


def plain(block: str) -> str | None:
    """Turn reStructuredText or Markdown into text with backticks; None for code and tables."""
    if ">>>" in block or re.search(r"^\s*(\.\.|@|\$|#|\||---|===|```|<)", block, re.MULTILINE):
        return None
    block = re.sub(r":\w+(?::\w+)?:`~?\.?([^`<]+?)(?:\s*<[^`]*>)?`", r"`\1`", block)
    block = re.sub(r"``([^`]+)``", r"`\1`", block)
    block = re.sub(r"\[`([^`\]]+)`\](?:\[[^\]]*\]|\([^)]*\))?", r"`\1`", block)
    block = re.sub(r"(?<![\w*])\*(\w+)\*(?![\w*])", r"`\1`", block)
    return re.sub(r"\s+", " ", block).strip().removesuffix("::")


def with_subject(sentence: str, name: str, *, is_class: bool = False) -> str:
    """Name the subject of a summary line: "Return the size." -> "`f` returns the size."."""
    first, _, rest = sentence.partition(" ")
    verb = VERBS.get(first.lower()) or BY_THIRD.get(first.lower())
    if verb and rest:
        return f"`{name}` {verb.third} {rest}"
    if is_class and first in {"A", "An", "The"}:
        return f"`{name}` is {first.lower()} {rest}"
    return sentence


def starts_with_verb(text: str) -> bool:
    first = text.split(" ", 1)[0].lower()
    return first in BY_THIRD or first in VERBS


def _split(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+(?=[A-Z`\"'(])", text)


def _is_prose(sentence: str) -> bool:
    if not 20 <= len(sentence) <= 320 or sentence[-1] not in ".!?" or "http" in sentence:
        return False
    if ":param" in sentence or ":type" in sentence or ":return" in sentence:
        return False
    letters = sum(char.isalpha() or char == " " for char in sentence)
    return letters > 0.8 * len(sentence) and sentence.isascii() and "{" not in sentence
