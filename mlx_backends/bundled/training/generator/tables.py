"""Writes passages that are cards and tables."""

import random

from mlx_backends.bundled.training import grammar, lexicon
from mlx_backends.bundled.training.families import FAMILIES, Fact
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
                row = capitalize(row)
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
        for _ in range(rng.randint(2, 7)):
            code = f"`{getattr(names, maker)(*(('Error',) if kind in ('error', 'exception') else ()))}`"
            text, loose = _column_text(names, says)
            lines.append(f"| {code} | {text} |")
            if rng.random() < 0.6:
                items.append(
                    Item(rng.choice(asks_name).format(t=loose, c=code, k=kind), code, 0, lines[-1])
                )
            else:
                items.append(Item(rng.choice(asks_says).format(c=code, k=kind), text, 0, lines[-1]))
        title = f"{self.passages.heading()}\n\n" if rng.random() < 0.5 else ""
        return title + "\n".join(lines), items


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
