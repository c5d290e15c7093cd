"""A family of facts: slots, statement patterns and question patterns."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from mlx_backends.bundled.training import lexicon
from mlx_backends.bundled.training.families.fact import Fact, key_of, span_of
from mlx_backends.bundled.training.grammar import (
    capitalize,
    compile_patterns,
    slots_always_named,
)
from mlx_backends.bundled.training.lexicon import Names

SlotMaker = Callable[[Names], str]
# The slots that name an attribute of a thing; some attributes have a family of their own.
_ATTRIBUTE_SLOTS = {"attribute": "n", "measure": "n", "role": "r", "relation_noun": "r"}


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
        topics: What a slot is asked for, where other families ask the same of the same thing.
        says: Topics of further questions that a statement may be taken to answer, with the slots
            that these name.
    """

    name: str
    slots: dict[str, SlotMaker]
    statements: list[str]
    asks: dict[str, list[str]]
    keys: tuple[str, ...]
    weight: float = 1.0
    derived: dict[str, str] = field(default_factory=dict)
    topics: dict[str, str] = field(default_factory=dict)
    says: dict[str, tuple[str, ...]] = field(default_factory=dict)
    _statements: list = field(default_factory=list)
    _asks: dict = field(default_factory=dict)
    _named: dict[str, frozenset[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._statements = compile_patterns(self.statements)
        self._asks = {slot: compile_patterns(texts) for slot, texts in self.asks.items()}
        self._named = {
            slot: frozenset.intersection(*map(slots_always_named, texts))
            for slot, texts in self.asks.items()
        }

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
        keys = {self._key(slot, slots) for slot in self._asks}
        if topic := lexicon.TOPICS.get(slots.get(_ATTRIBUTE_SLOTS.get(self.name, ""), "")):
            keys.add(key_of(topic, slots["e"]))
        says = frozenset(
            key_of(topic, *(slots[name] for name in named)) for topic, named in self.says.items()
        )
        pair = None
        if self.name == "attribute":
            pair = (slots["e"], slots["n"], slots["v"])
        return Fact(self.name, statement, asks, frozenset(keys), slots, pair, says)

    def _key(self, slot: str, slots: dict[str, str]) -> str:
        """What a question for a slot asks, and the slots that it names whatever its form."""
        topic = self.topics.get(slot, f"{self.name} {slot}")
        given = (text for name, text in sorted(slots.items()) if name in self._named[slot])
        return key_of(topic, *given)

    @staticmethod
    def _question_slots(rng: random.Random, slots: dict[str, str]) -> dict[str, str]:
        synonyms = lexicon.ATTRIBUTE_SYNONYMS.get(slots.get("n", ""))
        if synonyms and rng.random() < 0.25:
            return {**slots, "n": rng.choice(synonyms)}
        return slots
