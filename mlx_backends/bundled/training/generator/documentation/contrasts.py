"""Sections of sentences that say alike things of several subjects: a question must tell them apart."""

from collections.abc import Callable

from mlx_backends.bundled.training import grammar
from mlx_backends.bundled.training.generator.documentation.markdown import joined, table, table_row
from mlx_backends.bundled.training.generator.documentation.writer import Section, Writer
from mlx_backends.bundled.training.grammar import Phrase, Verb, capitalize

_CODE_KINDS = ("function", "class", "setting", "option", "command", "argument", "variable")


def contrasts(writer: Writer) -> Section:
    """Write a few sentences of mixed forms."""
    section = Section()
    for _ in range(writer.rng.randint(2, 5)):
        writer.rng.choices(_FORMS, _WEIGHTS)[0](writer, section)
    return joined(writer, section)


def roles(writer: Writer) -> Section:
    """Write what plays which part: as a table, or in sentences."""
    rng, section, names = writer.rng, Section(), writer.names
    kind = rng.choice(("class", "function", "command", "setting", "extra"))
    pairs = {}
    for _ in range(rng.randint(2, 6)):
        pairs.setdefault(_role(writer), f"`{writer.project.code(kind)}`")
    if rng.random() < 0.5:
        heads = [
            rng.choice(("what", "use", "part", "capability")),
            rng.choice((kind, "name", names.name())),
        ]
        rows = [table_row(heads), *(table_row([role, code]) for role, code in pairs.items())]
        anchors = rows[1:]
        section.blocks = [table(rng, rows)]
    else:
        form = rng.choice(
            ("{c} is the {r}.", "The {r} is {c}.", "For the {r}, there is {c}.", "{c} (the {r})")
        )
        anchors = [form.format(c=code, r=role) for role, code in pairs.items()]
        section.blocks = ["\n".join(f"- {line}" for line in anchors)]
    for (role, code), anchor in zip(pairs.items(), anchors, strict=True):
        section.asks.append(writer.ask("role", code, anchor, k=writer.kind(kind), r=role))
        if rng.random() < 0.3:
            section.asks.append(writer.ask("role_of", role, anchor, c=code))
    return section


def _subject(writer: Writer) -> Phrase:
    """Who does something: code, parts, things, one or many."""
    rng, names = writer.rng, writer.names
    draw = rng.random()
    if draw < 0.45:
        kind = rng.choice(_CODE_KINDS)
        code = f"`{writer.project.code(kind)}`"
        full = f"the {kind} {code}" if rng.random() < 0.15 else code
        return Phrase(full, code, writer.kind(kind))
    if draw < 0.75:
        things = grammar.plural(grammar.thing_name(names))
        head = rng.choice(("", "", "", "all ", "both ", "the ", "most "))
        tail = rng.choice(_TAILS).format(
            t=names.thing(), ts=grammar.plural(names.thing()), c=grammar.component_name(names)
        )
        return Phrase(f"{head}{things}{tail}", f"{things}{tail}", "", True)
    if draw < 0.9:
        return grammar.subject_phrase(names)
    thing = grammar.thing_name(names)
    tail = rng.choice(_TAILS).format(
        t=names.thing(), ts=grammar.plural(names.thing()), c=grammar.component_name(names)
    )
    return Phrase(f"{grammar.indefinite(thing)}{tail}", f"{grammar.indefinite(thing)}{tail}", "")


def _object(writer: Writer) -> Phrase:
    """What something is done to or with."""
    rng, names = writer.rng, writer.names
    draw = rng.random()
    if draw < 0.5:
        return grammar.object_phrase(names)
    if draw < 0.62:
        text = f"`{writer.project.code(rng.choice(_CODE_KINDS))}`"
        if rng.random() < 0.3:
            text += rng.choice(
                (" objects", " and nothing else", f" and `{writer.project.code('class')}`")
            )
        return Phrase(text, text.split("` ")[0].rstrip("`") + "`")
    things = grammar.plural(grammar.thing_name(names))
    other = grammar.plural(names.thing())
    text = rng.choice(
        ("nothing", "nothing", "everything", "one {t}", "{n} {ts}", "all their {ts}", "only {ts}", "{ts} and {us}", "{ts}, {us} and {vs}",
         "the name of the {t}", "the {ts} of every {t}", "their {ts}", "its {ts}", "the whole {t}", "the same {t}", "no {ts}", "a list of {ts}", "how many {ts} there are",
         "which {t} is used", "the length of the {t}", "where the {t} is", "{q}", "the {t}'s {u}", "the rest", "the first {n} {ts}")
    ).format(t=names.thing(), u=names.thing(), ts=things, us=other, vs=grammar.plural(names.thing()), n=rng.choice((2, 3, 4, 8, 16, 32, 64, 100, 256)), q=names.quantity())  # fmt: skip
    return Phrase(text, text)


def _verbs(writer: Writer) -> tuple[Verb, Verb]:
    """A verb as the page says it, and as the question does."""
    rng = writer.rng
    if rng.random() < 0.35:
        verb = grammar.conjugate(rng.choice(_PLAIN_VERBS))
        return verb, verb
    group = grammar.verb_group(writer.names)
    return rng.choice(group), rng.choice(group)


def _acts(writer: Writer, section: Section) -> None:
    """Two or three subjects, each with what it does, in one sentence or in several."""
    rng = writer.rng
    subjects = [_subject(writer) for _ in range(rng.choice((1, 2, 2, 2, 3)))]
    verbs = (
        [_verbs(writer)] * len(subjects)
        if rng.random() < 0.5
        else [_verbs(writer) for _ in subjects]
    )
    objects = [_object(writer) for _ in subjects]
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


def _circumstances(writer: Writer, section: Section) -> None:
    """Two things and when, where, how or why each is acted on."""
    rng, names = writer.rng, writer.names
    kind = rng.choice(("when", "when", "where", "where", "how", "how", "often", "why"))
    verb, asked = _verbs(writer)
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


def _raised(writer: Writer, section: Section) -> None:
    """Mistakes and the errors that they lead to."""
    rng, names = writer.rng, writer.names
    mistakes = [
        grammar.indefinite(f"{rng.choice(_WRONG)} {names.thing()}")
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


def _amounts(writer: Writer, section: Section) -> None:
    """How many may do something."""
    rng, names = writer.rng, writer.names
    things, (verb, asked) = grammar.plural(grammar.thing_name(names)), _verbs(writer)
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
    line = capitalize(
        f"{amount} {things} {modal} {verb.base} {thing.full}{rng.choice(('', '', ' at once', ' at the same time'))}."
    )
    answer = capitalize(amount).removesuffix(" of")
    section.asks.append(
        writer.ask("amount", answer, line, t=things, m=modal, b=asked.base, o=thing.short)
    )
    section.blocks.append(line)


def _special_values(writer: Writer, section: Section) -> None:
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
                f"{_verbs(writer)[0].third} {grammar.object_phrase(names).full}",
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


def _measures(writer: Writer, section: Section) -> None:
    """How long, from which size on, how much faster."""
    rng, names = writer.rng, writer.names
    (verb, asked), thing = _verbs(writer), grammar.object_phrase(names)
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
        first, second = (grammar.indefinite(grammar.thing_name(names)) for _ in range(2))
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
        line = capitalize(f"{first} is {factor} {degree} than {second}.")
        section.asks.append(writer.ask("ratio", factor, line, a=first, b=second, d=degree))
    section.blocks.append(line)


def _without(writer: Writer, section: Section) -> None:
    """What holds where something is missing."""
    rng, names = writer.rng, writer.names
    thing, outcome = grammar.thing_name(names), writer.outcome() if rng.random() < 0.5 else None
    if outcome is None:
        subject, (verb, _), other = _subject(writer), _verbs(writer), _object(writer)
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


def _because(writer: Writer, section: Section) -> None:
    """Why somebody does something."""
    rng = writer.rng
    subject, (verb, asked), thing = (
        _subject(writer),
        _verbs(writer),
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


def _goes(writer: Writer, section: Section) -> None:
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


def _role(writer: Writer) -> str:
    """A part that something plays: ``chunk splitter of a request``."""
    rng, names = writer.rng, writer.names
    text = rng.choice((grammar.component_name, grammar.component_name, grammar.thing_name))(names)
    return (
        text
        if rng.random() < 0.6
        else f"{text} {rng.choice(('of', 'for', 'without', 'with'))} {grammar.plural(names.thing())}"
    )


_FORMS: tuple[Callable[[Writer, Section], None], ...] = (
    _acts, _circumstances, _raised, _amounts, _special_values, _measures, _without, _because, _goes,
)  # fmt: skip
_WEIGHTS = (4.0, 2.0, 1.2, 0.8, 1.2, 1.2, 0.8, 1.2, 1.0)
_PLAIN_VERBS = (
    "return give hold carry count contain need take use share send get see read write make know accept load replace yield "
    "raise list show tell keep name mean cover support start end choose decide have await call leave pass add"
).split()
_WRONG = "unknown wrong missing empty invalid second duplicate forgotten misspelt closed broken expired negative unsupported".split()
_MEANINGS = (
    "no limit", "greedy", "off", "the default", "automatic", "unlimited", "disabled", "as many as there are", "never", "always", "the previous value", "whatever fits", "all of them", "none",
)  # fmt: skip
_DEGREES = "faster slower larger smaller longer shorter cheaper heavier".split()
_TAILS = (
    "",
    "",
    "",
    "",
    " with equal {ts}",
    " of one {t}",
    " without {ts}",
    " of the {c}",
    " with {ts}",
    " that have no {t}",
    " in a {t}",
)
