"""Sections of sentences that say alike things of several subjects: a question must tell them apart."""

from collections.abc import Callable

from mlx_backends.bundled.training.generator.documentation import (
    chains,
    parallels,
    particulars,
    places,
)
from mlx_backends.bundled.training.generator.documentation.markdown import joined, table, table_row
from mlx_backends.bundled.training.generator.documentation.parties import role_of
from mlx_backends.bundled.training.generator.documentation.writer import Section, Writer


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
        pairs.setdefault(role_of(writer), f"`{writer.project.code(kind)}`")
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


_FORMS: tuple[Callable[[Writer, Section], None], ...] = (
    parallels.acts, parallels.circumstances, parallels.raised, particulars.amounts, particulars.special_values, particulars.measures, particulars.without, particulars.because, parallels.goes,
    chains.deeds, chains.doers, chains.keys, chains.gapped, chains.also, places.held, places.made, places.treated, places.lives, places.sorts,
)  # fmt: skip
_WEIGHTS = (
    4.0,
    2.0,
    1.6,
    1.0,
    1.2,
    1.6,
    0.8,
    1.2,
    1.0,
    2.6,
    0.8,
    2.0,
    1.2,
    1.0,
    1.2,
    1.2,
    1.2,
    1.4,
    1.8,
)
