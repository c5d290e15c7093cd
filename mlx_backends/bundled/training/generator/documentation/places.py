"""Sentences about where things are held, what they are made of, as what they count and where they run."""

from mlx_backends.bundled.training import grammar
from mlx_backends.bundled.training.generator.documentation.parties import object_of, subject_of
from mlx_backends.bundled.training.generator.documentation.writer import Section, Writer
from mlx_backends.bundled.training.grammar import capitalize


def held(writer: Writer, section: Section) -> None:
    """Several things in one place: ``The reply holds the status, the cost and the time in `meta```."""
    rng, names = writer.rng, writer.names
    subject, verb = subject_of(writer), grammar.conjugate(rng.choice(_HOLD))
    things = list(dict.fromkeys(f"the {grammar.thing_name(names)}" for _ in range(3)))
    things = things[: rng.choice((1, 2, 3, 3))]
    place = f"`{writer.project.code(rng.choice(('setting', 'argument', 'class')))}`"
    line = f"{subject.full} {subject.agree(verb)} {_listed(things)} in {place}"
    if rng.random() < 0.5:
        other = f"the {grammar.thing_name(names)}"
        line += rng.choice((", and {o} where {c}", ", {o} in {p}", "; {c}")).format(
            o=other, p=f"`{writer.project.code('setting')}`", c=grammar.make_clause(names).text
        )
    line = capitalize(line) + "."
    for thing in things:
        slots = {"s": subject.short, "do": subject.do(), "b": verb.base, "o": thing}
        section.asks.append(writer.ask("held", place, line, **slots))
    section.blocks.append(line)


def made(writer: Writer, section: Section) -> None:
    """What something is made of or hangs on; the answer is the whole list."""
    rng, names = writer.rng, writer.names
    owner = rng.choice(("of each {t}", "of {a}", "of every {t}", "", "")).format(
        t=(thing := grammar.thing_name(names)), a=grammar.indefinite(thing)
    )
    subject = f"the {names.thing()} {owner}".strip()
    parts = [object_of(writer).full, rng.choice((f"its {names.thing()}", object_of(writer).full))]
    if rng.random() < 0.2:
        parts.append(f"the {grammar.thing_name(names)}")
    if len({*parts}) < len(parts) or any(" and " in part or "," in part for part in parts):
        return
    groups = rng.choice(_MADE)
    (said, _), (_, ask) = rng.choice(groups), rng.choice(groups)
    tail = rng.choice(("", "", ", so {c}", ", because {c}", ", whatever else {v}"))
    tail = tail.format(c=grammar.make_clause(names).text, v="happens")
    line = capitalize(f"{subject} {said} {_listed(parts)}{tail}.")
    section.asks.append(writer.ask("phrased", _listed(parts), line, h=ask.format(s=subject)))
    section.blocks.append(line)


def treated(writer: Writer, section: Section) -> None:
    """As what things count: ``marked lines are stored as plain text``."""
    rng, names = writer.rng, writer.names
    things = grammar.plural(grammar.thing_name(names))
    where = rng.choice(("", "", " in {a}", " of the {c}")).format(
        a=grammar.indefinite(names.thing()), c=grammar.component_name(names)
    )
    verb = grammar.conjugate(rng.choice(_TREAT))
    what = rng.choice(_STATUS).format(
        t=names.thing(), ts=grammar.plural(names.thing()), a=grammar.indefinite(names.thing())
    )
    before = rng.choice(
        (
            "",
            "",
            f"{things}{where} are {rng.choice(_FIRST)} before {grammar.make_clause(names).text}, and ",
        )
    )
    again = rng.choice((f"the {things}", "they")) if before else f"{things}{where}"
    line = capitalize(f"{before}{again} are {verb.participle} as {what}.")
    ask = writer.ask("treated", what, line, t=f"{things}{where}", p=verb.participle)
    section.asks.append(ask)
    section.blocks.append(line)


def lives(writer: Writer, section: Section) -> None:
    """Where something runs, and what becomes of that place: ``in a child, which is killed then``."""
    rng, names = writer.rng, writer.names
    things = grammar.plural(grammar.thing_name(names))
    verb = rng.choice(_LIVE)
    home = rng.choice((grammar.component_name, grammar.component_name, grammar.thing_name))(names)
    with_ = rng.choice(("", "", f" with {grammar.plural(names.thing())}", f" of {names.name()}"))
    place = f"{rng.choice(('in', 'in', 'on', 'inside'))} {grammar.indefinite(home)}{with_}"
    reason = rng.choice(("", "", f"{grammar.make_clause(names).text}, so "))
    line = f"{reason}{things} {verb} {place}"
    slots = {"t": things, "v": verb}
    asks = [("lives", place, slots)]
    if rng.random() < 0.6:
        fate = grammar.conjugate(rng.choice(_FATE)).participle
        moment = rng.choice(
            (grammar.ADJUNCTS["when"](names), f"after {names.rng.randint(2, 90)} seconds")
        )
        line += f", which is {fate} {moment}"
        asks.append(("when_done", moment, {"be": "is", "o": f"the {home}", "p": fate}))
    line = capitalize(line) + "."
    section.asks += [writer.ask(purpose, answer, line, **found) for purpose, answer, found in asks]
    section.blocks.append(line)


def sorts(writer: Writer, section: Section) -> None:
    """Which sort of a thing somebody has: "which cache" is answered by "the page cache"."""
    rng, names = writer.rng, writer.names
    subject, verb = subject_of(writer), grammar.conjugate(rng.choice(_HAVE))
    head = rng.choice(
        (names.thing, names.thing, lambda: grammar.component_name(names).split()[-1])
    )()
    draw = rng.random()
    if draw < 0.3:
        sort = f"{rng.choice(('', 'the '))}{names.class_name(capitalize(head))}"
    elif draw < 0.4:
        sort = f"`{names.class_name(capitalize(head))}`"
    else:
        name = f"{names.modifier()} {head}"
        sort = rng.choice(
            (f"the {name}", f"the {name}", grammar.indefinite(name), f"its own {name}")
        )
    parts = [sort]
    if rng.random() < 0.6:
        other = object_of(writer).full + rng.choice(("", f" for {grammar.plural(names.thing())}"))
        parts = rng.sample([sort, other], 2)
    if head in " ".join(parts).replace(sort, ""):
        return
    line = capitalize(f"{subject.full} {subject.agree(verb)} {_listed(parts)}.")
    slots = {"t": head, "do": subject.do(), "s": subject.short, "b": verb.base}
    ask = writer.ask("sort", sort, line, v=subject.agree(verb), **slots)
    section.asks.append(ask)
    section.blocks.append(line)


def _listed(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


_HOLD = "hold carry keep give report return have put store write".split()
_HAVE = "bring carry use have need load ship install contain choose support include".split()
_TREAT = "encode read treat store count show write parse send print keep save handle take".split()
_STATUS = (
    "ordinary {t} text", "plain text", "bytes", "one {t}", "plain numbers", "JSON", "a list of {ts}", "missing {ts}", "an empty {t}", "a single {t}",
    "{ts}", "a comment", "a warning", "numbers of 8 bits", "two {ts}", "unknown", "strings", "dates", "parts of {a}", "a relative path", "if they were {ts}",
)  # fmt: skip
_FIRST = ("marked", "counted", "checked", "sorted", "numbered", "collected", "renamed", "copied")
_LIVE = "run run live start wait sleep work lie happen stand begin stay".split()
_FATE = "kill close start clear stop replace delete copy create restart empty lock".split()
# What is said and how it is asked, in groups that can stand for each other.
_MADE = (
    (("is made of", "What is {s} made of"), ("consists of", "What does {s} consist of"), ("is composed of", "Of what is {s} composed"), ("is built from", "From what is {s} built"), ("is put together from", "What goes into {s}")),
    (("depends on", "What does {s} depend on"), ("hangs on", "On what does {s} hang"), ("is decided by", "What decides {s}"), ("follows from", "What determines {s}")),
    (("is computed from", "From what is {s} computed"), ("is calculated from", "What is {s} calculated from"), ("comes from", "Where does {s} come from"), ("is derived from", "What is {s} derived from")),
    (("stands for", "What does {s} stand for"), ("means", "What is meant by {s}"), ("names", "What does {s} name")),
    (("is the sum of", "What is {s} the sum of"), ("adds up", "What does {s} add up")),
)  # fmt: skip
