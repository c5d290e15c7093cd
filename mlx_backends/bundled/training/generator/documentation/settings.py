"""Sections about settings and the values that hold by default."""

from mlx_backends.bundled.training.generator.documentation.markdown import (
    PARENTHESES,
    joined,
    table,
    table_row,
    title,
)
from mlx_backends.bundled.training.generator.documentation.writer import Section, Writer
from mlx_backends.bundled.training.grammar import capitalize, compile_patterns


def settings(writer: Writer) -> Section:
    """Write a table, a list or sentences of settings with their defaults."""
    rng, section = writer.rng, Section()
    kind = rng.choice(("option", "variable", "setting", "argument"))
    order = rng.choice(((0, 1, 2), (0, 2, 1)))
    form = rng.choice(_SETTING_LINES)
    style = rng.choice(("table", "table", "list", "text"))
    heads = (
        kind,
        rng.choice(_MEANING_HEADS),
        rng.choice(("default", "default", "default value", "preset")),
    )
    rows = [table_row([title(rng, heads[i]) for i in order])]
    for _ in range(rng.randint(2, 9)):
        setting, stated, asked = writer.setting()
        code, value = f"`{writer.project.code(kind).split('=')[0]}`", writer.value(setting.unit)
        cell = capitalize(stated) if style == "table" and rng.random() < 0.5 else stated
        if style == "table":
            line = table_row([(code, cell, value)[i] for i in order])
        else:
            line = form(
                rng, {"c": code, "n": stated, "N": capitalize(stated), "v": value, **PARENTHESES}
            )
            line = writer.with_tail(line)
            line = f"- {line}" if style == "list" else line
        cell = cell if cell in line else capitalize(stated)
        rows.append(line)
        how = rng.choice(setting.asks) if setting.asks else f"What is {asked}"
        section.asks.append(writer.ask("sets", code, line, n=asked, k=writer.kind(kind)))
        section.asks.append(writer.ask("default", value, line, c=code, h=how))
        if rng.random() < 0.5:
            section.asks.append(writer.ask("set_by", cell, line, c=code, k=writer.kind(kind)))
    if style == "table":
        section.blocks = [table(rng, rows)]
    else:
        section.blocks = ["\n".join(rows[1:]) if style == "list" else " ".join(rows[1:])]
    return section


def values(writer: Writer) -> Section:
    """Write sentences that give values without naming a setting."""
    rng, section = writer.rng, Section()
    for _ in range(rng.randint(1, 4)):
        setting, stated, asked = writer.setting()
        value = writer.value(setting.unit)
        is_name = stated.startswith("the ")
        line = rng.choice(_VALUE_NAMES if is_name else _VALUE_CLAUSES)(
            rng, {"n": stated, "v": value, "p": writer.project.name}
        )
        section.blocks.append(writer.with_tail(capitalize(line)))
        how = rng.choice(setting.asks) if setting.asks else f"What is {asked}"
        section.asks.append(writer.ask("how", value, section.blocks[-1], h=how))
    return joined(writer, section)


_MEANING_HEADS = ("meaning", "what it does", "description", "use", "effect", "does", "purpose")
_SETTING_LINES = compile_patterns([
    "{c} sets {n}; the default is {v}.", "{c}: {n} {(}{v} by default{)}.", "{c}: {n}. Default: {v}.", "{c} {(}default {v}{)}: {n}.", "{c} is {n}, {v} by default.",
    "{N} is set with {c}. It is {v} unless you change it.", "{N} {(}{c}{)} is {v}.", "{c} {(}`int`, {v}{)}: {n}.", "{c} decides {n} and defaults to {v}.",
])  # fmt: skip
_VALUE_NAMES = compile_patterns(
    [
        "(By default, |)[the default of ]{n} is {v}.",
        "{p} has {v} as {n}.",
        "{n} is {v}, which suits most machines.",
        "Unless you say otherwise, {n} is {v}.",
        "{n}: {v}.",
    ]
)
_VALUE_CLAUSES = compile_patterns(
    ["By default, {n}: {v}.", "{n}: {v}.", "{n} is given by {v} at first."]
)
