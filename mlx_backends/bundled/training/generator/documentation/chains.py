"""Sentences of several verbs, of several subjects, or of several names: a question asks for one part."""

from mlx_backends.bundled.training.generator.documentation import wordings
from mlx_backends.bundled.training.generator.documentation.parties import (
    object_of,
    subject_of,
    verbs_of,
)
from mlx_backends.bundled.training.generator.documentation.writer import Section, Writer
from mlx_backends.bundled.training.grammar import capitalize


def deeds(writer: Writer, section: Section) -> None:
    """One subject with two to four verbs: ``submit checks the request, queues it and returns a handle``."""
    rng = writer.rng
    subject = subject_of(writer)
    verbs = {
        asked.base: (verb, asked)
        for verb, asked in (verbs_of(writer) for _ in range(rng.randint(2, 4)))
    }
    objects = [object_of(writer) for _ in verbs]
    if len(verbs) < 2 or len({item.full for item in objects}) < len(objects):
        return
    tail = rng.choice(("", "", "", " at once", " in one step", " first", " as usual"))
    parts = [
        f"{subject.agree(verb)} {thing.full}"
        for (verb, _), thing in zip(verbs.values(), objects, strict=True)
    ]
    if rng.random() < 0.3:
        place = rng.randrange(len(parts))
        parts.insert(place + 1, f"{subject.agree(verbs_of(writer)[0])} it")
    line = capitalize(f"{subject.full} {_listed(writer, parts, 'and')}{tail}.")
    for (_, asked), thing in zip(verbs.values(), objects, strict=True):
        section.asks.append(
            writer.ask(
                "object",
                thing.full,
                line,
                s=subject.short,
                do=subject.do(),
                b=asked.base,
                sv=subject.agree(asked),
                v=asked.third,
                o=thing.short,
            )
        )
    section.blocks.append(line)


def doers(writer: Writer, section: Section) -> None:
    """Several ways or names that do one thing; the answer is all of them."""
    rng = writer.rng
    kind = rng.choice(("setting", "command", "option", "function", "class"))
    if rng.random() < 0.5:
        names = [f"`{writer.project.code(kind)}`" for _ in range(rng.choice((2, 2, 3)))]
        all_of, form = _listed(writer, names, rng.choice(("and", "or"))), 1
    else:
        names = [
            f"{verbs_of(writer)[0].gerund} {object_of(writer).full}"
            for _ in range(rng.choice((2, 3, 3)))
        ]
        all_of, form = _listed(writer, names, "or"), 0
    action = writer.action()
    done = wordings.third(action.stated) if not form or " or " in all_of else action.stated
    line = capitalize(f"{all_of} {done}.")
    answer = all_of if all_of in line else capitalize(all_of)
    section.asks.append(writer.ask_name(action, writer.kind(kind), answer, line))
    section.blocks.append(line)


def keys(writer: Writer, section: Section) -> None:
    """Two or three names in one sentence, each with what it does: ``q quits and r runs the job again``."""
    rng = writer.rng
    kind = rng.choice(("command", "option", "setting", "target", "function"))
    is_key = rng.random() < 0.4
    codes = [
        _key(writer) if is_key else f"`{writer.project.code(kind)}`"
        for _ in range(rng.choice((2, 2, 3)))
    ]
    if len({*codes}) < len(codes):
        return
    actions = [writer.action() for _ in codes]
    parts = [f"{code} {action.third}" for code, action in zip(codes, actions, strict=True)]
    line = capitalize(_listed(writer, parts, rng.choice(("and", "and", "while")))) + "."
    called = rng.choice(("key", "key", "keystroke", "shortcut")) if is_key else writer.kind(kind)
    for code, action in zip(codes, actions, strict=True):
        answer = code if code in line else capitalize(code)
        section.asks.append(writer.ask_name(action, called, answer, line))
        if rng.random() < 0.4:
            section.asks.append(writer.ask("meaning", action.third, line, c=code, k=called))
    section.blocks.append(line)


def gapped(writer: Writer, section: Section) -> None:
    """Names of one verb that is said once: ```tool list`` shows the jobs, and ``tool log`` the output``."""
    rng, kind = writer.rng, writer.rng.choice(("command", "command", "option", "function", "class"))
    verb, asked = verbs_of(writer)
    codes = [f"`{writer.project.code(kind)}`" for _ in range(rng.choice((2, 2, 3)))]
    if kind == "command" and rng.random() < 0.4:  # a command and the same with more words
        codes[1] = f"`{codes[0].strip('`')} {writer.names.part()}`"
    things = [object_of(writer) for _ in codes]
    if len({item.full for item in things}) < len(things):
        return
    parts = [f"{codes[0]} {verb.third} {things[0].full}"]
    parts += [f"{code} {item.full}" for code, item in zip(codes[1:], things[1:], strict=True)]
    line = capitalize(_listed(writer, parts, "and")) + "."
    called = writer.kind(kind)
    for code, thing in zip(codes, things, strict=True):
        slots = {"v": asked.third, "b": asked.base, "o": thing.short, "k": called}
        section.asks.append(writer.ask("gap", code, line, **slots))
    section.blocks.append(line)


def also(writer: Writer, section: Section) -> None:
    """What names are besides: ``A and B are also C; D is also E``."""
    rng = writer.rng
    kind = rng.choice(("class", "error", "error", "setting"))
    parts, asked = [], []
    for _ in range(rng.choice((1, 2, 2))):
        codes = [f"`{writer.project.code(kind)}`" for _ in range(rng.choice((1, 1, 2, 3)))]
        what = f"`{writer.project.code(kind)}`"
        be = "is" if len(codes) == 1 else "are"
        parts.append(
            f"{_listed(writer, codes, 'and')} {be} {rng.choice(('also', 'also', 'at the same time', 'a kind of', 'subclasses of' if len(codes) > 1 else 'a subclass of'))} {what}"
        )
        asked += [(code, what) for code in codes]
    line = capitalize(rng.choice(("; ", ", and ", ". ")).join(parts)) + "."
    for code, what in asked:
        section.asks.append(writer.ask("role_of", what, line, c=f"{code} also"))
        if kind == "error":
            section.asks.append(writer.ask("catch", what, line, c=code, k=writer.kind(kind)))
    section.blocks.append(line)


def _key(writer: Writer) -> str:
    rng = writer.rng
    key = rng.choice(
        (
            f"Ctrl-{rng.choice('ABEFGHKLNPQRSTUVWXYZ')}",
            f"F{rng.randint(1, 12)}",
            f"/{writer.names.part()}",
            f"`{rng.choice('abcefghjklmnopqrstuvwxyz')}`",
            "Esc",
            "Tab",
            f"Alt-{rng.randint(1, 9)}",
        )
    )
    return f"`{key}`" if rng.random() < 0.5 and "`" not in key else key


def _listed(writer: Writer, parts: list[str], word: str) -> str:
    if len(parts) == 1:
        return parts[0]
    comma = "," if len(parts) > 2 and writer.rng.random() < 0.4 else ""
    return f"{', '.join(parts[:-1])}{comma} {word} {parts[-1]}"
