"""Who does what in invented documentation: subjects, objects, verbs and roles."""

from mlx_backends.bundled.training import grammar
from mlx_backends.bundled.training.generator.documentation.writer import Writer
from mlx_backends.bundled.training.grammar import Phrase, Verb

CODE_KINDS = ("function", "class", "setting", "option", "command", "argument", "variable")


def subject_of(writer: Writer) -> Phrase:
    """Who does something: code, parts, things, one or many."""
    rng, names = writer.rng, writer.names
    draw = rng.random()
    if draw < 0.45:
        kind = rng.choice(CODE_KINDS)
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


def object_of(writer: Writer) -> Phrase:
    """What something is done to or with."""
    rng, names = writer.rng, writer.names
    draw = rng.random()
    if draw < 0.5:
        return grammar.object_phrase(names)
    if draw < 0.62:
        text = f"`{writer.project.code(rng.choice(CODE_KINDS))}`"
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


def verbs_of(writer: Writer) -> tuple[Verb, Verb]:
    """A verb as the page says it, and as the question does."""
    rng = writer.rng
    if rng.random() < 0.35:
        verb = grammar.conjugate(rng.choice(_PLAIN_VERBS))
        return verb, verb
    group = grammar.verb_group(writer.names)
    return rng.choice(group), rng.choice(group)


def role_of(writer: Writer) -> str:
    """A part that something plays: ``chunk splitter of a request``."""
    rng, names = writer.rng, writer.names
    text = rng.choice((grammar.component_name, grammar.component_name, grammar.thing_name))(names)
    return (
        text
        if rng.random() < 0.6
        else f"{text} {rng.choice(('of', 'for', 'without', 'with'))} {grammar.plural(names.thing())}"
    )


_PLAIN_VERBS = (
    "return give hold carry count contain need take use share send get see read write make know accept load replace yield "
    "raise list show tell keep name mean cover support start end choose decide have await call leave pass add"
).split()
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
