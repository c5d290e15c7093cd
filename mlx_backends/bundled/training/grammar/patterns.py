"""A small pattern language.

``"(The|Each) block has {v}[ in all]"`` - ``(a|b)`` picks one, ``[x]`` is optional, ``{slot}`` is
filled. They nest. Knows nothing about facts or questions.
"""

import random
import re
from collections.abc import Callable, Mapping, Sequence

Slots = Mapping[str, str]
Pattern = Callable[[random.Random, Slots], str]
_OPTION = re.compile(r"\[[^][()]*\]")
_CHOICE = re.compile(r"\(([^][()]*)\)")
_NAMED = re.compile(r"\{(\w+)\}")


def compile_pattern(pattern: str) -> Pattern:
    """Turn a pattern into a function that renders one random form of it."""
    node, end = _parse_alternatives(pattern, 0, closing="")
    if end != len(pattern):
        raise ValueError(f"unbalanced pattern: {pattern!r}")
    return node


def compile_patterns(patterns: Sequence[str]) -> list[Pattern]:
    """Compile several patterns, of which a caller picks one."""
    return [compile_pattern(text) for text in patterns]


def slots_always_named(pattern: str) -> frozenset[str]:
    """Return the slots that every form of a pattern names."""
    before = ""
    while pattern != before:
        before = pattern
        pattern = _CHOICE.sub(_common_slots, _OPTION.sub("", pattern))
    return frozenset(_NAMED.findall(pattern))


def _common_slots(choice: re.Match[str]) -> str:
    named = (frozenset(_NAMED.findall(option)) for option in choice[1].split("|"))
    return "".join(f"{{{slot}}}" for slot in frozenset.intersection(*named))


def _parse_alternatives(text: str, start: int, closing: str) -> tuple[Pattern, int]:
    options: list[Pattern] = []
    while True:
        sequence, start = _parse_sequence(text, start, closing)
        options.append(sequence)
        if start < len(text) and text[start] == "|" and closing:
            start += 1
            continue
        return (options[0] if len(options) == 1 else _choice(options)), start


def _parse_sequence(text: str, start: int, closing: str) -> tuple[Pattern, int]:
    parts: list[Pattern] = []
    literal = ""
    position = start
    while position < len(text):
        char = text[position]
        if char == closing or (char == "|" and closing):
            break
        if char not in "([{":
            literal += char
            position += 1
            continue
        if literal:
            parts.append(_literal(literal))
            literal = ""
        node, position = _parse_group(text, position)
        parts.append(node)
    if literal:
        parts.append(_literal(literal))
    return (parts[0] if len(parts) == 1 else _sequence(parts)), position


def _parse_group(text: str, position: int) -> tuple[Pattern, int]:
    if text[position] == "{":
        end = text.index("}", position)
        return _slot(text[position + 1 : end]), end + 1
    closing = ")" if text[position] == "(" else "]"
    node, end = _parse_alternatives(text, position + 1, closing)
    if end >= len(text):
        raise ValueError(f"unbalanced pattern: {text!r}")
    return (node if closing == ")" else _choice([node, _literal("")])), end + 1


def _literal(text: str) -> Pattern:
    return lambda rng, slots: text


def _slot(name: str) -> Pattern:
    return lambda rng, slots: slots[name]


def _choice(options: list[Pattern]) -> Pattern:
    count = len(options)
    return lambda rng, slots: options[int(rng.random() * count)](rng, slots)


def _sequence(parts: list[Pattern]) -> Pattern:
    return lambda rng, slots: "".join([part(rng, slots) for part in parts])
