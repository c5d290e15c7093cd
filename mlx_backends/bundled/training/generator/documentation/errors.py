"""Sections about errors, what happens under conditions, and why things are as they are."""

from mlx_backends.bundled.training.generator.documentation import wordings
from mlx_backends.bundled.training.generator.documentation.markdown import (
    PARENTHESES,
    joined,
    table,
    table_row,
    title,
)
from mlx_backends.bundled.training.generator.documentation.parallels import WRONG
from mlx_backends.bundled.training.generator.documentation.writer import Section, Writer
from mlx_backends.bundled.training.grammar import capitalize, compile_patterns, indefinite


def errors(writer: Writer) -> Section:
    """Write a table or list of errors or exit codes, with when they come and at times what helps."""
    rng, section = writer.rng, Section()
    is_exit = rng.random() < 0.2
    has_remedy = rng.random() < 0.4
    kind = "exit code" if is_exit else rng.choice(("error", "error", "exception"))
    style = rng.choice(("table", "table", "list", "text"))
    heads = [kind, rng.choice(("when", "raised when", "meaning", "cause", "reason"))]
    heads += [rng.choice(("what to do", "remedy", "fix", "what helps"))] if has_remedy else []
    rows = [table_row([title(rng, head) for head in heads])]
    codes = iter(rng.sample(range(130), 12))
    form = rng.choice(_ERROR_LINES)
    for _ in range(rng.randint(2, 8)):
        stated, asked, others = _causes(writer)
        code = f"{next(codes)}" if is_exit else f"`{writer.project.code('error')}`"
        remedy = rng.choice(_REMEDIES)(
            rng,
            {
                "c": f"`{writer.project.code('command')}`",
                "o": f"`{writer.project.code('option')}`",
                "v": f"`{writer.project.code('variable')}`",
                "t": writer.names.thing(),
            },
        )
        if style == "table":
            line = table_row([code, stated, remedy][: len(heads)])
        else:
            spoken = f"exit code {code}" if is_exit else code
            line = capitalize(form(rng, {"c": spoken, "s": stated})) + (
                f" {capitalize(remedy)}." if has_remedy else ""
            )
            line = f"- {line}" if style == "list" else line
        rows.append(line)
        called = kind if is_exit else writer.kind("error")
        section.asks.append(writer.ask("error", code, line, s=asked, k=called))
        for purpose, slots in others:
            section.asks.append(writer.ask(purpose, code, line, k=called, **slots))
        spoken = f"exit code {code}" if is_exit else code
        if rng.random() < 0.5:
            section.asks.append(writer.ask("when", stated, line, c=spoken))
        if has_remedy and rng.random() < 0.6:
            found = remedy if remedy in line else capitalize(remedy)
            section.asks.append(writer.ask("remedy", found, line, c=spoken))
    section.blocks = [
        table(rng, rows)
        if style == "table"
        else "\n".join(rows[1:])
        if style == "list"
        else " ".join(rows[1:])
    ]
    return section


def _causes(writer: Writer) -> tuple[str, str, list[tuple[str, dict[str, str]]]]:
    """Draw why an error comes: text of the page, of a question, and questions about the rest of it."""
    rng, names = writer.rng, writer.names
    stated, asked = writer.condition()
    draw = rng.random()
    if draw < 0.2:
        second, other = writer.condition()
        link = rng.choice((", or ", "; ", " or "))
        return f"{stated}{link}{second}", asked, [("error", {"s": other})]
    if draw < 0.4:
        mistake = indefinite(f"{rng.choice(WRONG)} {names.thing()}")
        link = rng.choice((", for example ", ", such as ", ", like "))
        return f"{stated}{link}{mistake}", asked, [("raised", {"m": mistake})]
    if draw < 0.5:
        tail = rng.choice(
            ("the message names the {t}", "it says the {t}", "the {t} is given", "see the {t}")
        )
        return f"{stated}; {tail.format(t=names.thing())}", asked, []
    return stated, asked, []


def conditions(writer: Writer) -> Section:
    """Write what happens under conditions."""
    rng, section = writer.rng, Section()
    for _ in range(rng.randint(1, 5)):
        stated, asked = writer.condition()
        outcome = writer.outcome()
        if outcome is None:
            break
        line = capitalize(rng.choice(_CONDITIONALS)(rng, {"s": stated, "o": outcome}))
        line = writer.with_tail(line)
        answer = outcome if outcome in line else capitalize(outcome)
        section.blocks.append(line)
        section.asks.append(writer.ask("happens", answer, line, s=asked))
    return joined(writer, section)


def reasons(writer: Writer) -> Section:
    """Write statements with their reasons."""
    rng, section = writer.rng, Section()
    for _ in range(rng.randint(1, 4)):
        drawn = writer.reason()
        if drawn is None:
            break
        stated, asked, reason = drawn
        line = capitalize(
            rng.choice(_CAUSES)(
                rng,
                {
                    "s": stated,
                    "r": reason,
                    "S": capitalize(stated),
                    "R": capitalize(reason),
                    **PARENTHESES,
                },
            )
        )
        line = writer.with_tail(line)
        answer = reason if reason in line else capitalize(reason)
        section.blocks.append(line)
        question = wordings.question_of(asked)
        section.asks.append(
            writer.ask("why", answer, line, s=asked, q=question or f"is it that {asked}")
        )
    return joined(writer, section)


_ERROR_LINES = compile_patterns(
    [
        "{c}: {s}.",
        "{c} is raised (when|if) {s}.",
        "{c} means that {s}.",
        "(If|When) {s}, you get {c}.",
        "{c} - {s}.",
        "{c} says that {s}.",
    ]
)
_REMEDIES = compile_patterns(
    [
        "run {c}",
        "raise {o}",
        "set {v}",
        "pass {o}",
        "lower {o} or run {c}",
        "check the {t}",
        "shorten the {t}",
        "start it again with {o}",
        "wait and try again",
        "install the {t} first",
        "use a smaller {t}",
    ]
)
_CONDITIONALS = compile_patterns([
    "(If|When) {s}, {o}.", "(If|When) {s}, {o}.", "{o} (if|when) {s}.", "Where {s}, {o}.", "Should it be that {s}, {o}.", "If {s}: {o}.", "As soon as {s}, {o}.", "{s}: {o}.", "Whenever {s}, {o}.", "In case {s}, {o}.",
])  # fmt: skip
_CAUSES = compile_patterns([
    "{s}, because {r}.", "{s}: {r}.", "Since {r}, {s}.", "{R}, so {s}.", "{S}. The reason is that {r}.", "{R}. That is why {s}.", "Because {r}, {s}.", "{s} {(}because {r}{)}.", "{s}, as {r}.", "{R}; therefore {s}.",
])  # fmt: skip
