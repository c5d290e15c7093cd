"""Tables and lists of settings that are counts, or that choose among values."""

import random

from mlx_backends.bundled.training import grammar
from mlx_backends.bundled.training.generator.documentation.markdown import table, table_row, title
from mlx_backends.bundled.training.generator.documentation.writer import Section, Writer
from mlx_backends.bundled.training.grammar import capitalize


def counts(writer: Writer) -> Section:
    """Write settings whose meaning is what they count: ``| `max_jobs` | 40 | jobs that may wait |``."""
    rng, section, names = writer.rng, Section(), writer.names
    kind = rng.choice(("option", "setting", "argument", "variable"))
    heads = [kind, rng.choice(("default", "default", "value", "preset")), rng.choice(_MEANINGS)]
    order = rng.choice(((0, 1, 2), (0, 1, 2), (0, 2, 1)))
    is_table = rng.random() < 0.75
    lines = []
    values = rng.sample(range(1, 20_000), 8) if rng.random() < 0.5 else rng.sample(range(1, 99), 8)
    for value in values[: rng.randint(2, 7)]:
        thing = grammar.thing_name(names)
        verb, asked = rng.sample(_DO, 2) if rng.random() < 0.2 else [rng.choice(_DO)] * 2
        act = rng.choice(grammar.verb_group(names))
        slots = {
            "ts": grammar.plural(thing), "a": grammar.indefinite(names.thing()), "v": verb, "w": asked, "o": grammar.object_phrase(names).short,
            "p": grammar.ADJUNCTS["where"](names), "b": act.base, "b3": act.third, "d": act.participle, "g": act.gerund, "u": rng.choice(("seconds", "minutes", "milliseconds", "days")),
        }  # fmt: skip
        meaning, part, asks = rng.choice(_COUNTED)
        meaning, part = meaning.format(**slots), part.format(**slots)
        code = f"`{writer.project.code(kind).split('=')[0]}`"
        shown = rng.choice((str(value), str(value), f"`{value}`", f"{value:,}"))
        cells = (code, shown, meaning)
        form = rng.choice(("{0}: {2} (default {1})", "{0} is {1}: {2}", "{0}={1}: {2}"))
        line = table_row([cells[i] for i in order]) if is_table else f"- {form.format(*cells)}"
        lines.append(line)
        how = rng.choice(asks).format(**slots)
        section.asks.append(writer.ask("how", shown, line, h=how))
        section.asks.append(writer.ask("decides", code, line, h=part, k=writer.kind(kind)))
        if rng.random() < 0.3:
            section.asks.append(writer.ask("set_by", meaning, line, c=code, k=writer.kind(kind)))
    section.blocks = [_listed(rng, [heads[i] for i in order], lines, is_table)]
    return section


def choices(writer: Writer) -> Section:
    """Write settings with the values that they take and what some of them do."""
    rng, section, names = writer.rng, Section(), writer.names
    kind = rng.choice(("option", "setting", "argument", "variable"))
    lines = []
    is_table = rng.random() < 0.7
    for _ in range(rng.randint(2, 5)):
        head = names.thing()
        code = f"`{writer.project.code(kind).split('=')[0]}`"
        values = [f"`{text}`" for text in dict.fromkeys(_word(writer) for _ in range(3))]
        listed = ", ".join(values[:-1]) + f" or {values[-1]}"
        said = rng.choice(("{l}; {e}", "{l}: {e}", "{l}. {E}", "the {h}: {l}; {e}"))
        effects, asks = [], []
        for value in rng.sample(values, min(len(values), rng.choice((1, 1, 2)))):
            sort = f"the {names.modifier()} {head}"
            act = grammar.conjugate(rng.choice(("take", "choose", "use", "keep", "mean")))
            tail = rng.choice(
                ("", "", " where there is one", f" if {grammar.make_clause(names).text}")
            )
            effects.append(f"{value} {act.third} {sort}{tail}")
            slots = {"t": head, "do": "does", "s": value, "b": act.base, "v": act.third}
            asks.append(("sort", sort, slots))
        effect = "; ".join(effects)
        meaning = said.format(l=listed, e=effect, E=capitalize(effect), h=head)
        default = rng.choice(values)
        cells = [code, default, meaning]
        line = table_row(cells) if is_table else f"- {code} ({default}): {meaning}"
        lines.append(line)
        section.asks += [
            writer.ask(purpose, answer, line, **slots) for purpose, answer, slots in asks
        ]
        section.asks.append(writer.ask("values", listed, line, c=code, k=writer.kind(kind)))
        if rng.random() < 0.5:
            how = f"What is the value of {code}"
            section.asks.append(writer.ask("default", default, line, c=code, h=how))
    heads = [kind, "default", rng.choice(_MEANINGS)]
    section.blocks = [_listed(rng, heads, lines, is_table)]
    return section


def _listed(rng: random.Random, heads: list[str], lines: list[str], is_table: bool) -> str:
    """Rows under their heads, or items as they are."""
    top = table_row([title(rng, head) for head in heads])
    return table(rng, [top, *lines]) if is_table else "\n".join(lines)


def _word(writer: Writer) -> str:
    rng, names = writer.rng, writer.names
    return rng.choice(_WORDS) if rng.random() < 0.4 else names.part()


_MEANINGS = ("meaning", "what it does", "description", "use", "effect", "purpose")
_WORDS = "auto none all fast safe off on full first last strict local new old".split()
_DO = "wait run sleep start join share fail live exist overlap work stay".split()
# What a count means, as a part of a question, and questions for it.
_COUNTED = (
    ("{ts} that may {v}", "how many {ts} may {w}", ("How many {ts} may {w}", "How many {ts} can {w}", "What is the largest number of {ts} that may {w}")),
    ("{ts} that {v} at once", "how many {ts} {w} at once", ("How many {ts} {w} at once", "How many {ts} {w} at the same time", "How many {ts} {w} together")),
    ("most {ts} of {a}", "how many {ts} {a} may have", ("How many {ts} may {a} have", "How many {ts} does {a} have at most", "What is the most {ts} of {a}")),
    ("{ts} for {a}", "how many {ts} there are for {a}", ("How many {ts} are there for {a}", "How many {ts} does {a} get")),
    ("{ts} kept {p}", "how many {ts} are kept {p}", ("How many {ts} are kept {p}", "How many {ts} stay {p}")),
    ("{ts} {d} in one step", "how many {ts} are {d} at once", ("How many {ts} are {d} in one step", "How many {ts} are {d} at once", "How many {ts} does it {b} in a step")),
    ("{ts} to {b} before {a} is sent", "how many {ts} it {b3} first", ("How many {ts} are {d} before {a} is sent", "How many {ts} does it {b} first")),
    ("{ts} that are {d}", "how many {ts} are {d}", ("How many {ts} are {d}", "How many {ts} does it {b}", "How many {ts} will be {d}")),
    ("{u} between two {ts}", "how long it is from one of the {ts} to the next", ("How many {u} lie between two {ts}", "How long is it from one of the {ts} to the next", "How many {u} pass between two {ts}")),
    ("{u} to wait for {a}", "how long it waits for {a}", ("How many {u} does it wait for {a}", "How long does it wait for {a}", "How long is the wait for {a}")),
    ("{u} after which {a} is given up", "when {a} is given up", ("After how many {u} is {a} given up", "When is {a} given up", "How long is {a} tried")),
    ("least {ts} of {a}", "how many {ts} {a} must have", ("How many {ts} must {a} have", "How many {ts} does {a} have at least", "What is the smallest number of {ts} of {a}")),
    ("how often {a} is {d}", "how often {a} is {d}", ("How often is {a} {d}", "How many times is {a} {d}", "How many times does it {b} {a}")),
)  # fmt: skip
