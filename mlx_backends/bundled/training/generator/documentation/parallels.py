"""Sentences that say the same kind of thing of two or three subjects, with questions about each."""

from mlx_backends.bundled.training import grammar
from mlx_backends.bundled.training.generator.documentation.parties import (
    object_of,
    subject_of,
    verbs_of,
)
from mlx_backends.bundled.training.generator.documentation.writer import Section, Writer
from mlx_backends.bundled.training.grammar import Phrase, Verb, capitalize


def acts(writer: Writer, section: Section) -> None:
    """Two or three subjects, each with what it does, in one sentence or in several."""
    rng = writer.rng
    subjects = [subject_of(writer) for _ in range(rng.choice((1, 2, 2, 2, 3)))]
    verbs = (
        [verbs_of(writer)] * len(subjects)
        if rng.random() < 0.5
        else [verbs_of(writer) for _ in subjects]
    )
    objects = [object_of(writer) for _ in subjects]
    if len({item.full for item in objects}) < len(objects):
        return
    is_gapped = len({verb for verb, _ in verbs}) == 1 and rng.random() < 0.6
    parts = []
    for index, (subject, (verb, _), thing) in enumerate(zip(subjects, verbs, objects, strict=True)):
        spoken = "" if is_gapped and index else f"{subject.agree(verb)} "
        parts.append(f"{subject.full} {spoken}{thing.full}")
    line = capitalize(_enumerated(writer, parts)) + "."
    for subject, (_, asked), thing in zip(subjects, verbs, objects, strict=True):
        _ask_act(writer, section, line, subject, asked, thing)
    section.blocks.append(line)


def _ask_act(
    writer: Writer, section: Section, line: str, subject: Phrase, asked: Verb, thing: Phrase
) -> None:
    slots = {
        "s": subject.short,
        "do": subject.do(),
        "b": asked.base,
        "sv": subject.agree(asked),
        "v": asked.third,
        "o": thing.short,
    }
    section.asks.append(writer.ask("object", thing.full, line, **slots))
    if len(thing.short) > 12 or "`" in thing.short:
        answer = subject.full if subject.full in line else capitalize(subject.full)
        purpose = "which" if subject.category and writer.rng.random() < 0.6 else "subject"
        section.asks.append(writer.ask(purpose, answer, line, k=subject.category, **slots))


def _enumerated(writer: Writer, parts: list[str]) -> str:
    rng = writer.rng
    if len(parts) == 1:
        return parts[0]
    last = rng.choice((" and ", ", ", "; ", ", and ", ", but ", ", while ", ". "))
    if last == ". ":
        return ". ".join([parts[0], *map(capitalize, parts[1:])])
    return ", ".join(parts[:-1]) + last + parts[-1]


def circumstances(writer: Writer, section: Section) -> None:
    """Two things and when, where, how or why each is acted on."""
    rng, names = writer.rng, writer.names
    kind = rng.choice(("when", "when", "where", "where", "how", "how", "often", "why"))
    verb, asked = verbs_of(writer)
    things = [grammar.object_phrase(names) for _ in range(rng.choice((1, 2, 2)))]
    adjuncts = [grammar.ADJUNCTS[kind](names) for _ in things]
    if len({*adjuncts}) < len(adjuncts):
        return
    parts = [f"{things[0].full} {things[0].be()} {verb.participle} {adjuncts[0]}"]
    if len(things) > 1:
        parts.append(f"{things[1].full} {adjuncts[1]}")
    line = capitalize(rng.choice((", ", "; ", " and ")).join(parts)) + "."
    for thing, adjunct in zip(things, adjuncts, strict=True):
        section.asks.append(
            writer.ask(
                f"{kind}_done", adjunct, line, o=thing.short, be=thing.be(), p=asked.participle
            )
        )
    section.blocks.append(line)


def raised(writer: Writer, section: Section) -> None:
    """Mistakes and the errors that they lead to."""
    rng, names = writer.rng, writer.names
    mistakes = [
        grammar.indefinite(f"{rng.choice(WRONG)} {names.thing()}")
        + rng.choice(
            (
                "",
                f" of the {grammar.component_name(names)}",
                f" in {grammar.indefinite(names.thing())}",
            )
        )
        for _ in range(rng.choice((1, 2, 2)))
    ]
    if len({*mistakes}) < len(mistakes):
        return
    errors = [f"`{writer.project.code('error')}`" for _ in mistakes]
    verb = rng.choice(
        ("raises", "raises", "gives", "causes", "leads to", "is reported as", "ends in")
    )
    parts = [
        f"{mistakes[0]} {verb} {errors[0]}",
        *(f"{m} {e}" for m, e in zip(mistakes[1:], errors[1:], strict=True)),
    ]
    line = capitalize(rng.choice((", ", "; ", " and ")).join(parts)) + "."
    for mistake, error in zip(mistakes, errors, strict=True):
        section.asks.append(writer.ask("raised", error, line, m=mistake, k=writer.kind("error")))
    section.blocks.append(line)


def goes(writer: Writer, section: Section) -> None:
    """Where things are put, passed or found."""
    rng, names = writer.rng, writer.names
    things = [
        f"{grammar.plural(grammar.thing_name(names))}{rng.choice((f' of the {grammar.component_name(names)}', f' of {grammar.indefinite(names.thing())}', ''))}"
        for _ in range(rng.choice((1, 2, 2)))
    ]
    if len({*things}) < len(things):
        return
    places = [
        f"`{writer.project.code(rng.choice(('setting', 'argument', 'variable', 'class')))}`"
        if rng.random() < 0.7
        else names.file_path()
        for _ in things
    ]
    verb = rng.choice(
        (
            "go into",
            "go to",
            "belong in",
            "are passed as",
            "are given in",
            "are found in",
            "stand in",
            "are kept in",
            "are collected in",
            "are counted in",
        )
    )
    parts = [
        f"{things[0]} {verb} {places[0]}",
        *(
            f"{t} {rng.choice(('', f'{verb.split()[-1]} '))}{p}"
            for t, p in zip(things[1:], places[1:], strict=True)
        ),
    ]
    line = capitalize(rng.choice((", ", "; ", " and ")).join(parts)) + "."
    for thing, place in zip(things, places, strict=True):
        section.asks.append(writer.ask("goes", place, line, t=thing))
    section.blocks.append(line)


WRONG = "unknown wrong missing empty invalid second duplicate forgotten misspelt closed broken expired negative unsupported".split()
