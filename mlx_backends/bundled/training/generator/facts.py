"""Draws facts that share subjects and attributes."""

import random
from collections import Counter
from collections.abc import Sequence
from typing import Any

from mlx_backends.bundled.training.families import TYPED_FAMILIES, Fact
from mlx_backends.bundled.training.lexicon import Names

# Chance that a fact shares something with one that is there, and that a near one does.
_SHARING, _NEAR = 0.55, 0.9


class Facts:
    """Draws facts of given families."""

    def __init__(self, names: Names, families: Sequence[Any]) -> None:
        self.rng: random.Random = names.rng
        self.names = names
        self.families = list(families)
        self._weights = [family.weight for family in self.families]

    def draw(self, count: int, *, near: int = 0) -> list[Fact]:
        """Make facts that share subjects and attributes, with no question in common.

        Args:
            count: How many.
            near: How many more, almost all of which share something with one of the others.
        """
        rng = self.rng
        chosen: list[tuple[Any, Fact]] = []
        families, weights = self.families, self._weights
        if rng.random() < 0.3:  # a theme: few kinds of facts, so more near misses
            families = rng.choices(self.families, self._weights, k=rng.randint(1, 3))
            weights = [1.0] * len(families)
        used: set[str] = set()  # what is asked
        said: set[str] = set()  # what is answered besides
        attempts = 0
        wanted = count + near
        while len(chosen) < wanted and attempts < 6 * wanted + 20:
            attempts += 1
            is_near = len(chosen) >= count
            if chosen and rng.random() < (_NEAR if is_near else _SHARING):
                family, fact = self._sibling(rng.choice(chosen[:count]))
            else:
                family = rng.choices(families, weights)[0]
                fact = family.make(self.names)
            if not fact.narrowed().asks or fact.keys & (used | said) or fact.says & used:
                continue
            used |= fact.keys
            said |= fact.says
            chosen.append((family, fact))
        return _narrowed([fact for _, fact in chosen])

    def sibling_of(self, fact: Fact) -> Fact | None:
        """Make a near miss of a fact, or None if its family is not one of these."""
        family = next((f for f in self.families if f.name == fact.family), None)
        return self._sibling((family, fact))[1].narrowed() if family else None

    def _sibling(self, pair: tuple[Any, Fact]) -> tuple[Any, Fact]:
        """Make a near miss: the same family with some of its key, or another that shares a slot."""
        rng = self.rng
        family, fact = pair
        keys = list(family.keys)
        if len(keys) > 1:
            kept = rng.sample(keys, rng.randint(1, len(keys) - 1))
            return family, family.make(self.names, {key: fact.slots[key] for key in kept})
        if family.name in TYPED_FAMILIES:
            return family, family.make(self.names)
        others = [f for f in self.families if f.name not in TYPED_FAMILIES and keys[0] in f.slots]
        if not others:
            return family, family.make(self.names)
        other = rng.choice(others)
        return other, other.make(self.names, {keys[0]: fact.slots[keys[0]]})


def _narrowed(facts: list[Fact]) -> list[Fact]:
    """Ask what a subject does only of the one fact that says it."""
    counts = Counter(key for fact in facts for key in fact.keys | fact.says)
    shared = {key for key, count in counts.items() if count > 1}
    return [fact.narrowed(shared) for fact in facts]
