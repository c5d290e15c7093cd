"""Exchanges the names and numbers of a page, the same way wherever they stand."""

import re
from collections.abc import Callable
from dataclasses import replace

from mlx_backends.bundled.training.generator.documentation.writer import Ask
from mlx_backends.bundled.training.lexicon import Names

_PLACES = {
    "environment": r"\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b",
    "identifier": r"\b[a-z][a-z0-9]*(?:_[a-z0-9]+)+\b",
    "class": r"\b(?:[A-Z][a-z0-9]+){2,}\b",
    "flag": r"(?<![\w-])--[a-z][a-z-]+\b",
    # Not a part of a version, a date, a range or a decimal.
    "number": r"(?<![\w.,/:-])[1-9]\d{1,4}(?![\w/:-]|[.,]\d)",
}
# A class that ends so is told by it: "which error", "what warns".
_ROLE = re.compile(r"(?:Error|Exception|Warning)$")
_PLACE = re.compile("|".join(f"(?P<{kind}>{pattern})" for kind, pattern in _PLACES.items()))


class Renaming:
    """Gives every name of a page another one of its form; one page's names stay distinct."""

    def __init__(self, names: Names) -> None:
        self._given: dict[str, str] = {}
        self._makers: dict[str, Callable[[str], str]] = {
            "environment": lambda old: f"{names.part()}_{names.identifier()}".upper(),
            "identifier": lambda old: f"{names.part()}_{names.identifier()}",
            "class": lambda old: names.class_name(role[0] if (role := _ROLE.search(old)) else None),
            "flag": lambda old: names.flag(),
            "number": lambda old: str(names.rng.randint(10, 9_999)),
        }

    def page(self, blocks: list[str], asks: list[Ask]) -> tuple[list[str], list[Ask]]:
        """Rename blocks, and questions whose answers stay spans of them."""
        blocks = [self.text(block) for block in blocks]
        renamed = [
            replace(
                ask,
                question=self.text(ask.question),
                answer=self.text(ask.answer),
                anchor=self.text(ask.anchor),
            )
            for ask in asks
        ]
        return blocks, [ask for ask in renamed if ask.answer in ask.anchor]

    def text(self, text: str) -> str:
        return _PLACE.sub(self._other_name, text)

    def _other_name(self, found: re.Match[str]) -> str:
        old, kind = found[0], found.lastgroup or ""
        while old not in self._given:
            new = self._makers[kind](old)
            if new not in self._given.values():
                self._given[old] = new
        return self._given[old]
