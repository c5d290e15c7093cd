"""What fills the slots of families: entities, settings, things, actions and lists."""

from mlx_backends.bundled.training import grammar, lexicon
from mlx_backends.bundled.training.families.family import SlotMaker
from mlx_backends.bundled.training.grammar import plural
from mlx_backends.bundled.training.lexicon import Names


def setting(names: Names) -> str:
    draw = names.rng.random()
    if draw < 0.55:
        return names.rng.choice(lexicon.ATTRIBUTES)
    thing = names.thing()
    tail = names.rng.choice(
        ("size", "limit", "count", "length", "timeout", "interval", "budget", "mode", "policy", "format",
         "rate", "width", "order", "threshold", "type", "name", "capacity", "age", "cost", "id")
    )  # fmt: skip
    if draw < 0.9:
        return f"{thing} {tail}"
    return f"{names.word()} {tail}"


def entity(names: Names) -> str:
    draw = names.rng.random()
    if draw < 0.5:
        return names.name()
    if draw < 0.9:
        return f"the {grammar.component_name(names)}"
    return f"`{names.class_name()}`"


def in_ticks(maker: SlotMaker) -> SlotMaker:
    return lambda names: f"`{maker(names)}`"


def component(names: Names) -> str:
    return f"the {grammar.component_name(names)}"


def things(names: Names) -> str:
    return plural(grammar.thing_name(names))


def the_thing(names: Names) -> str:
    """Name one thing with its article."""
    return f"the {grammar.thing_name(names)}"


def plain_things(names: Names) -> str:
    """Name several things by their noun alone."""
    return plural(names.thing())


def code_or_component(names: Names) -> str:
    """Name a piece of code, or a component (two in five)."""
    return grammar.code_phrase(names).full if names.rng.random() < 0.6 else component(names)


def base_action(names: Names) -> str:
    verb = names.rng.choice(grammar.verb_group(names))
    return f"{verb.base} {grammar.object_phrase(names).full}"


def listed(maker: SlotMaker) -> SlotMaker:
    def make(names: Names) -> str:
        items = list(
            dict.fromkeys(maker(names) for _ in range(names.rng.choice((2, 2, 3, 3, 4, 5))))
        )
        if len(items) == 1:
            return items[0]
        joiner = names.rng.choice((" and ", " and ", " or "))
        return ", ".join(items[:-1]) + joiner + items[-1]

    return make


def one_of(options: list[str]) -> SlotMaker:
    return lambda names: names.rng.choice(options)


def definition(names: Names) -> str:
    rng = names.rng
    head = grammar.indefinite(
        names.thing() if rng.random() < 0.6 else rng.choice(lexicon.COMPONENTS)
    )
    draw = rng.random()
    if draw < 0.3:
        verb = rng.choice(grammar.verb_group(names))
        return f"{head} that {verb.third} {grammar.object_phrase(names).full}"
    if draw < 0.5:
        return f"{head} of {rng.choice(lexicon.NUMBER_WORDS)} {plural(names.thing())}"
    if draw < 0.7:
        return f"{head} for {plural(names.thing())}"
    if draw < 0.85:
        return f"{head} with {grammar.indefinite(grammar.thing_name(names))}"
    return f"{rng.choice(lexicon.ADJECTIVES)} {plural(names.thing())} in {head}"


CLASS = in_ticks(Names.class_name)
FUNCTION = in_ticks(Names.function)
IDENTIFIER = in_ticks(Names.identifier)
