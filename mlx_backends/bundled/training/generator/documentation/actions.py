"""Sections about what can be done: tables, lists, code and functions."""

from mlx_backends.bundled.training.families import slots
from mlx_backends.bundled.training.generator.documentation.markdown import (
    PARENTHESES,
    fenced,
    table,
    table_row,
    title,
)
from mlx_backends.bundled.training.generator.documentation.writer import Action, Section, Writer
from mlx_backends.bundled.training.grammar import capitalize, compile_patterns


def actions_table(writer: Writer) -> Section:
    """Write a table of names and what each does."""
    rng, section = writer.rng, Section()
    kind = rng.choice(_NAMED_KINDS)
    form = rng.choice((Action.third.fget, Action.third.fget, _base, Action.gerund.fget))
    is_first = rng.random() < 0.75
    heads = (
        [kind, rng.choice(_MEANING_HEADS)]
        if is_first
        else [rng.choice(("to", "task", "I want to", "for")), kind]
    )
    rows = [table_row([title(rng, head) for head in heads])]
    for _ in range(rng.randint(3, 10)):
        action, code = writer.action(), f"`{writer.project.code(kind)}`"
        text = form(action)
        text += rng.choice(
            (
                "",
                "",
                "",
                f", up to {writer.names.quantity()}",
                f"; needs `{writer.names.identifier()}`",
            )
        )
        row = table_row([code, text] if is_first else [text, code])
        rows.append(row)
        section.asks.append(writer.ask_name(action, writer.kind(kind), code, row))
        if rng.random() < 0.4:
            section.asks.append(writer.ask("meaning", text, row, c=code, k=writer.kind(kind)))
    section.blocks = [table(rng, rows)]
    return section


def actions_list(writer: Writer) -> Section:
    """Write a list, or sentences, of names and what each does."""
    rng, section = writer.rng, Section()
    kind = rng.choice(_NAMED_KINDS)
    is_list = rng.random() < 0.6
    form = rng.choice(_ENTRIES)
    for _ in range(rng.randint(2, 7)):
        action, code = writer.action(), f"`{writer.project.code(kind)}`"
        form = form if is_list and rng.random() < 0.7 else rng.choice(_SENTENCES)
        line = capitalize(
            form(
                rng,
                {
                    "c": code,
                    "w": action.stated,
                    "w3": action.third,
                    "W3": capitalize(action.third),
                    "wg": action.gerund,
                    "v": _USE[kind],
                    "p": writer.project.name,
                    "k": kind,
                    **PARENTHESES,
                },
            )
        )
        line = writer.with_tail(line)
        section.asks.append(writer.ask_name(action, writer.kind(kind), code, line))
        meaning = next(
            (
                t
                for t in (capitalize(action.third), action.third, action.gerund, action.stated)
                if t in line
            ),
            None,
        )
        if meaning and rng.random() < 0.4:
            section.asks.append(writer.ask("meaning", meaning, line, c=code, k=writer.kind(kind)))
        section.blocks.append(f"- {line}" if is_list else line)
    section.blocks = ["\n".join(section.blocks)] if is_list else [" ".join(section.blocks)]
    return section


def code(writer: Writer) -> Section:
    """Write a block of commands or calls with comments."""
    rng, section, project = writer.rng, Section(), writer.project
    kind = rng.choice(("command", "command", "function"))
    lines = []
    above = rng.random() < 0.4
    for _ in range(rng.randint(2, 6)):
        action = writer.action()
        call = project.code(kind)
        if kind == "function":
            call = f"{rng.choice(('', writer.names.part() + ' = '))}{project.package}.{call.removesuffix('()')}({rng.choice(('', project.code('argument')))})"
        text = rng.choice((action.stated, action.third))
        line = f"# {text}\n{call}" if above else f"{call}{' ' * rng.choice((1, 2, 2, 5))}# {text}"
        lines.append(line)
        section.asks.append(
            writer.ask_name(action, writer.kind(kind), call, " ".join(line.split()))
        )
    section.blocks = [fenced(rng, lines, "python" if kind == "function" else "bash")]
    return section


def interface(writer: Writer) -> Section:
    """Write about a function: what it does, returns and raises."""
    rng, section, project, names = writer.rng, Section(), writer.project, writer.names
    name = project.code("function").removesuffix("()")
    action, (stated, asked) = writer.action(), writer.condition()
    argument, value = (
        names.identifier(),
        rng.choice((names.number(), "None", "True", "False", f'"{names.part()}"')),
    )
    error, result = f"`{project.code('error')}`", slots.definition(names)
    spoken = rng.choice((f"`{name}`", f"`{name}()`", f"`{name}`"))
    signature = f"`{name}({rng.choice(('', names.part() + ', ', 'text, '))}{argument}={value})`"
    does, returns = (
        f"{capitalize(action.third)}.",
        rng.choice(
            ("Returns {r}.", "It returns {r}.", "The result is {r}.", "Gives {r} back.")
        ).format(r=result),
    )
    raises = rng.choice(
        (
            "Raises {x} if {s}.",
            "{x} is raised when {s}.",
            "If {s}, it raises {x}.",
            "When {s}, {x} is raised.",
        )
    ).format(x=error, s=stated)
    section.blocks = [
        rng.choice((f"### {signature}\n", f"{signature}\n", f"**{signature}**: "))
        + " ".join((does, returns, raises))
    ]
    section.asks = [
        writer.ask_name(action, writer.kind("function"), f"`{name}", f"{signature} {does}"),
        writer.ask("returns", result, returns, c=spoken),
        writer.ask("raises", error, raises, c=spoken, s=asked),
        writer.ask("error", error, raises, s=asked, k="error"),
        writer.ask(
            "default", value, signature, c=f"`{argument}`", h=f"What is the value of `{argument}`"
        ),
    ]
    section.asks = [ask for ask in section.asks if ask.answer != f"`{name}"]
    return section


def _base(action: Action) -> str:
    return action.stated


_NAMED_KINDS = (
    "option",
    "option",
    "command",
    "command",
    "variable",
    "setting",
    "argument",
    "function",
    "class",
    "target",
)
_MEANING_HEADS = ("meaning", "what it does", "description", "use", "effect", "does", "purpose")
_USE = {
    "option": "pass", "command": "run", "variable": "set", "setting": "set", "argument": "pass", "function": "call",
    "class": "use", "target": "run",
}  # fmt: skip
_ENTRIES = compile_patterns(
    [
        "{c}: {w3}.",
        "{c} - {w3}.",
        "{c}: {w}",
        "**{c}**: {w3}.",
        "{c} {w3}.",
        "{W3}: {c}.",
        "{c} {(}{w}{)}",
    ]
)
_SENTENCES = compile_patterns([
    "{c} {w3}.", "Use {c} to {w}.", "To {w}, {v} {c}.", "With {c}, {p} {w3}.", "{c} is for {wg}.", "{v} {c} if you want to {w}.", "{v} {c} to {w}.",
    "The {k} {c} {w3}.", "For {wg}, there is {c}.", "If you need to {w}, {v} {c}.", "{c} lets you {w}.", "You can {w} with {c}.",
])  # fmt: skip
