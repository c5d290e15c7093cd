"""Sections of sentences about all sorts of things, with limits and definitions."""

from mlx_backends.bundled.training import grammar
from mlx_backends.bundled.training.families import slots
from mlx_backends.bundled.training.generator.documentation.markdown import joined
from mlx_backends.bundled.training.generator.documentation.writer import Ask, Section, Writer
from mlx_backends.bundled.training.grammar import capitalize, compile_patterns


def statements(writer: Writer) -> Section:
    """Write sentences about all sorts of things."""
    section = Section()
    for _ in range(writer.rng.randint(2, 6)):
        ask = writer.statement()
        if ask is None:
            break
        line = writer.with_tail(ask.anchor)
        section.blocks.append(line)
        section.asks.append(Ask(ask.question, ask.answer, line))
    return joined(writer, section)


def limits(writer: Writer) -> Section:
    """Write notes and limits."""
    rng, section, names = writer.rng, Section(), writer.names
    for _ in range(rng.randint(2, 6)):
        thing, owner = grammar.plural(grammar.thing_name(names)), names.thing()
        draw = rng.random()
        if draw < 0.6:
            amount = f"{names.rng.choice((rng.randint(2, 99), 2 ** rng.randint(1, 14), f'{rng.randint(1, 60)},000'))} {thing}"
            line = capitalize(
                rng.choice(_LIMITS)(rng, {"o": owner, "a": grammar.indefinite(owner), "v": amount})
            )
            section.asks.append(writer.ask("many", amount, line, t=thing, o=owner))
        else:
            definition = slots.definition(names)
            line = capitalize(
                rng.choice(_DEFINITIONS)(
                    rng, {"o": owner, "a": grammar.indefinite(owner), "d": definition}
                )
            )
            section.asks.append(writer.ask("defines", definition, line, t=owner))
        section.blocks.append(line)
    return joined(writer, section)


_LIMITS = compile_patterns([
    "{a} (may have|holds|takes|can have) at most {v}.", "At most {v} (are allowed|fit|are possible) (per|in a) {o}.", "No more than {v} per {o}.", "{a} is limited to {v}.", "{a} has room for {v}.", "Each {o} (carries|contains) up to {v}.", "More than {v} in a {o} are refused.",
])  # fmt: skip
_DEFINITIONS = compile_patterns(
    [
        "{a} is {d}.",
        "*{o}*: {d}.",
        "**{o}** means {d}.",
        "We call {d} {a}.",
        "{a}, that is {d}, has its own page.",
        "By {o} we mean {d}.",
        "- {o}: {d}",
    ]
)
