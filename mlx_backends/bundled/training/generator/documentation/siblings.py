"""Sections whose entries differ in one word: settings of one family, and values by case."""

from mlx_backends.bundled.training import grammar
from mlx_backends.bundled.training.generator.documentation.markdown import (
    joined,
    table,
    table_row,
    title,
)
from mlx_backends.bundled.training.generator.documentation.writer import Section, Writer
from mlx_backends.bundled.training.grammar import capitalize

_KINDS = ("variable", "variable", "option", "setting", "argument", "class", "function")


def families(writer: Writer) -> Section:
    """Write names of one family, each for another sort of the same thing."""
    rng, section, names = writer.rng, Section(), writer.names
    kind, head = rng.choice(_KINDS), rng.choice((names.thing(), grammar.component_name(names)))
    sorts = list(dict.fromkeys(names.modifier() for _ in range(rng.randint(3, 7))))
    codes = _related_codes(writer, kind, head, sorts)
    verb = rng.choice(("names", "sets", "holds", "is", "is for", "means", "limits", "makes", ""))
    rows = []
    for sort in sorts:
        thing = f"{rng.choice(('the ', 'the ', ''))}{sort} {head}"
        rows.append((f"{verb} {thing}".strip(), f"the {sort} {head}"))
    style = rng.choice(("table", "table", "list", "text"))
    forms = {"table": "| {c} | {t} |", "list": "- {c}: {t}", "text": "{c} {t}."}
    lines = [
        forms[style].format(c=code, t=text) for code, (text, _) in zip(codes, rows, strict=True)
    ]
    heads = table_row([title(rng, kind), title(rng, rng.choice(_MEANINGS))])
    body = [table(rng, [heads, *lines])] if style == "table" else ["\n".join(lines)]
    section.blocks = body if style != "text" or verb else [" ".join(lines)]
    for code, (text, asked), line in zip(codes, rows, lines, strict=True):
        is_set = kind not in ("class", "function")
        purpose = rng.choice(("sets", "sets", "role")) if is_set else "role"
        section.asks.append(
            writer.ask(
                purpose, code, line, n=asked, r=asked.removeprefix("the "), k=writer.kind(kind)
            )
        )
        if rng.random() < 0.3:
            section.asks.append(writer.ask("set_by", text, line, c=code, k=writer.kind(kind)))
    return section


def _related_codes(writer: Writer, kind: str, head: str, sorts: list[str]) -> list[str]:
    """Names that share a part, and mostly say which sort they stand for."""
    rng, names = writer.rng, writer.names
    stem = (head.split()[-1] if rng.random() < 0.7 else names.part()).lower()
    codes = []
    for sort in sorts:
        part = sort.lower().replace(" ", "_") if rng.random() < 0.6 else names.part()
        text = {
            "variable": f"{writer.project.prefix}_{part}_{stem}".upper(),
            "option": f"--{part}-{stem}".replace("_", "-"),
            "class": f"{capitalize(part)}{capitalize(stem)}",
        }.get(kind, f"{part}_{stem}")
        codes.append(f"`{text}`" if f"`{text}`" not in codes else f"`{text}_{names.part()}`")
    return codes


def cases(writer: Writer) -> Section:
    """Write which value holds in which case: "The limit is 3 for readers, 5 for writers"."""
    rng, section, names = writer.rng, Section(), writer.names
    for _ in range(rng.randint(1, 3)):
        thing, count = grammar.thing_name(names), rng.choice((2, 2, 3))
        sorts = list(dict.fromkeys(_case(writer) for _ in range(count)))
        maker = rng.choice((names.number, names.quantity, lambda: f"`{names.part()}`", names.value))
        values = list(dict.fromkeys(maker() for _ in sorts))
        if len(values) < len(sorts):
            continue
        link = rng.choice(("for", "for", "for", "in case of", "with"))
        pairs = list(zip(values, sorts, strict=True))
        parts = (
            [f"{value} {link} {sort}" for value, sort in pairs]
            if rng.random() < 0.7
            else [f"{link} {sort} {value}" for value, sort in pairs]
        )
        listed = f"{', '.join(parts[:-1])}{rng.choice((', ', ' and ', '; '))}{parts[-1]}"
        line = rng.choice(_CASES).format(T=capitalize(thing), t=thing, l=listed)
        for value, sort in pairs:
            section.asks.append(writer.ask("case", value, line, t=thing, o=sort, l=link))
        section.blocks.append(line)
    return joined(writer, section)


def _case(writer: Writer) -> str:
    rng, names = writer.rng, writer.names
    noun = grammar.thing_name(names)
    return rng.choice(
        (
            grammar.plural(noun),
            grammar.indefinite(noun),
            f"{rng.choice(_ADJECTIVES)} {names.thing()}",
            names.name(),
        )
    )


_MEANINGS = ("meaning", "what it does", "names", "sets", "description", "for", "purpose")
_ADJECTIVES = (
    "wrong",
    "new",
    "late",
    "large",
    "plain",
    "normal",
    "successful",
    "missing",
    "double",
)
_CASES = (
    "The {t} is {l}.", "{T}: {l}.", "Its {t} is {l}.", "The {t} depends: {l}.", "As {t}, there is {l}.", "It has a {t} of {l}.",
)  # fmt: skip
