"""Conversations whose later questions lean on the earlier ones: "And its default?"."""

import random
from collections.abc import Callable

from mlx_backends.bundled.training.families import FAMILIES
from mlx_backends.bundled.training.families.slots import entity, setting
from mlx_backends.bundled.training.generator.items import Context, Item
from mlx_backends.bundled.training.generator.passages import Passages
from mlx_backends.bundled.training.grammar import capitalize, compile_patterns
from mlx_backends.bundled.training.lexicon import Names

_SAME_ENTITY = compile_patterns([
    "And [what is ]its {n}?", "And the {n}?", "What about (its|the) {n}?", "And what is (its|the) {n}?", "Its {n}?",
    "What is its {n}?", "And how about the {n}?", "Which {n} does it have?", "And (which|what) {n} does it (have|use)?",
    "Now the {n}.", "What does it have as {n}?", "Also tell me (its|the) {n}.", "The {n} too, please.",
])  # fmt: skip
_SAME_SETTING = compile_patterns([
    "And for {e}?", "And {e}?", "What about {e}?", "How about {e}?", "And (what|which) is it for {e}?", "The same for {e}?",
    "And that of {e}?", "What is it for {e}?", "And in the case of {e}?", "(Now|And now) {e}.", "Is it the same for {e}? What is it?",
])  # fmt: skip
_ROWS = (
    "The {n} of {e} is {v}.", "{e} has a {n} of {v}.", "For {e}, the {n} is {v}.", "{e} uses {v} as its {n}.", "{e}'s {n} is {v}.",
    "{v} is the {n} of {e}.", "{e} - {n}: {v}", "| {e} | {n} | {v} |", "{n} of {e}: {v}",
)  # fmt: skip
_ATTRIBUTE = next(family for family in FAMILIES if family.name == "attribute")
_FIRST_ASKS = compile_patterns(_ATTRIBUTE.asks["v"])


class FollowUps:
    """Makes a grid of entities and settings, and a walk over it one step at a time."""

    def __init__(self, names: Names, passages: Passages) -> None:
        self.rng: random.Random = names.rng
        self.names = names
        self.passages = passages

    def context(self) -> Context:
        """Make a context whose questions are meant in the order of its items."""
        rng = self.rng
        entities = _distinct(lambda: entity(self.names), rng.randint(1, 3))
        settings = _distinct(self._setting, rng.randint(2, 4))
        cells = {
            (e, n): self.names.value() for e in entities for n in settings if rng.random() < 0.85
        }
        passages, places = self._write(entities, cells)
        return Context(passages, self._walk(entities, settings, cells, places))

    def _setting(self) -> str:
        name = setting(self.names)
        return (
            f"default {name}"
            if self.rng.random() < 0.12
            else self.rng.choice((name, name, name, "default", "purpose"))
        )

    def _write(
        self, entities: list[str], cells: dict[tuple[str, str], str]
    ) -> tuple[list[str], dict[tuple[str, str], int]]:
        """Write one passage for an entity, or one for each cell."""
        rng = self.rng
        passages: list[str] = []
        places: dict[tuple[str, str], int] = {}
        for e in entities:
            rows = [(n, value) for (owner, n), value in cells.items() if owner == e]
            rng.shuffle(rows)
            if rng.random() < 0.5:
                together = rng.choice((self._card, self._sentences))
                passages.append(together(e, rows) if rows else self._filler())
                places |= {(e, n): len(passages) - 1 for n, _ in rows}
            else:
                for n, value in rows:
                    passages.append(_row(rng.choice(_ROWS), e, n, value))
                    places[e, n] = len(passages) - 1
        if rng.random() < 0.5:
            passages.append(self._filler())
        order = list(range(len(passages)))
        rng.shuffle(order)
        return [passages[i] for i in order], {key: order.index(i) for key, i in places.items()}

    def _filler(self) -> str:
        return " ".join(self.passages.real_sentences(self.rng.randint(1, 3)))

    def _card(self, e: str, rows: list[tuple[str, str]]) -> str:
        form = self.rng.choice(
            ("- {n}: {v}", "| {n} | {v} |", "{n}: {v}", "Its {n} is {v}.", "The {n} is {v}.")
        )
        head = self.rng.choice(("# {e}", "## {e}", "{e}:", "**{e}**")).format(
            e=e.removeprefix("the ")
        )
        return "\n".join([capitalize(head), *(form.format(n=n, v=value) for n, value in rows)])

    def _sentences(self, e: str, rows: list[tuple[str, str]]) -> str:
        (n, value), *others = rows
        first = _row(self.rng.choice(_ROWS[:6]), e, n, value)
        rest = [
            self.rng.choice(("Its {n} is {v}.", "It has a {n} of {v}.", "The {n} is {v}.")).format(
                n=n, v=v
            )
            for n, v in others
        ]
        return " ".join([first, *rest])

    def _walk(
        self,
        entities: list[str],
        settings: list[str],
        cells: dict[tuple[str, str], str],
        places: dict[tuple[str, str], int],
    ) -> list[Item]:
        rng = self.rng
        e, n = rng.choice(list(cells) or [(entities[0], settings[0])])
        ask = rng.choice(_FIRST_ASKS)(rng, {"e": e, "n": n})
        items = [Item(capitalize(ask), cells.get((e, n)), places.get((e, n), 0))]
        for _ in range(rng.randint(1, 5)):
            other = [x for x in entities if x != e]
            if other and rng.random() < 0.45:
                e = rng.choice(other)
                ask = rng.choice(_SAME_SETTING)(rng, {"e": e})
            else:
                n = rng.choice([x for x in settings if x != n])
                ask = rng.choice(_SAME_ENTITY)(rng, {"n": n})
            items.append(Item(ask, cells.get((e, n)), places.get((e, n), 0)))
        return items


def _row(form: str, e: str, n: str, value: str) -> str:
    """Fill a form in; a value keeps its letters, so that the answer is a span."""
    text = form.format(e=e, n=n, v=value)
    return text if form.startswith("{v}") else capitalize(text)


def _distinct(make: Callable[[], str], count: int) -> list[str]:
    found: dict[str, None] = {}
    while len(found) < count:
        found[make()] = None
    return list(found)
