"""Relations among three things, stated in one wording and asked for in another.

A block gives a name with the kinds of `e`, `a` and `b`, then statements, then the questions for
each slot. Where a relation has two complements, the words alone tell which one is asked for.
"""

from pathlib import Path

from mlx_backends.bundled.training import lexicon
from mlx_backends.bundled.training.families import slots
from mlx_backends.bundled.training.families.family import Family, SlotMaker
from mlx_backends.bundled.training.lexicon import Names

_TEXT = Path(__file__).with_name("triples.txt")
_WEIGHT = 0.35
_KINDS: dict[str, SlotMaker] = {
    "part": slots.component,
    "any": slots.entity,
    "code": slots.code_or_component,
    "name": Names.name,
    "person": Names.person,
    "place": Names.word_capital,
    "thing": slots.the_thing,
    "things": slots.things,
    "plain": slots.plain_things,
    "amount": Names.quantity,
    "date": Names.date,
    "format": lambda names: names.rng.choice(lexicon.FORMATS),
    "language": lambda names: names.rng.choice((*lexicon.LANGUAGES, names.word_capital())),
    "identifier": slots.IDENTIFIER,
}


def _read(block: str) -> Family:
    head, *lines = block.splitlines()
    name, *kinds = head.split()
    statements = [line for line in lines if ">" not in line]
    asks: dict[str, list[str]] = {}
    for line in lines:
        slot, mark, question = line.partition("> ")
        if mark:
            asks.setdefault(slot, []).append(question)
    makers = {slot: _KINDS[kind] for slot, kind in zip("eab", kinds, strict=False)}
    return Family(
        f"triple_{name}",
        makers,
        statements,
        asks,
        keys=tuple(makers),
        weight=_WEIGHT,
    )


_BLOCKS = [
    "\n".join(line for line in block.splitlines() if not line.startswith("#"))
    for block in _TEXT.read_text(encoding="utf-8").split("\n\n")
]
TRIPLES: list[Family] = [_read(block.strip()) for block in _BLOCKS if block.strip()]
