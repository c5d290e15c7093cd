"""Bare values under headings, commands and examples in blocks of their own, and bold run-in heads."""

from mlx_backends.bundled.training import grammar, lexicon
from mlx_backends.bundled.training.generator.documentation.writer import Action, Section, Writer
from mlx_backends.bundled.training.grammar import capitalize


def properties(writer: Writer) -> Section:
    """Write one to three headings, each with a bare value: ``## Licence``, ``[MIT](LICENSE)``."""
    rng, names, section = writer.rng, writer.names, Section()
    for name in rng.sample(list(_PROPERTIES), rng.choice((1, 1, 2, 3))):
        value = _value(writer, name)
        shown = f"[{value}]({names.part()}.md)" if rng.random() < 0.3 else value
        said = rng.choice(("{v}.", "{v}.", "{v}", "`{v}`.", "**{v}**.", "{v}, {c}.", "{v}; {c}."))
        if "[" in shown:
            said = said.replace("`", "").replace("**", "")
        text = capitalize(said.format(v=shown, c=grammar.make_clause(names).text))
        if rng.random() < 0.4:
            text += f" {capitalize(grammar.make_clause(names).text)}."
        headings, asks = _PROPERTIES[name]
        heading = rng.choice(headings)
        section.blocks += [f"## {heading}", text]
        found = value if value in text else capitalize(value)
        # The heading stands right above the text in every chunk, at times as the end of a path.
        how = rng.choice(asks).format(p=writer.project.name)
        section.asks.append(writer.ask("phrased", found, f"{heading} {text}", h=how))
    return section


def _value(writer: Writer, name: str) -> str:
    rng, names = writer.rng, writer.names
    return {
        "licence": lambda: rng.choice(lexicon.LICENSES[:6]),
        "language": lambda: rng.choice(lexicon.LANGUAGES),
        "format": lambda: rng.choice(lexicon.FORMATS),
        "platform": lambda: " and ".join(rng.sample(lexicon.PLATFORMS[:9], 2)),
        "author": names.person,
        "need": lambda: (
            f"{rng.choice(lexicon.LANGUAGES)} {rng.randint(1, 9)}.{rng.randint(0, 20)} or newer"
        ),
        "release": names.version,
        "size": lambda: writer.quantity("memory"),
        "time": lambda: writer.quantity("time"),
        "limit": lambda: f"{rng.randint(2, 900)} {grammar.plural(names.thing())}",
        "file": names.file_path,
    }[name]()


def console(writer: Writer) -> Section:
    """Write commands in blocks of their own, each with a sentence before or after that says what it does."""
    rng, section, project = writer.rng, Section(), writer.project
    mark = rng.choice(("$ ", "$ ", "", ""))
    language = (
        rng.choice(("console", "console", "shell")) if mark else rng.choice(("bash", "sh", ""))
    )
    after = rng.random() < 0.5
    for _ in range(rng.choice((1, 2, 2, 3))):
        action, command = (
            writer.action(),
            project.code(rng.choice(("command", "command", "target"))),
        )
        block = f"```{language}\n{mark}{command}\n```"
        if after:
            second = writer.action()
            more = rng.choice(
                ("", f" and {second.third}", f", {grammar.make_clause(writer.names).text}")
            )
            blocks = [block, f"{action.third}{more}."]
        else:
            blocks = [rng.choice(_LEADS)(action), block]
        section.blocks += blocks
        anchor = " ".join(" ".join(blocks).split())
        section.asks.append(writer.ask_name(action, writer.kind("command"), command, anchor))
    return section


def example(writer: Writer) -> Section:
    """Write what an argument is for, and a few lines of Python that use it."""
    rng, section, project, names = writer.rng, Section(), writer.project, writer.names
    action, other = writer.action(), writer.action()
    argument = project.code("argument").split("=")[0]
    value = rng.choice((names.number(), "True", "False", f'"{names.part()}"', names.part()))
    shown = rng.choice((f"`{argument}`", f"`{argument}=`", f"`{argument}={value}`"))
    made, variable = project.code("class"), names.part()
    lead = rng.choice(_ARGUMENT_LEADS).format(w=action.stated, W=capitalize(action.stated), c=shown)
    lines = [
        f"from {project.package} import {made}",
        "",
        f"{variable} = {made}({argument}={value})",
        f"print({variable}.{names.function().removesuffix('()')}({rng.choice(('', names.part()))}))",
    ]
    section.blocks = [lead, "\n".join(["```python", *lines, "```"])]
    section.asks = [writer.ask_name(action, writer.kind("argument"), shown, lead)]
    if rng.random() < 0.5:
        more = f"`{project.code('class')}` {other.third}."
        section.blocks.append(more)
        name = more.split("` ")[0] + "`"
        section.asks.append(writer.ask_name(other, writer.kind("class"), name, more))
    return section


def run_in_head(writer: Writer) -> str:
    """Make the bold words that begin a paragraph and say what it is about."""
    names = writer.names
    head = writer.rng.choice(
        (
            lambda: grammar.indefinite(grammar.thing_name(names)),
            lambda: grammar.make_clause(names).text,
            lambda: grammar.plural(grammar.thing_name(names)),
            lambda: grammar.component_name(names),
        )
    )()
    return f"**{capitalize(head)}.**"


def _to(action: Action) -> str:
    return f"To {action.stated}:"


def _gerund(action: Action) -> str:
    return f"{capitalize(action.gerund)}:"


def _if(action: Action) -> str:
    return f"If you want to {action.stated}, run:"


def _does(action: Action) -> str:
    return f"This {action.third}:"


_ARGUMENT_LEADS = (
    "To {w}, give {c}:", "To {w}, pass {c}:", "Pass {c} to {w}:", "{W} with {c}:", "With {c} you can {w}:", "{c} is there to {w}, for example:", "If you want to {w}, set {c}:",
)  # fmt: skip
_LEADS = (_to, _to, _gerund, _if, _does)
# Kinds of values, with the headings that they stand under and questions for them.
_PROPERTIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "licence": (("Licence", "License", "Terms of use"), ("What is the licence of {p}", "Under which licence may I use {p}", "How is {p} licensed", "Which licence has {p}")),
    "language": (("Language", "Programming language", "Written in"), ("Which language is {p} written in", "In which language is {p} written", "What language does {p} use")),
    "format": (("Format", "File format", "Output format"), ("Which format does {p} write", "What is the format of the files", "In which format is the output")),
    "platform": (("Platforms", "Systems", "Supported systems"), ("Which platforms does {p} support", "On which systems does {p} run", "Where can I run {p}")),
    "author": (("Author", "Contact", "Maintainer"), ("Who is the author of {p}", "Who wrote {p}", "Whom do I ask about {p}")),
    "need": (("Requirements", "Prerequisites", "What you need"), ("What does {p} need", "What do I need before I install {p}", "What must be there for {p}", "What are the requirements of {p}")),
    "release": (("Version", "Latest release", "Current version"), ("What is the version of {p}", "Which version of {p} is the newest", "Which release is current")),
    "size": (("Size", "Download size", "Disk space"), ("How large is {p}", "How big is the download", "How much space does {p} take", "How much room does {p} need")),
    "time": (("Duration", "Time", "Running time"), ("How long does {p} take", "How much time does it take", "How long does it run")),
    "limit": (("Limits", "Limit", "Capacity"), ("What is the limit of {p}", "How much does {p} hold at most", "How many can {p} take")),
    "file": (("Configuration file", "Configuration", "Settings file"), ("Where is {p} configured", "Which file configures {p}", "Where does the configuration of {p} lie")),
}  # fmt: skip
