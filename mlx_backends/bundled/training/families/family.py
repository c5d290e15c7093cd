"""A family of facts: slots, statement patterns and question patterns."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from mlx_backends.bundled.training import lexicon
from mlx_backends.bundled.training.families.fact import Fact, span_of
from mlx_backends.bundled.training.grammar import capitalize, compile_patterns
from mlx_backends.bundled.training.lexicon import Names

SlotMaker = Callable[[Names], str]


@dataclass(slots=True)
class Family:
    """A kind of fact.

    Attributes:
        name: Its name.
        slots: How each slot is made.
        statements: Statement patterns.
        asks: For each slot that can be asked for, question patterns.
        keys: The slots that identify a fact; siblings share some of them.
        weight: How often it is drawn.
        derived: Slots put together from others.
        asked_by: The slots that every question for a slot names, where these are fewer than all
            other keys: no two facts of a context share them.
    """

    name: str
    slots: dict[str, SlotMaker]
    statements: list[str]
    asks: dict[str, list[str]]
    keys: tuple[str, ...]
    weight: float = 1.0
    derived: dict[str, str] = field(default_factory=dict)
    asked_by: dict[str, frozenset[str]] = field(default_factory=dict)
    _statements: list = field(default_factory=list)
    _asks: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._statements = compile_patterns(self.statements)
        self._asks = {slot: compile_patterns(texts) for slot, texts in self.asks.items()}

    def make(self, names: Names, fixed: dict[str, str] | None = None) -> Fact:
        """Make a fact; `fixed` slots keep their text, so that siblings can be made."""
        rng = names.rng
        slots = {name: maker(names) for name, maker in self.slots.items()}
        if fixed:
            slots.update({name: text for name, text in fixed.items() if name in slots})
        slots |= {name: form.format(**slots) for name, form in self.derived.items()}
        statement = capitalize(rng.choice(self._statements)(rng, slots))
        asks = [
            (capitalize(rng.choice(patterns)(rng, self._question_slots(rng, slots))), answer)
            for slot, patterns in self._asks.items()
            if (answer := span_of(slots[slot], statement))
        ]
        keys = frozenset(f"{self.name}:{slot}:{self._given(slot, slots)}" for slot in self._asks)
        pair = None
        if self.name == "attribute":
            pair = (slots["e"], slots["n"], slots["v"])
        return Fact(self.name, statement, asks, keys, slots, pair)

    def _given(self, slot: str, slots: dict[str, str]) -> str:
        """What a question for a slot names."""
        named = self.asked_by.get(slot, frozenset(self.keys) - {slot})
        return "|".join(text for name, text in sorted(slots.items()) if name in named).lower()

    @staticmethod
    def _question_slots(rng: random.Random, slots: dict[str, str]) -> dict[str, str]:
        synonyms = lexicon.ATTRIBUTE_SYNONYMS.get(slots.get("n", ""))
        if synonyms and rng.random() < 0.25:
            return {**slots, "n": rng.choice(synonyms)}
        return slots
