"""Sentences about amounts, special values, sizes, what is missing, and reasons."""

from mlx_backends.bundled.training import grammar
from mlx_backends.bundled.training.generator.documentation.parties import (
    object_of,
    subject_of,
    verbs_of,
)
from mlx_backends.bundled.training.generator.documentation.writer import Section, Writer
from mlx_backends.bundled.training.grammar import capitalize


def amounts(writer: Writer, section: Section) -> None:
    """How many may do something."""
    rng, names = writer.rng, writer.names
    things, (verb, asked) = grammar.plural(grammar.thing_name(names)), verbs_of(writer)
    amount = rng.choice(
        (
            "any number of",
            f"up to {rng.randint(2, 99)}",
            f"at most {rng.randint(2, 99)}",
            "no more than two",
            "hundreds of",
            str(rng.randint(2, 300)),
        )
    )
    modal, thing = rng.choice(("may", "can", "may")), grammar.object_phrase(names)
    asked_of = [things]
    if rng.random() < 0.35:
        asked_of.append(grammar.plural(names.thing()))
    line = capitalize(
        f"{amount} {' and '.join(asked_of)} {modal} {verb.base} {thing.full}{rng.choice(('', '', ' at once', ' at the same time'))}."
    )
    answer = capitalize(amount).removesuffix(" of")
    section.asks.append(
        writer.ask(
            "amount", answer, line, t=rng.choice(asked_of), m=modal, b=asked.base, o=thing.short
        )
    )
    section.blocks.append(line)


def special_values(writer: Writer, section: Section) -> None:
    """What one or two values of a setting mean."""
    rng, names = writer.rng, writer.names
    code = f"`{writer.project.code(rng.choice(('setting', 'argument', 'option'))).split('=')[0]}`"
    values = rng.sample(
        ("0", "1", "-1", "`None`", "`auto`", "`true`", "an empty string", "`off`", "2"),
        rng.choice((1, 2)),
    )
    meanings = [
        rng.choice(
            (
                rng.choice(_MEANINGS),
                f"{verbs_of(writer)[0].third} {grammar.object_phrase(names).full}",
            )
        )
        for _ in values
    ]
    if len({*meanings}) < len(meanings):
        return
    means = rng.choice(("means", "means", "stands for", "is"))
    lead = rng.choice(("for {c}, ", "in {c}, ", "{c}: ")).format(c=code)
    verbal = [meaning not in _MEANINGS for meaning in meanings]
    parts = [
        f"{value} {meaning}" if is_verb else f"{value} {means} {meaning}"
        for value, meaning, is_verb in zip(values, meanings, verbal, strict=True)
    ]
    line = capitalize(lead + rng.choice(("; ", ", ")).join(parts)) + "."
    for value, meaning in zip(values, meanings, strict=True):
        section.asks.append(writer.ask("value_means", meaning, line, c=code, v=value))
    section.blocks.append(line)


def measures(writer: Writer, section: Section) -> None:
    """How long, from which size on, how much faster."""
    rng, names = writer.rng, writer.names
    (verb, asked), thing = verbs_of(writer), grammar.object_phrase(names)
    draw = rng.random()
    if draw < 0.35:
        time = writer.quantity("time")
        line = capitalize(rng.choice((
            f"{verb.gerund} {thing.full} may take {time}.", f"{verb.gerund} {thing.full} takes {time} at most.", f"after {time} of {verb.gerund} {thing.full}, it gives up.",
            f"it stops {verb.gerund} {thing.full} after {time}.",
        )))  # fmt: skip
        section.asks.append(writer.ask("takes", time, line, g=asked.gerund, o=thing.short))
    elif draw < 0.65:
        things, size = (
            grammar.plural(grammar.thing_name(names)),
            rng.choice(
                (
                    writer.quantity("memory"),
                    f"{rng.randint(2, 900)} {grammar.plural(names.thing())}",
                )
            ),
        )
        line = capitalize(
            rng.choice(
                (
                    f"{things} of more than {size} are not {verb.participle}.",
                    f"{things} up to {size} are {verb.participle}.",
                    f"it {verb.third} {things} up to {size}.",
                )
            )
        )
        section.asks.append(writer.ask("size", size, line, t=things, p=asked.participle))
    else:
        first, second = (_compared(writer) for _ in range(2))
        degree, factor = (
            rng.choice(_DEGREES),
            rng.choice(
                (
                    f"{rng.randint(2, 40)} times",
                    "twice",
                    "half",
                    f"{rng.randint(5, 95)} %",
                    f"about {rng.randint(2, 12)} times",
                    "ten times",
                    "a third",
                )
            ),
        )
        if rng.random() < 0.5:
            line = capitalize(f"{first} is {factor} {degree} than {second}.")
            section.asks.append(writer.ask("ratio", factor, line, a=first, b=second, d=degree))
        else:
            line = capitalize(f"{first} makes {second} {factor} {degree}.")
            section.asks.append(writer.ask("made", factor, line, a=first, b=second, d=degree))
    section.blocks.append(line)


def _compared(writer: Writer) -> str:
    names = writer.names
    return writer.rng.choice(
        (
            lambda: grammar.indefinite(grammar.thing_name(names)),
            names.name,
            lambda: f"`{writer.project.code('class')}`",
            lambda: f"the {grammar.component_name(names)}",
            lambda: f"{names.name()}'s {grammar.component_name(names)}",
            lambda: f"the {names.thing()} of the {grammar.component_name(names)}",
        )
    )()


def without(writer: Writer, section: Section) -> None:
    """What holds where something is missing."""
    rng, names = writer.rng, writer.names
    thing, outcome = grammar.thing_name(names), writer.outcome() if rng.random() < 0.5 else None
    if outcome is None:
        subject, (verb, _), other = subject_of(writer), verbs_of(writer), object_of(writer)
        outcome = f"{subject.full} {subject.agree(verb)} {other.full}"
    line = capitalize(
        rng.choice(
            (
                "without {a}, {o}.",
                "if there is no {t}, {o}.",
                "{o} where there is no {t}.",
                "where {a} is missing, {o}.",
                "without {a} {o}.",
            )
        ).format(a=grammar.indefinite(thing), t=thing, o=outcome)
    )
    answer = outcome if outcome in line else capitalize(outcome)
    section.asks.append(writer.ask("without", answer, line, t=thing, a=grammar.indefinite(thing)))
    section.blocks.append(line)


def because(writer: Writer, section: Section) -> None:
    """Why somebody does something."""
    rng = writer.rng
    subject, (verb, asked), thing = (
        subject_of(writer),
        verbs_of(writer),
        grammar.object_phrase(writer.names),
    )
    reason = grammar.make_clause(writer.names).text
    said = f"{subject.full} {subject.agree(verb)} {thing.full}"
    line = capitalize(
        rng.choice(
            (
                "{s}, because {r}.",
                "{s} because {r}.",
                "{s}: {r}.",
                "because {r}, {s}.",
                "as {r}, {s}.",
                "{r}, so {s}.",
                "since {r}, {s}.",
            )
        ).format(s=said, r=reason)
    )
    answer = reason if reason in line else capitalize(reason)
    slots = {
        "s": subject.short,
        "do": subject.do(),
        "b": asked.base,
        "sv": subject.agree(asked),
        "o": thing.short,
        "be": thing.be(),
        "p": asked.participle,
    }
    section.asks.append(writer.ask("because", answer, line, **slots))
    section.blocks.append(line)


_MEANINGS = (
    "no limit", "exact", "off", "the default", "automatic", "unlimited", "disabled", "as many as there are", "never", "always", "the previous value", "whatever fits", "all of them", "none",
)  # fmt: skip
_DEGREES = "faster slower larger smaller longer shorter cheaper heavier".split()
