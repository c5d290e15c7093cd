"""What all sections of a page draw on: subjects without repetition, values and questions."""

import random
import re
from dataclasses import dataclass, field

from mlx_backends.bundled.training import grammar, lexicon
from mlx_backends.bundled.training.generator.documentation import wordings
from mlx_backends.bundled.training.generator.documentation.frames import FRAMES
from mlx_backends.bundled.training.generator.documentation.project import KINDS, Project
from mlx_backends.bundled.training.grammar import capitalize
from mlx_backends.bundled.training.lexicon import Names

# Share of questions in other words than the page's, where there are others.
_OTHER_WORDS = 0.65
_ANSWER = re.compile(r"\[([^\]]+)\]")
_BARE = ("how ", "where ", "which ", "what ", "whether ", "amount ", "most ", "reuse ", "sending ")


@dataclass(frozen=True, slots=True)
class Ask:
    """A question, its answer and the stretch of the page that says it."""

    question: str
    answer: str
    anchor: str


@dataclass(slots=True)
class Section:
    """Blocks of Markdown and what they answer."""

    blocks: list[str] = field(default_factory=list)
    asks: list[Ask] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Action:
    """Something that can be done: as the page and as the question word it."""

    stated: str
    asked: str

    @property
    def third(self) -> str:
        return wordings.third(self.stated)

    @property
    def gerund(self) -> str:
        return wordings.gerund(self.stated)


class Writer:
    """Draws what one page says and asks.

    Args:
        names: Source of invented words.
        held_out: Use the subjects and frames of evaluation.
    """

    def __init__(self, names: Names, *, held_out: bool) -> None:
        self.rng: random.Random = names.rng
        self.names = names
        self.project = Project(names)
        self._held_out = held_out
        known = wordings.subjects(held_out=held_out)
        self._actions = self._mixed(known.actions)
        self._settings = self._mixed(known.settings)
        self._conditions = self._mixed(known.conditions)
        self._reasons = self._mixed(known.reasons)
        self._statements = self._mixed(known.statements)
        self._outcomes = self._mixed(known.outcomes)

    def action(self) -> Action:
        rng = self.rng
        if self._actions and rng.random() < (1.0 if self._held_out else 0.6):
            return Action(*wordings.pair(rng, self._actions.pop(), other=_OTHER_WORDS))
        return Action(*wordings.pair(rng, wordings.composed_action(self.names), other=_OTHER_WORDS))

    def setting(self) -> tuple[wordings.Setting, str, str]:
        """Draw a setting, its noun phrase on the page and in the question."""
        rng = self.rng
        if self._settings and (self._held_out or rng.random() < 0.75):
            setting = self._settings.pop()
        else:
            name = f"{self.names.thing()} {rng.choice(_TAILS)}"
            setting = wordings.Setting(
                rng.choice(("number", "name", "time", "memory")), (name,), ()
            )
        stated, asked = wordings.pair(rng, setting.wordings, other=_OTHER_WORDS)
        return setting, _with_article(stated), _with_article(asked)

    def condition(self) -> tuple[str, str]:
        """Draw a condition as the page and as the question word it."""
        rng = self.rng
        if self._conditions and (self._held_out or rng.random() < 0.75):
            return wordings.pair(rng, self._conditions.pop(), other=_OTHER_WORDS)
        thing = self.names.thing()
        states = rng.choice(_STATES)
        return wordings.pair(rng, tuple(f"the {thing} {state}" for state in states), other=0.5)

    def reason(self) -> tuple[str, str, str] | None:
        """Draw a statement as the page and as the question word it, and a reason."""
        if not self._reasons:
            return None
        reason = self._reasons.pop()
        stated, asked = wordings.pair(self.rng, reason.wordings, other=0.5)
        return stated, asked, self.rng.choice(reason.reasons)

    def statement(self) -> Ask | None:
        """Draw a sentence, as the anchor of a question that it answers."""
        if not self._statements:
            return None
        statement = self._statements.pop()
        slots = self._slots()
        line = self.rng.choice(statement.wordings).format(**slots)
        found = _ANSWER.search(line)
        if found is None:
            raise ValueError(f"a statement has no answer in brackets: {line}")
        line = capitalize(line[: found.start()] + found[1] + line[found.end() :])
        answer = found[1] if found[1] in line else capitalize(found[1])
        return Ask(capitalize(self.rng.choice(statement.asks).format(**slots)), answer, line)

    def _slots(self) -> dict[str, str]:
        """Fill everything that a statement may name."""
        rng, names, project = self.rng, self.names, self.project
        thing = grammar.thing_name(names)
        first, second = rng.sample(lexicon.PLATFORMS[:9], 2)
        return {
            "n": rng.choice((str(rng.randint(2, 99)), str(2 ** rng.randint(2, 12)), f"{rng.randint(1, 40)},{rng.randint(0, 999):03d}")),
            "q": self.quantity("time"), "m": self.quantity("memory"), "f": names.file_path(), "c": project.code("command"),
            "o": project.code("option"), "i": project.code("setting"), "i2": project.code("setting"), "v": project.code("variable").split("=")[0],
            "x": project.code("error"), "w": project.code("class"), "w2": project.code("class"), "g": project.code("function"),
            "k": names.part(), "k2": names.word(), "t": thing, "s": grammar.plural(names.thing()), "s2": grammar.plural(grammar.thing_name(names)), "g2": project.code("function"), "p": project.name,
            "l": rng.choice((*lexicon.FORMATS, *lexicon.LANGUAGES)), "d": names.version(), "a": first, "b": second,
            "u": rng.choice(lexicon.UNITS), "z": rng.choice(lexicon.LICENSES), "e": rng.choice(("YYYY-MM-DD", "day.month.year", "`2024-05-31`", "seconds since 1970", "ISO 8601")),
        }  # fmt: skip

    def outcome(self) -> str | None:
        """Draw what happens then."""
        if not self._outcomes:
            return None
        names, project = self.names, self.project
        return self._outcomes.pop().format(
            x=f"`{project.code('error')}`", n=self.rng.randint(1, 99), q=self.quantity("time"),
            c=project.code("command"), f=names.file_path(),
        )  # fmt: skip

    def value(self, unit: str) -> str:
        """Make a value of a setting."""
        rng, names = self.rng, self.names
        if unit in ("time", "memory"):
            return self.quantity(unit)
        if unit == "folder":
            return f"`{names.file_path()}`"
        if unit == "name":
            text = rng.choice((names.part, names.kebab, lambda: rng.choice(lexicon.WORDS)))()
            return rng.choice((f"`{text}`", text, f'`"{text}"`'))
        if unit == "switch":
            return rng.choice(
                ("on", "off", "`true`", "`false`", "`1`", "`0`", "yes", "no", "`auto`")
            )
        number = rng.choice(
            (
                str(rng.randint(1, 100)),
                str(2 ** rng.randint(0, 15)),
                f"{rng.randint(1, 40)},{rng.randint(0, 999):03d}",
            )
        )
        if unit == "number":
            return rng.choice((number, f"0.{rng.randint(0, 99)}", f"`{number}`"))
        return rng.choice((number, number, f"`{number}`", f"{number} {unit}"))

    def quantity(self, unit: str) -> str:
        rng = self.rng
        units = (
            ("seconds", "minutes", "s", "ms", "hours", "days")
            if unit == "time"
            else ("MB", "GB", "GiB", "MiB", "KB")
        )
        return f"{rng.choice((rng.randint(2, 90), 2 ** rng.randint(1, 10), f'{rng.randint(1, 9)}.5'))} {rng.choice(units)}"

    def with_tail(self, line: str) -> str:
        """Add what pages add to a sentence and no answer holds: links, versions, platforms."""
        rng = self.rng
        if not line.endswith(".") or rng.random() > 0.15:
            return line
        page = f"{self.names.part()}.md"
        tails = (
            f" (see [{self.names.thing()}]({page}))", f" ([why]({page}#{self.names.part()}))", f" (since {self.names.version()})",
            f", also on {rng.choice(lexicon.PLATFORMS)}", f"; see `{page}`", " (experimental)", f", as of version {self.names.version()}",
        )  # fmt: skip
        return f"{line[:-1]}{rng.choice(tails)}."

    def kind(self, kind: str) -> str:
        """Word that a question may use for a kind of name."""
        return self.rng.choice(KINDS[kind])

    def ask(self, purpose: str, answer: str, anchor: str, **slots: str) -> Ask:
        """Make a question of a purpose."""
        frames = FRAMES[purpose][self._held_out]
        slots = {"p": self.project.name, **slots}
        return Ask(capitalize(self.rng.choice(frames)(self.rng, slots)), answer, anchor)

    def ask_name(self, action: Action, called: str, code: str, anchor: str) -> Ask:
        """Ask for the name, called a command or an option or the like, of what does something."""
        w = action.asked
        return self.ask(
            "name",
            code,
            anchor,
            w=w,
            w3=wordings.third(w),
            wg=wordings.gerund(w),
            k=called,
        )

    def _mixed(self, items: list) -> list:
        return self.rng.sample(items, len(items))


def _with_article(text: str) -> str:
    return text if text.startswith(_BARE) else f"the {text}"


_TAILS = (
    "size",
    "limit",
    "count",
    "timeout",
    "interval",
    "mode",
    "policy",
    "format",
    "order",
    "threshold",
    "type",
    "name",
)
_STATES = (
    ("is missing", "cannot be found", "does not exist"), ("is too large", "exceeds the limit", "is bigger than allowed"),
    ("is empty", "holds nothing", "has no content"), ("changes", "is modified", "is edited"), ("fails", "breaks", "does not work"),
    ("is busy", "is in use", "is occupied"), ("is broken", "is damaged", "is corrupt"), ("is ready", "is complete", "has finished"),
    ("is invalid", "is malformed", "is not valid"), ("is late", "comes too late", "is delayed"), ("is locked", "is held by another process", "is blocked"),
)  # fmt: skip
