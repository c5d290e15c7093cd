"""Writes passages that are cards and tables."""

import random
import re

from mlx_backends.bundled.training import grammar, lexicon
from mlx_backends.bundled.training.families import FAMILIES, Fact, slots
from mlx_backends.bundled.training.generator.items import Item
from mlx_backends.bundled.training.generator.passages import Passage, Passages
from mlx_backends.bundled.training.grammar import capitalize
from mlx_backends.bundled.training.lexicon import Names


class Tables:
    """Writes cards and tables, with the items that they answer."""

    def __init__(self, names: Names, passages: Passages) -> None:
        self.rng: random.Random = names.rng
        self.names = names
        self.passages = passages

    def card(self) -> Passage:
        head, rows = self._rows_of_card()
        items = [
            Item(question, fact.slots["v"], 0, f"{head}\n{row}") for fact, row, question in rows
        ]
        return "\n".join([head, *(row for _, row, _ in rows)]), items

    def _rows_of_card(self) -> tuple[str, list[tuple[Fact, str, str]]]:
        """Make a heading and lines that give several attributes of one entity."""
        rng = self.rng
        attribute = FAMILIES[0]
        first = attribute.make(self.names)
        entity = first.slots["e"]
        facts = [
            first,
            *(attribute.make(self.names, {"e": entity}) for _ in range(rng.randint(1, 4))),
        ]
        unique = list({fact.slots["n"]: fact for fact in facts}.values())
        style = rng.randrange(6)
        rows = []
        for fact in unique:
            name, value = fact.slots["n"], fact.slots["v"]
            if style == 0:
                row = f"| {name} | {value} |"
            elif style == 1:
                row = f"- {name}: {value}"
            elif style == 2:
                row = f"{capitalize(name)}: {value}"
            elif style == 3:
                row = f"- **{name}**: {value}"
            elif style == 4:
                row = rng.choice(
                    (
                        "Its {n} is {v}.",
                        "It has a {n} of {v}.",
                        "The {n} is {v}.",
                        "{v} is its {n}.",
                    )
                ).format(n=name, v=value)
                row = row if row.startswith(value) else capitalize(row)
            else:
                row = f"{name.replace(' ', '_')} = {value}"
            question = rng.choice(fact.asks)[0] if fact.asks else f"What is the {name} of {entity}?"
            rows.append((fact, row, question))
        title = capitalize(entity.removeprefix("the "))
        head = rng.choice(("# {e}", "## {e}", "**{e}**", "{e}", "### {e}")).format(e=title)
        if style == 0:
            head += "\n\n| name | value |\n| --- | --- |"
        return head, rows

    def table(self) -> Passage:
        """Write a table: a row for each entity, a column for each attribute."""
        rng, names = self.rng, self.names
        columns = rng.sample(lexicon.ATTRIBUTES, rng.randint(1, 4))
        makers = (
            names.value,
            names.name,
            names.identifier,
            lambda: names.rng.choice(("yes", "no", "partly", "experimental")),
            names.number,
            names.quantity,
        )
        column_makers = [rng.choice(makers) for _ in columns]
        row_maker = rng.choice(
            (
                names.name,
                lambda: f"`{names.identifier()}`",
                lambda: grammar.component_name(names),
                lambda: f"`{names.flag()}`",
                names.word,
            )
        )
        entities = list(dict.fromkeys(row_maker() for _ in range(rng.randint(2, 6))))
        kind = self.names.thing()
        lines = [f"| {kind} | " + " | ".join(columns) + " |", "| --- " * (len(columns) + 1) + "|"]
        items = []
        for entity in entities:
            cells = [maker() for maker in column_makers]
            lines.append(f"| {entity} | " + " | ".join(cells) + " |")
            column = rng.randrange(len(columns))
            question = rng.choice(_TABLE_ASKS).format(n=columns[column], e=entity, k=kind)
            items.append(Item(question, cells[column], 0, lines[-1]))
        head = f"{self.passages.heading()}\n\n" if rng.random() < 0.6 else ""
        tail = "\n\n" + " ".join(self.passages.real_sentences(1)) if rng.random() < 0.3 else ""
        return head + "\n".join(lines) + tail, items

    def two_columns(self) -> Passage:
        """Write a table of code names and what each does, sets or means."""
        rng, names = self.rng, self.names
        kind, head, maker, says, asks_name, asks_says = rng.choice(_TWO_COLUMNS)
        lines = [
            rng.choice((f"| {kind} | {head} |", f"| {kind} | {rng.choice(_COLUMN_HEADS)} |")),
            "| --- | --- |",
        ]
        items: list[Item] = []
        cells: list[tuple[str, str]] = []
        for _ in range(rng.randint(2, 12)):
            code = f"`{getattr(names, maker)(*(('Error',) if kind in ('error', 'exception') else ()))}`"
            near = _near_miss(names, rng.choice(cells)) if cells and rng.random() < 0.5 else None
            text, loose = near or _column_text(names, says)
            if any(text == other for other, _ in cells):
                continue
            cells.append((text, loose))
            lines.append(f"| {code} | {text} |")
            called = rng.choice(next((g for g in _SAME_KINDS if kind in g), (kind,)))
            if rng.random() < 0.6:
                question = rng.choice(asks_name).format(t=loose, c=code, k=called)
                items.append(Item(question, code, 0, lines[-1]))
            else:
                question = rng.choice(asks_says).format(c=code, k=called)
                items.append(Item(question, text, 0, lines[-1]))
        title = f"{self.passages.heading()}\n\n" if rng.random() < 0.5 else ""
        return title + "\n".join(lines), items

    def settings(self) -> Passage:
        """Write a table of options with their defaults and what they set."""
        rng, names = self.rng, self.names
        kind, maker = rng.choice(_SETTING_KINDS)
        columns = [
            kind,
            rng.choice(_COLUMN_HEADS),
            rng.choice(("default", "default value", "preset")),
        ]
        order = rng.choice(((0, 1, 2), (0, 2, 1)))
        lines = ["| " + " | ".join(columns[i] for i in order) + " |", "| --- | --- | --- |"]
        items: list[Item] = []
        seen: set[str] = set()
        for _ in range(rng.randint(2, 9)):
            code, what = (
                f"`{getattr(names, maker)()}`",
                f"{rng.choice(('the ', ''))}{slots.setting(names)}",
            )
            if {code, what.removeprefix("the ")} & seen:
                continue
            seen |= {code, what.removeprefix("the ")}
            value = rng.choice((names.value(), f"`{names.quoted_literal()}`", names.number()))
            cells = (code, what, value)
            lines.append("| " + " | ".join(cells[i] for i in order) + " |")
            asked, answer = rng.choice(
                ((_NAME_ASKS, code), (_DEFAULT_ASKS, value), (_MEANING_ASKS, what))
            )
            called = rng.choice(next((g for g in _SAME_KINDS if kind in g), (kind,)))
            question = rng.choice(asked).format(c=code, k=called, t=what.removeprefix("the "))
            items.append(Item(question, answer, 0, lines[-1]))
        head = f"{self.passages.heading()}\n\n" if rng.random() < 0.5 else ""
        return head + "\n".join(lines), items


def _near_miss(names: Names, cell: tuple[str, str]) -> tuple[str, str] | None:
    """Change one word of a cell, so that the rows differ in little."""
    words = [word for word in cell[0].split() if word in _SWAPPED]
    if not words:
        return None
    old = names.rng.choice(words)
    new = names.rng.choice(next(pool for pool in _POOLS if old in pool))
    pattern = re.compile(rf"\b{re.escape(old)}\b")
    return pattern.sub(new, cell[0], count=1), pattern.sub(new, cell[1], count=1)


def _column_text(names: Names, says: str) -> tuple[str, str]:
    """Make the right cell, and the words that a question uses for it."""
    rng = names.rng
    if says == "clause":
        clause = grammar.make_clause(names)
        return clause.text, rng.choice((clause.text, clause.loose))
    if says == "verb":
        verb, thing = rng.choice(grammar.verb_group(names)), grammar.object_phrase(names)
        tail = f" and {rng.choice(grammar.verb_group(names)).third} {grammar.object_phrase(names).full}"
        text = f"{verb.third} {thing.full}"
        return text + (tail if rng.random() < 0.2 else ""), text
    thing = rng.choice(
        (
            f"the {grammar.thing_name(names)}",
            f"the {grammar.thing_name(names)} of the {grammar.component_name(names)}",
            f"where the {grammar.component_name(names)} keeps {grammar.plural(names.thing())}",
        )
    )
    extra = rng.choice(
        (
            "",
            "",
            f" when no {names.thing()} is named",
            f", such as `{names.quoted_literal()}`",
            f" in {rng.choice(lexicon.UNITS)}",
        )
    )
    return thing + extra, thing


_POOLS = (lexicon.THINGS, lexicon.COMPONENTS, lexicon.ADJECTIVES, lexicon.MODIFIERS)
_SWAPPED = frozenset(word for pool in _POOLS for word in pool if " " not in word)
# Names of kinds that a question may use for each other.
_SAME_KINDS = (
    ("error", "exception", "error class"), ("option", "setting", "parameter", "flag", "switch", "argument"),
    ("setting", "option", "parameter", "configuration option"), ("variable", "environment variable", "setting", "option"),
    ("exception", "error"), ("command", "tool", "program", "command"), ("function", "method", "call", "routine"),
    ("module", "file", "page"), ("argument", "parameter", "option"), ("field", "key", "attribute", "option"),
)  # fmt: skip
_SETTING_KINDS = (
    ("option", "flag"), ("option", "identifier"), ("setting", "identifier"), ("variable", "environment_variable"),
    ("argument", "identifier"), ("field", "identifier"), ("flag", "flag"),
)  # fmt: skip
_NAME_ASKS = (
    "Which {k} sets the {t}?", "Which {k} is for the {t}?", "How do I set the {t}?", "What controls the {t}?", "Which {k} changes the {t}?",
    "With which {k} can I choose the {t}?", "What do I change to get another {t}?",
)  # fmt: skip
_DEFAULT_ASKS = (
    "What is the default of {c}?", "What does {c} default to?", "What is the default {t}?", "Which value does {c} have by default?",
    "If I do not set {c}, what is used?", "What is the {t} if I change nothing?", "What is the {t} by default?", "Default of {c}?",
)  # fmt: skip
_MEANING_ASKS = (
    "What does {c} set?",
    "What is {c} for?",
    "What does the {k} {c} control?",
    "What does {c} mean?",
    "What is the meaning of {c}?",
)
_COLUMN_HEADS = ("meaning", "what it does", "description", "use", "effect", "notes", "purpose")


_ERROR_ASKS = (
    (
        "Which {k} is raised when {t}?",
        "Which {k} is raised if {t}?",
        "What is raised when {t}?",
        "Which {k} do I get when {t}?",
        "What happens when {t}?",
    ),
    ("When is {c} raised?", "What does {c} mean?", "When do I get {c}?"),
)


_SETTING_ASKS = (
    (
        "Which {k} sets {t}?",
        "Which {k} is for {t}?",
        "What sets {t}?",
        "Which {k} gives {t}?",
        "Which {k} names {t}?",
        "How do I set {t}?",
    ),
    (
        "What does {c} set?",
        "What is {c} for?",
        "What does {c} name?",
        "What does the {k} {c} do?",
        "What is the meaning of {c}?",
    ),
)


_COMMAND_ASKS = (
    ("Which {k} {t}?", "What {t}?", "Which {k} {t}?"),
    ("What does {c} do?", "What is the {k} {c} for?", "What is the effect of {c}?"),
)


_TWO_COLUMNS = (
    ("error", "raised when", "class_name", "clause", *_ERROR_ASKS),
    ("exception", "when", "class_name", "clause", *_ERROR_ASKS),
    ("variable", "sets", "environment_variable", "noun", *_SETTING_ASKS),
    ("option", "meaning", "flag", "noun", *_SETTING_ASKS),
    ("setting", "is", "identifier", "noun", *_SETTING_ASKS),
    ("command", "what it does", "command", "verb", *_COMMAND_ASKS),
    ("function", "effect", "function", "verb", *_COMMAND_ASKS),
    ("class", "what it does", "class_name", "verb", *_COMMAND_ASKS),
    ("module", "does", "file_path", "verb", *_COMMAND_ASKS),
)


_TABLE_ASKS = (
    "What is the {n} of {e}?", "What is the {n} of the {k} {e}?", "Which {n} does {e} have?", "What {n} does {e} have?",
    "What does the table give as {n} of {e}?", "What is listed as {n} for {e}?", "{e}: {n}?", "What is {e}'s {n}?",
)  # fmt: skip
