"""Families of facts: how each kind is stated and asked for.

A family holds slots, statement patterns and question patterns (see `grammar`). `HELD_OUT` families
are for evaluation alone: training never sees their patterns.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, field

from mlx_backends.bundled.training import grammar, lexicon
from mlx_backends.bundled.training.grammar import capitalize, compile_pattern, plural, uncapitalize
from mlx_backends.bundled.training.lexicon import Names


@dataclass(frozen=True, slots=True)
class Fact:
    """One statement and the questions that it answers.

    Attributes:
        family: Name of its family.
        statement: The sentence; every answer is a span of it.
        asks: Pairs of a question and its answer.
        keys: What makes its questions unique; facts of one context share none.
        slots: What filled the patterns.
        pair: Subject, attribute and value where the fact has this simple form, for tables.
    """

    family: str
    statement: str
    asks: list[tuple[str, str]]
    keys: frozenset[str]
    slots: dict[str, str]
    pair: tuple[str, str, str] | None = None


SlotMaker = Callable[[Names], str]


@dataclass(slots=True)
class Family:
    """A kind of fact.

    Attributes:
        name: Its name.
        slots: How each slot is made.
        statements: Statement patterns.
        asks: For each slot that can be asked for, question patterns.
        keys: The slots that identify a fact; siblings share some of them.
        weight: How often it is drawn.
        derived: Slots put together from others.
    """

    name: str
    slots: dict[str, SlotMaker]
    statements: list[str]
    asks: dict[str, list[str]]
    keys: tuple[str, ...]
    weight: float = 1.0
    derived: dict[str, str] = field(default_factory=dict)
    _statements: list = field(default_factory=list)
    _asks: dict = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._statements = [compile_pattern(text) for text in self.statements]
        self._asks = {
            slot: [compile_pattern(text) for text in texts] for slot, texts in self.asks.items()
        }

    def make(self, names: Names, fixed: dict[str, str] | None = None) -> Fact:
        """Make a fact; `fixed` slots keep their text, so that siblings can be made."""
        rng = names.rng
        slots = {name: maker(names) for name, maker in self.slots.items()}
        if fixed:
            slots.update({name: text for name, text in fixed.items() if name in slots})
        slots |= {name: form.format(**slots) for name, form in self.derived.items()}
        statement = capitalize(rng.choice(self._statements)(rng, slots))
        asks = [
            (capitalize(rng.choice(patterns)(rng, self._question_slots(rng, slots))), answer)
            for slot, patterns in self._asks.items()
            if (answer := span_of(slots[slot], statement))
        ]
        keys = frozenset(
            f"{self.name}:{slot}:"
            + "|".join(v for k, v in sorted(slots.items()) if k != slot and k in self.keys).lower()
            for slot in self._asks
        )
        pair = None
        if self.name == "attribute":
            pair = (slots["e"], slots["n"], slots["v"])
        return Fact(self.name, statement, asks, keys, slots, pair)

    @staticmethod
    def _question_slots(rng: random.Random, slots: dict[str, str]) -> dict[str, str]:
        synonyms = lexicon.ATTRIBUTE_SYNONYMS.get(slots.get("n", ""))
        if synonyms and rng.random() < 0.25:
            return {**slots, "n": rng.choice(synonyms)}
        return slots


def span_of(answer: str, statement: str) -> str | None:
    """Return the answer as the statement writes it, or None if it does not hold it."""
    if answer in statement:
        return answer
    raised = capitalize(answer)
    return raised if statement.startswith(raised) else None


# ---------------------------------------------------------------- slot makers


def _setting(names: Names) -> str:
    draw = names.rng.random()
    if draw < 0.55:
        return names.rng.choice(lexicon.ATTRIBUTES)
    thing = names.thing()
    tail = names.rng.choice(
        ("size", "limit", "count", "length", "timeout", "interval", "budget", "mode", "policy", "format",
         "rate", "width", "order", "threshold", "type", "name", "capacity", "age", "cost", "id")
    )  # fmt: skip
    if draw < 0.9:
        return f"{thing} {tail}"
    return f"{names.word()} {tail}"


def _entity(names: Names) -> str:
    draw = names.rng.random()
    if draw < 0.5:
        return names.name()
    if draw < 0.9:
        return f"the {grammar.component_name(names)}"
    return f"`{names.class_name()}`"


def _tick(maker: Callable[[Names], str]) -> SlotMaker:
    return lambda names: f"`{maker(names)}`"


def _component(names: Names) -> str:
    return f"the {grammar.component_name(names)}"


def _things(names: Names) -> str:
    return plural(grammar.thing_name(names))


def _base_action(names: Names) -> str:
    verb = names.rng.choice(grammar.verb_group(names))
    return f"{verb.base} {grammar.object_phrase(names).full}"


def _count(names: Names) -> str:
    return names.number() if names.rng.random() < 0.8 else names.rng.choice(lexicon.NUMBER_WORDS)


def _list(maker: SlotMaker) -> SlotMaker:
    def make(names: Names) -> str:
        items = list(
            dict.fromkeys(maker(names) for _ in range(names.rng.choice((2, 2, 3, 3, 4, 5))))
        )
        if len(items) == 1:
            return items[0]
        joiner = names.rng.choice((" and ", " and ", " or "))
        return ", ".join(items[:-1]) + joiner + items[-1]

    return make


def _from(options: list[str]) -> SlotMaker:
    return lambda names: names.rng.choice(options)


def _definition(names: Names) -> str:
    rng = names.rng
    head = grammar.indefinite(
        names.thing() if rng.random() < 0.6 else rng.choice(lexicon.COMPONENTS)
    )
    draw = rng.random()
    if draw < 0.3:
        verb = rng.choice(grammar.verb_group(names))
        return f"{head} that {verb.third} {grammar.object_phrase(names).full}"
    if draw < 0.5:
        return f"{head} of {rng.choice(lexicon.NUMBER_WORDS)} {plural(names.thing())}"
    if draw < 0.7:
        return f"{head} for {plural(names.thing())}"
    if draw < 0.85:
        return f"{head} with {grammar.indefinite(grammar.thing_name(names))}"
    return f"{rng.choice(lexicon.ADJECTIVES)} {plural(names.thing())} in {head}"


_RELATIONS = """successor|predecessor|replacement|sister project|subset|alias|fork|target|origin|ancestor|
companion|opposite|counterpart|copy|variant|source|rival|partner|sponsor|guardian|neighbor|extension|
wrapper|fallback|substitute|namesake|core|result|cause|goal|trigger|symbol|shadow|host|guest|client|
supplier|reader|writer|leader|member|part|twin|backup|proxy|mirror|test|proof|limit|example|argument|
input|output|prefix|suffix|root|leaf|upper bound|lower bound|first step|last step|main use|best friend""".replace(
    "\n", ""
).split("|")

FAMILIES: list[Family] = [
    Family(
        "attribute",
        {"e": _entity, "n": _setting, "v": lambda names: names.value()},
        [
            "[(As far as we know|Today|At present|Officially|In practice), ]the {n} of {e} is {v}.",
            "{e} has (a|the) {n} of {v}[ (today|in this release|at the moment)].",
            "(For|With|In the case of) {e}, the {n} is [(now|currently|always|usually) ]{v}.",
            "The {n} of {e} (was|is|has been) (set|fixed|kept|raised|lowered|changed) (to|at) {v}[ last year| in the spring| by the team].",
            "{v} is the {n} (of|for) {e}.",
            "{e} (uses|takes|lists|gives|names|reports|has) {v} as (its|the) {n}.",
            "(In|For) {e}, the {n} (equals|amounts to|comes to|stays at|is) {v}.",
            "The {n} (given|listed|recorded|documented|published|noted) for {e} is {v}.",
            "{e} - {n}: {v}",
            "{e}: {n} = {v}",
            "{n} of {e}: {v}",
            "As (its|the) {n}, {e} has {v}.",
            "What {e} (uses|has) as (a|the) {n} is {v}.",
            "(Our|The) (notes|records|tables|tests|manuals) (say|show|state) that the {n} of {e} is {v}.",
            "{v} (serves|works|is used|is known|counts) as the {n} of {e}.",
            "The {n}, which {e} (needs|publishes|shares) with its (users|peers|clients), is {v}.",
            "{e} comes with {v} as {n}.",
            "(Users|Readers|Visitors) of {e} (will find|see|get) a {n} of {v}.",
            "Since (May|June|last year|version 2), {e} has had a {n} of {v}.",
            "{e} (runs|works|operates|is run) with a {n} of {v}.",
            "The {n} (that|which) {e} (uses|has|takes) is {v}.",
            "{e} sets (its|the) {n} to {v}.",
        ],
        {
            "v": [
                "(What|Which) is the {n} (of|for) {e}?",
                "What {n} does {e} (have|use|take)?",
                "Which {n} (is (listed|given|documented|recorded) for|belongs to) {e}?",
                "Which {n} does {e} have?",
                "What is {e}'s {n}?",
                "{e}: what is the {n}?",
                "For {e}, (what|which) is the {n}?",
                "(Give|Tell me|State|Name) the {n} of {e}.",
                "What value does the {n} of {e} have?",
                "What does {e} (use|have|take) as (its|the) {n}?",
                "(To what|At what) is the {n} of {e} set?",
                "{n} of {e}?",
                "What was the {n} of {e} set to?",
                "How (large|big|high|long) is the {n} of {e}?",
                "What is the {n} that {e} (uses|has)?",
            ]
        },
        ("e", "n"),
        weight=9,
    ),
    Family(
        "default",
        {"n": _setting, "v": lambda names: names.value()},
        [
            "[(Today|At present|As shipped|In this release), ]the default {n} is {v}.",
            "By default, the {n} is {v}[ (in this release|on all platforms|for new users)].",
            "The {n} (defaults to|is by default) {v}.",
            "(If|When) (nothing|no other value|none) is (given|set|passed|chosen), the {n} is {v}.",
            "Unless (you change it|told otherwise|it is set), the {n} is {v}.",
            "{v} is the default {n}.",
            "The {n} is {v} by default[, and few people change it].",
            "The {n} (starts at|begins at|is first) {v} unless (changed|configured).",
            "{n} (default: {v})",
            "Without an option, the {n} (is|stays) {v}.",
            "The {n} has a default (of|value of) {v}.",
            "(As|For) the {n}, the default is {v}.",
        ],
        {
            "v": [
                "What is the default {n}?",
                "What does the {n} default to?",
                "(Which|What) {n} is used by default?",
                "What is the {n} by default?",
                "(Which|What) is the default value of the {n}?",
                "How (large|big|long|high|much) is the default {n}?",
                "If I set nothing, what is the {n}?",
                "Which {n} do I get (by default|if I change nothing|without an option)?",
            ]
        },
        ("n",),
        weight=4,
    ),
    Family(
        "limit",
        {
            "e": lambda names: grammar.indefinite(grammar.thing_name(names)),
            "o": lambda names: plural(names.thing()),
            "v": lambda names: names.number(),
        },
        [
            "{e} (may|can|must not) (have|hold|contain|carry) (at most|no more than|up to|more than) {v} {o}.",
            "At most {v} {o} (fit in|are allowed in|go into|are kept in) {e}.",
            "The (largest|maximum) number of {o} in {e} is {v}.",
            "{e} is limited to {v} {o}.",
            "{e} (needs|must have|requires) (at least|no fewer than|a minimum of) {v} {o}.",
            "There are {v} {o} in {e}.",
            "{e} (has|holds|contains|consists of|is made of|comprises) {v} {o}.",
            "(Each|Every) time, {e} gets {v} {o}.",
        ],
        {
            "v": [
                "How many {o} (can|may|does|must) {e} (have|hold|contain)?",
                "How many {o} (are in|fit in|are there in) {e}?",
                "What is the number of {o} in {e}?",
            ]
        },
        ("e", "o"),
        weight=2.5,
    ),
    Family(
        "measure",
        {"n": _setting, "e": _entity, "v": lambda names: names.quantity()},
        [
            "{e} (waits|sleeps|pauses|runs) {v} (before|after|for) the {n} (changes|is read).",
            "The {n} of {e} (may not exceed|is at most|never exceeds|is capped at|can reach|stays under) {v}.",
            "The {n} of {e} is (at least|never below|no less than|more than) {v}.",
            "The (maximum|minimum|average|usual|median) {n} of {e} is {v}.",
            "(On average|Usually|Normally), {e} reaches a {n} of {v}.",
        ],
        {
            "v": [
                "(How|What) (long|large|much|high|great) is the {n} of {e}?",
                "What is the (limit|bound|value) (of|for) the {n} of {e}?",
                "How much {n} does {e} (have|allow|reach)?",
                "What {n} does {e} (have|allow|reach)?",
            ]
        },
        ("n", "e"),
        weight=1.2,
    ),
    Family(
        "command",
        {"c": _tick(lambda names: names.command()), "a": _base_action},
        [
            "(Run|Use|Call|Type|Try) {c} to {a}.",
            "To {a}, (run|use|call|type|enter) {c}.",
            "{c} is (how|the way) (you|to) {a}.",
            "With {c}, (you|users|developers) can {a}.",
            "If you (want|need|wish|have) to {a}, (run|use|there is) {c}.",
            "(You|Anyone) can {a} with {c}.",
            "The command {c} (lets|helps) you {a}.",
            "- {c}: {a}",
            "{c}   # {a}",
            "{c} is the command to {a}.",
            "It takes one command to {a}: {c}.",
            "{a} with {c}.",
            "{a} (by running|using) {c}.",
            "First, {a} with {c}, then go on.",
        ],
        {
            "c": [
                "Which command (should I run|do I need|is used|lets me|can I use) to {a}?",
                "How (do|can) (I|you|we) {a}?",
                "What (should|must|do|can) I (run|use|type) to {a}?",
                "What is the command to {a}?",
                "How to {a}?",
                "With which command can I {a}?",
            ],
            "a": ["What (is {c} (for|used for)|can I do with {c}|does {c} let me do)?"],
        },
        ("c", "a"),
        weight=3,
    ),
    Family(
        "command_block",
        {"c": lambda names: names.command() + names.rng.choice(("", "", f" {names.word()}", f" {names.flag()}", f" {names.file_path()}")), "a": _base_action},
        [
            "To {a}[, run]:\n\n```[bash|sh|console]\n[$ ]{c}\n```",
            "{a}:\n\n```[bash]\n{c}\n```",
            "```[bash]\n{c}    # {a}\n```",
            "(You can|One may|Users) {a} (so|like this|with this command):\n\n```\n{c}\n```",
        ],
        {
            "c": [
                "Which command (should I run|do I need|is used|lets me) to {a}?",
                "How (do|can) (I|we) {a}?",
                "What (should|must|do) I (run|type) to {a}?",
                "What is the command to {a}?",
            ],
        },
        ("c", "a"),
        weight=1,
    ),
    Family(
        "allowed",
        {"o": lambda names: plural(grammar.thing_name(names)), "t": lambda names: names.thing(), "v": lambda names: names.number()},
        [
            "[At most |No more than |Up to |At least |Only ]{v} {o} (are allowed|are accepted|are kept|are needed|can be used|are read) (per|for each|in each) {t}.",
            "(A|Each|Every) {t} (may|can|must) (have|hold|name|carry) [at most |up to |at least ]{v} {o}.",
            "The number of {o} per {t} is [limited to ]{v}.",
            "Per {t}, {v} {o} (are allowed|can be used|are kept).",
        ],
        {"v": ["How many {o} (are allowed|are accepted|are kept|are needed|can be used) (per|for each|in each) {t}?", "How many {o} (can|may|must) a {t} have?", "What is the (maximum|largest|allowed) number of {o} per {t}?"]},
        ("o", "t"),
        weight=1.2,
    ),
    Family(
        "state",
        {"o": lambda names: _things(names) if names.rng.random() < 0.7 else plural(names.rng.choice(lexicon.COMPONENTS)), "s": _from("supported|not supported|not supported yet|unsupported|experimental|deprecated|optional|required|not required|planned|tested|refused|not reachable|not available|available|forbidden|allowed|not allowed|enabled|disabled|on by default|off by default|turned off|in use|not used|safe|unsafe".split("|")), "t": _things, "m": lambda names: names.rng.choice(("", "", "", f" on {names.rng.choice(lexicon.PLATFORMS)}", f" in {names.name()}"))},
        ["{o} are [still |now |also |currently ]{s}{m}.", "At present, {o} are {s}{m}.", "- {o}: {s}", "| {o} | {s} |", "{o} and {t} are {s}{m}.", "{t} and {o} are {s}{m}."],
        {"s": ["Are {o} (supported|allowed|available|used|required|safe|enabled|tested|planned)?", "What is the (state|status) of {o}?", "Can I use {o}?", "Does it (support|allow|use) {o}?"]},
        ("o",),
        weight=1.5,
        derived={},
    ),
    Family(
        "duration",
        {"e": _entity, "v": lambda names: f"{names.number()} {names.rng.choice(lexicon.TIME_UNITS)}" if names.rng.random() < 0.7 else f"{names.rng.choice(('one', 'a half', 'a quarter of a'))} {names.rng.choice(('second', 'minute', 'hour', 'day'))}", "t": lambda names: names.thing()},
        ["{e} (takes|may take|can take|lasts|needs|has|may run|waits) [at most |about |up to |at least ]{v}[ per {t}].", "[Per {t}, ]{e} (takes|may take|needs) {v}.", "It takes {v} (to run|until) {e}[ is ready].", "{v} (is|are) what {e} (may take|needs)."],
        {"v": ["How (long|much time) (does|may|can|will) {e} (take|need|run|last|wait)[ per {t}]?", "How long does it take (to run|until) {e}[ is ready]?", "What time does {e} (take|need)?"]},
        ("e",),
        weight=1,
    ),
    Family(
        "also",
        {"c": lambda names: grammar.code_phrase(names).full if names.rng.random() < 0.6 else _component(names), "d": lambda names: grammar.code_phrase(names).full, "p": lambda names: grammar.indefinite(grammar.thing_name(names)) if names.rng.random() < 0.5 else f"`{names.class_name()}`"},
        ["{c} is also [known as ]{p}.", "{c} (counts as|is another name for|is an alias of|doubles as|is the same as) {p}.", "{c} and {p} are the same thing.", "{c} and {d} are also [both ]{p}.", "{d} and {c} (are also|count as) {p}."],
        {"p": ["What is {c} also?", "What else is {c}?", "What (does {c} count as|is {c} another name for|is the same as {c})?", "As what does {c} count?"]},
        ("c",),
        weight=0.8,
    ),
    Family(
        "which_kind",
        {"j": lambda names: names.rng.choice((*lexicon.ADJECTIVES, *lexicon.MODIFIERS, *lexicon.COLORS)), "o": lambda names: plural(names.thing()), "p": lambda names: names.rng.choice(grammar.verb_group(names)).participle, "m": lambda names: names.rng.choice(("", "", "", f" {_ADJUNCTS[names.rng.choice(('when', 'where'))](names)}"))},
        [
            "[Only |All ]{j} {o} (are|can be|may be|must be|will be|get) {p}{m}.",
            "(We|You) can {p} nothing but {j} {o}.",
            "(It is|These are) only {j} {o} that are {p}{m}.",
            "{j} {o} (alone|only|and nothing else) are {p}{m}.",
        ],
        {"w": ["(Which|What|What kind of|Which kind of) {o} (are|can be|may be|get) {p}?", "Which are the {o} that are {p}?"]},
        ("o", "p"),
        weight=1.2,
        derived={"w": "{j} {o}"},
    ),
    Family(
        "relation_noun",
        {"x": _entity, "r": lambda names: names.rng.choice(_RELATIONS) if names.rng.random() < 0.85 else names.word(), "e": _entity},
        [
            "{x} is (the|a) {r} of {e}.",
            "The {r} of {e} is {x}.",
            "{e} (has|takes|names|knows) {x} as [its ]{r}.",
            "{e}'s {r} is {x}.",
            "{x} (acts|serves|works) as {r} (of|for|to) {e}.",
            "For {e}, the {r} is {x}.",
        ],
        {
            "x": ["(What|Which) is the {r} of {e}?", "What (serves|acts|works) as {r} (of|for|to) {e}?", "What is {e}'s {r}?", "Which one is the {r} of {e}?", "What does {e} have as {r}?"],
            "e": ["Of what is {x} the {r}?", "{x} is the {r} of what?", "What has {x} as [its ]{r}?"],
        },
        ("x", "r", "e"),
        weight=1.5,
    ),
    Family(
        "environment",
        {"c": _tick(lambda names: names.environment_variable()), "n": _setting},
        [
            "{c} (sets|holds|gives|controls|overrides|chooses|names|defines) the {n}.",
            "The {n} is (set|read|taken|given|chosen|controlled) (by|from|through) {c}.",
            "The {n} can be (set|changed|overridden|configured) with {c}.",
            "(Set|Use|Export) {c} to (set|change|choose|override) the {n}.",
            "To (change|set|choose) the {n}, (set|export|define) {c}.",
            "| {c} | {n} |",
            "- {c}: the {n}",
            "The variable {c} (stands for|sets) the {n}.",
        ],
        {
            "c": [
                "Which environment variable (sets|holds|controls|changes|chooses|is for) the {n}?",
                "Which variable (sets|holds|controls) the {n}?",
                "How (can|do) I (set|change|choose|configure) the {n}?",
                "What (sets|controls|changes) the {n}?",
                "Where does the {n} come from?",
                "With which (variable|setting) is the {n} (set|changed)?",
            ],
            "n": ["What does {c} (set|control|hold|do|mean)?", "What is {c} for?", "What is set by {c}?"],
        },
        ("c", "n"),
        weight=2,
    ),
    Family(
        "option",
        {"c": _tick(lambda names: names.flag() if names.rng.random() < 0.6 else names.identifier()), "n": _setting, "v": lambda names: names.value()},
        [
            "{c} (sets|controls|limits|chooses|is) the {n} and defaults to {v}.",
            "{c} (sets|gives) the {n}; (its default|the default value) is {v}.",
            "| {c} | {n} | {v} |",
            "- {c}: the {n} (default {v})",
            "The {n} is (set|chosen|given) with {c}, which is {v} by default.",
            "(Pass|Give|Add|Set) {c} to (change|set) the {n} from {v} to something else.",
            "{c} - {n}, {v} if not given.",
        ],
        {
            "c": [
                "Which (option|flag|argument|parameter|setting) (sets|controls|changes|is for) the {n}?",
                "How (can|do) I (set|change) the {n}?",
                "With which option is the {n} (set|changed|chosen)?",
            ],
            "v": [
                "What is the default (of|for|value of) {c}?",
                "What does {c} default to?",
                "What value does {c} have by default?",
                "If I do not pass {c}, (what is used|which value is used)?",
            ],
            "n": ["What does {c} (set|control|do|change)?", "What is {c} for?"],
        },
        ("c", "n"),
        weight=2,
    ),
    Family(
        "file",
        {"f": _tick(lambda names: names.file_path()), "o": lambda names: f"the {_things(names) if names.rng.random() < 0.5 else _setting(names)}"},
        [
            "{f} (holds|contains|keeps|stores|has|lists|describes|defines) {o}.",
            "{o} (live|lives|are kept|is kept|are stored|is stored|stay|can be found|are written|is defined) in {f}.",
            "(Look|See|Read) in {f} for {o}.",
            "You (find|will find|can find) {o} in {f}.",
            "For {o}, (see|read|open|edit) {f}.",
            "- {f}: {o}",
            "{f}    {o}",
            "The file (with|for) {o} is {f}.",
            "To (change|read|edit) {o}, open {f}.",
        ],
        {
            "f": [
                "Which file (holds|contains|has|stores|keeps|defines|is for) {o}?",
                "Where (are|is|do I find|can I find) {o}[ (kept|stored|defined)]?",
                "In which file (are|is|do I find) {o}?",
                "Which (module|page|file) should I (open|read) for {o}?",
            ],
            "o": ["What does {f} (hold|contain|have|store|define)?", "What is in {f}?", "What (do|can) I find in {f}?"],
        },
        ("f", "o"),
        weight=2.5,
    ),
    Family(
        "requirement",
        {"e": _entity, "l": lambda names: names.rng.choice(lexicon.LANGUAGES) if names.rng.random() < 0.5 else names.name(), "x": lambda names: f"{names.version()}{names.rng.choice(('', '', ' or newer', ' or later', '+', ' and above'))}"},
        [
            "{e} (needs|requires|wants|depends on|is built with|runs on|works with|is tested with|supports) {v}.",
            "To (run|use|install|build) {e}, you need {v}.",
            "{v} is (needed|required) (by|for) {e}.",
            "You (need|must have) {v} (for|to use|to run) {e}.",
            "{e} (does not work|will not run|fails) without {v}.",
            "Before you install {e}, (get|install) {v}.",
        ],
        {
            "v": [
                "What does {e} (need|require|depend on)?",
                "What (is needed|is required|do I need) (for|to run|to use|to install) {e}?",
                "(Which version|What) does {e} (need|require|support)?",
                "What must (I|be) (install|installed) (before|for) {e}?",
                "On (what|which version) does {e} (run|depend)?",
                "Which {l} version does {e} (need|require)?",
                "(Which|What) version of {l} (does {e} need|is needed for {e}|do I need for {e})?",
                "Which {l} (does {e} need|do I need for {e})?",
            ]
        },
        ("e",),
        weight=1.8,
        derived={"v": "{l} {x}"},
    ),
    Family(
        "support",
        {"e": _entity, "v": _list(_from([p for p in lexicon.PLATFORMS if not p.startswith("a ")]))},
        [
            "{e} (runs|works|is available|is tested|has been tested|is supported) on {v}.",
            "{e} supports {v}.",
            "{v} (is|are) supported by {e}.",
            "You can use {e} on {v}.",
            "Supported (platforms|systems) of {e}: {v}.",
            "{e} is (made|built|meant) for {v}.",
        ],
        {
            "v": [
                "On (which|what) (platforms|systems) does {e} (run|work)?",
                "Where does {e} run?",
                "(Which|What) (platforms|systems) does {e} support?",
                "(Which|What) (platforms|systems) are supported by {e}?",
                "Where can I (run|use) {e}?",
                "What does {e} run on?",
            ]
        },
        ("e",),
        weight=1.2,
    ),
    Family(
        "kinds",
        {"k": lambda names: f"{names.rng.choice(('', grammar.component_name(names) + ' '))}{names.rng.choice(('modes', 'methods', 'formats', 'levels', 'types', 'kinds', 'commands', 'options', 'policies', 'backends', 'states', 'steps', 'layers', 'parts', 'files', 'roles', 'strategies', 'schemes'))}",
         "v": _list(lambda names: names.rng.choice((names.identifier, names.word, lambda: f"`{names.identifier()}`", lambda: names.rng.choice(lexicon.WORDS), lambda: names.rng.choice(lexicon.FORMATS), lambda: grammar.thing_name(names)))())},
        [
            "The [(supported|available|known|possible|three|four) ]{k} are {v}.",
            "There are (several|two|three|four|five) {k}: {v}.",
            "{v} are the {k}.",
            "(Choose|Pick|Select) one of the {k}: {v}.",
            "The {k} can be {v}.",
            "{k}: {v}",
            "It (knows|has|supports|offers) these {k}: {v}.",
        ],
        {
            "v": [
                "(What|Which) {k} are there?",
                "(What|Which) are the {k}?",
                "(What|Which) {k} (are (supported|available|known)|exist|can I choose)?",
                "(Name|List) the {k}.",
            ]
        },
        ("k",),
        weight=1.5,
    ),
    Family(
        "definition",
        {"d": lambda names: grammar.indefinite(f"{names.rng.choice((*lexicon.MODIFIERS, *lexicon.ADJECTIVES))} {(names.thing() if names.rng.random() < 0.6 else names.rng.choice(lexicon.COMPONENTS))}") if names.rng.random() < 0.6 else names.name(),
         "v": _definition},
        [
            "{d} is {v}.",
            "{d} (means|denotes|stands for|refers to) {v}.",
            "(We call|By definition,) {d} [is ]{v}.",
            "{d}: {v}",
            "(In|On) (this page|these docs|short), {d} is {v}.",
            "{d} is (simply|nothing but|essentially|usually|basically) {v}.",
            "{v} is what we call {d}.",
            "{d} (can be seen|is defined|works|acts|serves) as {v}.",
        ],
        {
            "v": [
                "What is {d}?",
                "What (does {d} mean|is meant by {d}|does {d} stand for)?",
                "(Define|Explain) {d}.",
                "How is {d} defined?",
            ],
        },
        ("d",),
        weight=2,
    ),
    Family(
        "made",
        {"e": lambda names: names.name(), "p": lambda names: names.person() if names.rng.random() < 0.7 else names.name(), "t": lambda names: names.date(), "l": lambda names: names.word_capital()},
        [
            "{p} (founded|started|created|built|designed|opened|wrote|launched) {e} in {t}[ in {l}].",
            "{e} was (founded|started|created|built|designed|opened|written|launched) (by {p} in {t}|in {t} by {p}).",
            "In {t}, {p} (founded|started|created|built|designed|opened|launched) {e}.",
            "{e}, (founded|started|created|designed|written) by {p}, (dates from|goes back to|appeared in|came out in) {t}.",
            "{p} is (the founder|the creator|the designer|the author) of {e}, (which began|begun|started) in {t}.",
            "It was {p} who (founded|created|designed|started) {e}, in {t}.",
        ],
        {
            "p": [
                "Who (founded|started|created|built|designed|opened|wrote|launched|made|is behind) {e}?",
                "By whom was {e} (founded|created|built|designed|written|made|started)?",
                "Who is the (founder|creator|designer|author) of {e}?",
            ],
            "t": [
                "When was {e} (founded|created|built|designed|opened|written|launched|made|started)?",
                "In (which|what) year was {e} (founded|created|started|built|made)?",
                "When did {p} (found|create|start|build|design|make) {e}?",
                "Since when has {e} existed?",
            ],
        },
        ("e",),
        weight=1.5,
    ),
    Family(
        "role",
        {"p": lambda names: names.person(), "r": lambda names: names.rng.choice(("maintainer", "director", "editor", "owner", "chair", "lead developer", "chief engineer", "head", "manager", "contact person", "release manager", "mayor", "captain", "treasurer", "reviewer")), "e": _entity},
        [
            "{p} (is|became|was named|serves as|works as) (the|a) {r} of {e}[ last year].",
            "The {r} of {e} is {p}.",
            "{e} (has|chose|named|hired) {p} as [its ]{r}.",
            "As {r} of {e}, {p} (answers|decides|signs) (questions|releases|letters).",
            "{p}, {r} of {e}, (spoke first|wrote the report|was there).",
        ],
        {
            "p": [
                "Who is the {r} of {e}?",
                "Who (became|serves as|works as|was named) {r} of {e}?",
                "What is the name of the {r} of {e}?",
                "Who is {e}'s {r}?",
            ],
            "r": ["What is the role of {p} (at|in) {e}?", "What (position|role|job) does {p} have at {e}?"],
        },
        ("p", "r", "e"),
        weight=1,
    ),
    Family(
        "place",
        {"e": lambda names: names.name(), "l": lambda names: names.word_capital()},
        [
            "{e} (is|lies|stands|is located|is based|can be found) (in|near) {l}.",
            "The (head office|main site|home|centre) of {e} is in {l}.",
            "In {l}, (you find|there is|visitors see) {e}.",
            "{l} is (home to|the home of|the seat of) {e}.",
            "{e} moved to {l} (last year|in 1998|after the war|in spring).",
        ],
        {
            "l": ["Where is {e}[ located| based]?", "In which (place|city|town) is {e}?", "Where can (I|one) find {e}?", "Where did {e} move?"],
        },
        ("e",),
        weight=0.7,
    ),
    Family(
        "returns",
        {"c": _tick(lambda names: names.function()), "o": lambda names: grammar.object_phrase(names).full if names.rng.random() < 0.7 else f"`{names.quoted_literal()}`"},
        [
            "{c} (returns|gives|yields|gives back|hands back|produces|answers with) {o}[ (on success|when it is done|to the caller)].",
            "The (result|return value|output) of {c} is {o}.",
            "{o} is (returned|given back|yielded|produced) by {c}.",
            "(Calling|A call of|A call to) {c} (returns|gives|yields) {o}.",
            "{c} -> {o}",
            "You get {o} from {c}.",
        ],
        {
            "o": [
                "What does {c} (return|give|yield|produce|give back)?",
                "What is the (result|return value|output) of {c}?",
                "What is returned by {c}?",
                "What do I get from {c}?",
            ],
            "c": ["(Which (function|method|call)|What) (returns|gives|yields|produces) {o}?", "By (which function|what) is {o} returned?"],
        },
        ("c", "o"),
        weight=1.5,
    ),
    Family(
        "instead",
        {"a": lambda names: grammar.object_phrase(names).full if names.rng.random() < 0.4 else f"`{names.identifier()}`", "b": lambda names: f"`{names.identifier()}`" if names.rng.random() < 0.6 else grammar.object_phrase(names).full},
        [
            "(Use|Prefer|Choose|Take|Write) {a} (instead of|rather than|in place of|over) {b}.",
            "Instead of {b}, (use|prefer|take|write) {a}.",
            "{a} (takes the place of|is used in place of|stands in for) {b}.",
            "{a} is (preferred to|better than|faster than) {b}.",
        ],
        {
            "a": [
                "What should I use instead of {b}?",
                "What (takes the place of|is used instead of|is preferred to|is better than) {b}?",
                "Instead of {b}, what (should be|is) used?",
            ],
        },
        ("b",),
        weight=0.8,
    ),
    Family(
        "format",
        {"e": lambda names: f"the {_things(names)}" if names.rng.random() < 0.6 else _things(names), "v": _from(lexicon.FORMATS)},
        [
            "{e} are (written|stored|saved|kept|encoded|sent|exported|delivered) (as|in) {v}.",
            "{e} (use|have) the {v} format.",
            "The format of {e} is {v}.",
            "We (write|store|save|send) {e} (as|in) {v}.",
            "{v} is the format of {e}.",
            "{e} come in {v}.",
        ],
        {
            "v": [
                "In (which|what) (format|form) are {e}[ (written|stored|saved|sent)]?",
                "(Which|What) format do {e} (use|have|come in)?",
                "What is the format of {e}?",
                "How are {e} (written|stored|saved|encoded)?",
            ]
        },
        ("e",),
        weight=0.9,
    ),
    Family(
        "cost",
        {"e": _entity, "v": lambda names: f"{names.rng.choice(('$', '€', ''))}{names.rng.randint(1, 9999)}{names.rng.choice(('', ' coins', ' dollars', ' a month', ' per user', ' credits'))}"},
        [
            "{e} (costs|is sold for|is priced at|sells at) {v}.",
            "(You pay|Buyers pay|We paid) {v} for {e}.",
            "The price of {e} is {v}.",
            "For {v}, you get {e}.",
        ],
        {"v": ["How much does {e} cost?", "What does {e} cost?", "What (is|was) the price of {e}?", "How much (do|must) I pay for {e}?"]},
        ("e",),
        weight=0.6,
    ),
    Family(
        "purpose_of",
        {"e": lambda names: grammar.code_phrase(names).full if names.rng.random() < 0.5 else _component(names), "a": _base_action},
        [
            "{e} is (there|used|meant|needed|made|designed) to {a}.",
            "The (job|purpose|task|role|point) of {e} is to {a}.",
            "{e} exists to {a}.",
            "{e} (helps|lets) (you|users|callers) {a}.",
            "To {a} is (the task|the job) of {e}.",
            "We (use|need|added) {e} (to|in order to) {a}.",
        ],
        {
            "a": [
                "What is {e} (for|used for|there for|meant for)?",
                "What is the (purpose|job|task|role|point) of {e}?",
                "Why (does {e} exist|do we need {e}|is there {e})?",
                "What does {e} (help|let) (me|users) do?",
            ],
            "e": ["What is (used|needed|there|meant) to {a}?", "What (can I use|do I use|helps me) to {a}?"],
        },
        ("e", "a"),
        weight=1.5,
    ),
    Family(
        "order",
        {"a": lambda names: f"the {grammar.thing_name(names)}", "b": lambda names: f"the {grammar.thing_name(names)}"},
        [
            "{a} (comes|is read|is sent|runs|goes|is checked) before {b}.",
            "{b} (comes|is read|is sent|runs|goes|is checked) after {a}.",
            "First comes {a}, then {b}.",
            "{a} is followed by {b}.",
        ],
        {
            "a": ["What (comes|is|goes|runs) before {b}?", "What is followed by {b}?", "What precedes {b}?"],
            "b": ["What (comes|is|goes|runs) after {a}?", "What follows {a}?"],
        },
        ("a", "b"),
        weight=0.8,
    ),
    Family(
        "since",
        {"c": lambda names: grammar.code_phrase(names).full if names.rng.random() < 0.6 else _component(names), "v": lambda names: f"version {names.version()}"},
        [
            "{c} was (added|introduced|first shipped|new|removed|deprecated|renamed) in {v}.",
            "{c} (exists|has been available|is available|is there) since {v}.",
            "{v} (added|introduced|brought|removed|deprecated) {c}.",
            "Since {v}, {c} (is|has been) (available|on|stable|public).",
            "(New|Changed|Added) in {v}: {c}.",
        ],
        {"v": ["In which version was {c} (added|introduced|removed|deprecated|changed)?", "Since (when|which version) (is|does) {c} (available|exist)?", "When was {c} (added|introduced|removed|deprecated)?", "Which version (added|introduced|brought|removed) {c}?"]},
        ("c",),
        weight=1,
    ),
]  # fmt: skip

HELD_OUT: list[Family] = [
    Family(
        "inherits",
        {
            "c": _tick(lambda names: names.class_name()),
            "p": _tick(lambda names: names.class_name()),
        },
        ["{c} inherits from {p}.", "It is {p} that {c} inherits from."],
        {
            "p": ["From which class does {c} inherit?", "What does {c} inherit from?"],
            "c": ["Which class inherits from {p}?"],
        },
        ("c", "p"),
    ),
    Family(
        "base_class",
        {
            "c": _tick(lambda names: names.class_name()),
            "p": _tick(lambda names: names.class_name()),
        },
        ["{p} is the base class of {c}.", "As base class, {c} has {p}."],
        {"p": ["What is the base class of {c}?", "Which base class does {c} have?"]},
        ("c", "p"),
    ),
    Family(
        "belongs",
        {"o": lambda names: f"the {grammar.thing_name(names)}", "e": lambda names: names.name()},
        ["{o} belongs to {e}.", "To {e} belongs {o}."],
        {
            "e": ["To whom does {o} belong?", "Who does {o} belong to?"],
            "o": ["What belongs to {e}?"],
        },
        ("o", "e"),
    ),
    Family(
        "listens",
        {"e": _component, "v": lambda names: f"port {names.rng.randint(20, 65000)}"},
        ["{e} listens on {v}.", "On {v} listens {e}."],
        {
            "v": ["On which port does {e} listen?", "Which port does {e} listen on?"],
            "e": ["What listens on {v}?"],
        },
        ("e", "v"),
    ),
    Family(
        "old_name",
        {
            "a": _tick(lambda names: names.identifier()),
            "b": _tick(lambda names: names.identifier()),
        },
        ["The old name of {a} is {b}.", "{b} is the old name of {a}."],
        {"b": ["What is the old name of {a}?", "Which old name does {a} have?"]},
        ("a", "b"),
    ),
    Family(
        "scores",
        {
            "e": lambda names: names.name(),
            "v": lambda names: f"{names.rng.randint(10, 99)}.{names.rng.randint(0, 9)}",
            "t": lambda names: names.name(),
        },
        ["{e} scores {v} on {t}.", "On {t}, {e} scores {v} points."],
        {"v": ["What does {e} score on {t}?", "How much does {e} score on {t}?"]},
        ("e", "t"),
    ),
    Family(
        "turns",
        {
            "e": _component,
            "a": lambda names: plural(names.thing()),
            "b": lambda names: plural(grammar.thing_name(names)),
        },
        ["{e} turns {a} into {b}.", "Into {b}, {e} turns {a}."],
        {"b": ["Into what does {e} turn {a}?", "What does {e} turn {a} into?"]},
        ("e", "a"),
    ),
    Family(
        "warranty",
        {"e": lambda names: names.name(), "v": lambda names: names.quantity()},
        [
            "A repair of {e} takes {v}.",
            "It takes {v} to repair {e}.",
            "To repair {e}, it takes {v}.",
        ],
        {"v": ["How long does a repair of {e} take?", "How long does it take to repair {e}?"]},
        ("e",),
    ),
]

# The question uses other words than the statement: knowledge of English that training does not give.
HELD_OUT_REWORDED: list[Family] = [
    Family(
        "parent",
        {"c": _tick(lambda names: names.class_name()), "p": _tick(lambda names: names.class_name())},
        ["{c} is a subclass of {p}.", "{p} is the parent of {c}."],
        {"p": ["What does {c} extend?", "From what does {c} derive?"]},
        ("c",),
    ),
    Family(
        "property",
        {"o": lambda names: f"the {grammar.thing_name(names)}", "e": lambda names: names.name()},
        ["{o} is the property of {e}.", "{e} is in possession of {o}."],
        {"e": ["To whom does {o} belong?", "Whose is {o}?"]},
        ("o", "e"),
    ),
    Family(
        "called",
        {"a": _tick(lambda names: names.identifier()), "b": _tick(lambda names: names.identifier())},
        ["{a} was once called {b}.", "{b} got the new name {a}."],
        {"b": ["What is the former name of {a}?"]},
        ("a", "b"),
    ),
    Family(
        "becomes",
        {"e": _component, "a": lambda names: plural(names.thing()), "b": lambda names: plural(grammar.thing_name(names))},
        ["{a} go into {e} and come out as {b}.", "Out of {a}, {e} makes {b}."],
        {"b": ["Into what does {e} turn {a}?", "What do {a} become in {e}?"]},
        ("e", "a"),
    ),
]  # fmt: skip


# ---------------------------------------------------------------- actions: subject, verb, object, adjunct


_ACTIVE = [
    "{S} {v} {O}{A}.", "{S} {v} {O}{A}.",
    "{S} {v} {O}{A}.", "{S} {v} {O}{A}.", "{S} {v} {O}{A}.", "{A1}{S} {v} {O}.",
    "{S} (can|will|must|may|should|is able to|has to) {base} {O}{A}.",
    "It is {S} that {v3} {O}{A}.",
    "{S} is (responsible for|in charge of|used for|capable of|good at) {ing} {O}{A}.",
    "{ing} {O} is (the job|the task|a task|part of the work) of {S}.",
    "The (job|task|role|purpose) of {S} is to {base} {O}{A}.",
    "What {v3} {O} is {S}.",
    "{S}, (among other things|as its name says|like most parts), {v} {O}{A}.",
    "{S} - {v} {O}{A}", "- {S}: {v} {O}{A}",
]  # fmt: skip
_PASSIVE = [
    "{O} {be} {pp} by {S}{A}.", "{O} {be} {pp} by {S}{A}.", "{A1}{O} {be} {pp} by {S}.",
    "{O} (can|will|must|may|should) be {pp} by {S}{A}.",
    "{O} (gets|is to be|needs to be|has to be) {pp} by {S}{A}.",
]  # fmt: skip
_AGENTLESS = [
    "{O} {be} {pp}{A}.", "{O} {be} {pp}{A}.", "{A1}{O} {be} {pp}.",
    "{O} (can|will|must|may|should) [only |always |never ]be {pp}{A}.",
    "{O} {be} (always|never|only|usually|first|then) {pp}{A}.", "We {base} {O}{A}.", "You (can|should|must) {base} {O}{A}.",
    "(Always|Never) {base} {O}{A}.",
]  # fmt: skip
_VP = [
    "{S} {v} {O} and {v2} {O2}{A}.",
    "{A1}{S} {v} {O} and {v2} {O2}.",
    "{S} both {v} {O} and {v2} {O2}.",
    "- {S}: {v} {O} and {v2} {O2}",
]
_ASK_OBJECT = [
    "What (does|can|will|must) {S} {qbase}?", "What is {qpp} by {S}?", "What gets {qpp} by {S}?",
    "What is it that {S} {qv3}?",
]  # fmt: skip
_ASK_OBJECT_ADJUNCT = [
    "What is {qpp} {A}?", "What gets {qpp} {A}?", "{A1}what is {qpp}?", "What (must|can|should|will) be {qpp} {A}?",
    "Which thing is {qpp} {A}?",
]  # fmt: skip
_ASK_OBJECT_BOTH = [
    "What does {S} {qbase} {A}?",
    "{A1}what does {S} {qbase}?",
    "What is {qpp} by {S} {A}?",
]
_ASK_SUBJECT = [
    "{W} {qv3} {Q}?", "{W} {qv3} {Q}?", "By {w} {qbe} {Q} {qpp}?", "{W} is (responsible for|in charge of|used for) {qing} {Q}?",
    "{W} (can|will|must|may) {qbase} {Q}?", "{W} is used to {qbase} {Q}?", "{W} takes care of {qing} {Q}?",
    "{W} (do I use|should I use|lets me use|is there) to {qbase} {Q}?", "{W} {qv3} {Q}?",
]  # fmt: skip
_ASK_VERB = [
    "What does {S} do?",
    "What is {S} doing?",
    "(Tell me|Say) what {S} does.",
    "What does {S} do {A}?",
    "What is the (job|task|role) of {S}?",
]
_ASK_EVENT = [
    "What happens {A}?",
    "What (is done|takes place|goes on) {A}?",
    "{A1}what happens?",
    "What will happen {A}?",
]
_ASK_ADJUNCT = [
    "{H} {qbe} {Q} {qpp}?",
    "{H} {qbe} {Q} {qpp}?",
    "{H} (can|should|must|will) {Q} be {qpp}?",
    "{H} is it that {Q} {qbe} {qpp}?",
]
_ASK_ADJUNCT_ACTIVE = [
    "{H} (does|will|can) {S} {qbase} {Q}?",
    "{H} does {S} {qbase} {Q}?",
    "{H} is it that {S} {qv3} {Q}?",
]
_ASK_ADJUNCT_YOU = ["{H} (do|can|should|must) (I|we|you) {qbase} {Q}?"]
_HEADS = {
    "when": ("When", "When", "When", "At (what|which) (moment|point|time)", "In which case"),
    "often": ("How often", "How often", "At what interval"),
    "where": ("Where", "Where", "Where", "In (which|what) place"),
    "how": ("How", "How", "In (what|which) way", "By what means"),
    "why": ("Why", "For what purpose", "To what end", "What for"),
}  # fmt: skip
_ADJUNCTS = {
    "when": lambda names: names.rng.choice(grammar.event_forms(names)),
    "often": grammar.frequency,
    "where": grammar.place,
    "how": grammar.manner,
    "why": grammar.purpose,
}


def _compiled(patterns: list[str]) -> list:
    return [compile_pattern(text) for text in patterns]


def _where_head(adjunct: str, rng: random.Random) -> str | None:
    """Ask for the thing in a place: ``on the engine thread`` -> ``On which thread``."""
    words = adjunct.split()
    if len(words) < 3 or words[1] != "the" or not words[-1].isalpha() or rng.random() < 0.7:
        return None
    return f"{words[0].capitalize()} {rng.choice(('which', 'what'))} {words[-1]}"


class Actions:
    """Makes facts of the form "who does what to what, when, where, how, why"."""

    name = "action"
    weight = 20.0
    keys = ("S", "VO")

    def __init__(self) -> None:
        self._active, self._passive = _compiled(_ACTIVE), _compiled(_PASSIVE)
        self._agentless, self._double = _compiled(_AGENTLESS), _compiled(_VP)
        self._object, self._subject = _compiled(_ASK_OBJECT), _compiled(_ASK_SUBJECT)
        self._object_adjunct, self._object_both = (
            _compiled(_ASK_OBJECT_ADJUNCT),
            _compiled(_ASK_OBJECT_BOTH),
        )
        self._verb, self._event = _compiled(_ASK_VERB), _compiled(_ASK_EVENT)
        self._adjunct, self._adjunct_active = (
            _compiled(_ASK_ADJUNCT),
            _compiled(_ASK_ADJUNCT_ACTIVE),
        )
        self._adjunct_you = _compiled(_ASK_ADJUNCT_YOU)
        self._heads = {kind: _compiled(list(texts)) for kind, texts in _HEADS.items()}

    def make(self, names: Names, fixed: dict | None = None) -> Fact:
        rng, fixed = names.rng, fixed or {}
        subject = fixed.get("S") or grammar.subject_phrase(names)
        verbs, thing = fixed.get("VO") or (grammar.verb_group(names), _objects(names))
        verb = rng.choice(verbs)
        adjuncts = self._adjuncts_of(names)
        draw = rng.random()
        agentless = bool(adjuncts) and draw < 0.35
        second = None
        if not agentless and draw > 0.88 and not subject.is_plural:
            second = (rng.choice(grammar.verb_group(names)), grammar.object_phrase(names))
        patterns = self._agentless if agentless else self._active if draw < 0.75 else self._passive
        if second:
            patterns = self._double
        past = rng.random() < 0.1 and not second
        joined = rng.choice((" ", " ", ", ")).join(text for _, text in adjuncts)
        slots = {
            "S": subject.full, "O": thing.full, "v": verb.past if past else subject.agree(verb),
            "v3": verb.past if past else verb.third, "base": verb.base, "ing": verb.gerund,
            "pp": verb.participle, "be": ("were" if thing.is_plural else "was") if past else thing.be(),
            "A": f" {joined}" if joined else "", "A1": f"{capitalize(joined)}, " if joined else "",
            "v2": second[0].third if second else "", "O2": second[1].full if second else "",
        }  # fmt: skip
        statement = capitalize(rng.choice(patterns)(rng, slots))
        asks = self._asks(
            rng, subject, verbs, verb, thing, adjuncts, statement, agentless=agentless
        )
        if second:
            asks += self._asks(
                rng, subject, [second[0]], second[0], second[1], [], statement, agentless=False
            )
        base = verbs[0].base
        keys = {
            f"action:o:{subject.short}:{base}",
            f"action:s:{base}:{thing.short}",
            f"action:a:{thing.short}:{base}",
        }
        keys |= {f"action:a:{text}:{base}" for _, text in adjuncts}
        if second:
            keys |= {
                f"action:o:{subject.short}:{second[0].base}",
                f"action:s:{second[0].base}:{second[1].short}",
            }
        if any(
            question.startswith(("What does", "What is", "Tell", "Say")) and "{" in question
            for question, _ in asks
        ):
            keys.add(f"action:v:{subject.short}")
        asks = [(question.replace("{", ""), answer) for question, answer in asks]
        return Fact(
            "action", statement, asks, frozenset(keys), {"S": subject, "VO": (verbs, thing)}
        )  # type: ignore[dict-item]

    @staticmethod
    def _adjuncts_of(names: Names) -> list[tuple[str, str]]:
        rng = names.rng
        kind = rng.choices(
            ("", "when", "often", "where", "how", "why"), (4, 3.5, 0.7, 2.5, 1.5, 1.5)
        )[0]
        if not kind:
            return []
        kinds = [kind]
        if rng.random() < 0.3:
            kinds = list(dict.fromkeys([kind, rng.choice(("when", "where", "how"))]))
        return [(name, _ADJUNCTS[name](names)) for name in kinds]

    def _asks(
        self,
        rng: random.Random,
        subject: grammar.Phrase,
        verbs: list[grammar.Verb],
        verb: grammar.Verb,
        thing: grammar.Phrase,
        adjuncts: list[tuple[str, str]],
        statement: str,
        *,
        agentless: bool,
    ) -> list[tuple[str, str]]:
        asked = rng.choice(verbs) if rng.random() < 0.25 else verb
        what = "Which " + subject.category if subject.category and rng.random() < 0.6 else "What"
        if subject.category == "person":
            what = "Who"
        short = thing.short if rng.random() < 0.6 else thing.full
        if " and " in thing.full:
            short = rng.choice([*thing.full.split(" and "), thing.full])
        main = rng.choice(adjuncts)[1] if adjuncts else ""
        slots = {
            "S": subject.short, "Q": short, "qbase": asked.base, "qpp": asked.participle, "qv3": asked.third,
            "qing": asked.gerund, "qbe": thing.be() if " and " not in thing.full else ("is" if " and " not in short else "are"),
            "W": what, "w": "whom" if what == "Who" else what.lower(), "A": main, "A1": f"{capitalize(main)}, ",
        }  # fmt: skip
        asks: list[tuple[str, str]] = []
        whole = span_of(thing.full, statement)
        if whole and not agentless:
            patterns = self._object_both if main and rng.random() < 0.35 else self._object
            text = rng.choice(patterns)(rng, slots)
            if subject.is_plural:
                text = text.replace("hat does", "hat do")
            asks.append((text, whole))
        head = grammar.head_of(thing)
        if whole and head and rng.random() < 0.35:
            if agentless:
                text = f"Which {head} {slots['qbe']} {asked.participle} {main}?" if main else ""
            else:
                text = f"Which {head} {'do' if subject.is_plural else 'does'} {subject.short} {asked.base}?"
            asks += [(text, whole)] if text else []
        if whole and main and rng.random() < 0.4:
            asks.append((rng.choice(self._object_adjunct)(rng, slots), whole))
        if not agentless and (answer := span_of(subject.full, statement)):
            if subject.full.startswith("`") and rng.random() < 0.15:
                asks.append(
                    (f"How {rng.choice(('do', 'can'))} I {asked.base} {slots['Q']}?", answer)
                )
            asks.append((rng.choice(self._subject)(rng, slots), answer))
        asks += self._ask_clause(rng, subject, verb, thing, statement, slots, agentless=agentless)
        for kind, adjunct in adjuncts:
            if answer := span_of(adjunct, statement):
                asks.append(
                    (
                        self._ask_adjunct(rng, kind, adjunct, subject, slots, agentless=agentless),
                        answer,
                    )
                )
        return asks

    def _ask_clause(
        self,
        rng: random.Random,
        subject: grammar.Phrase,
        verb: grammar.Verb,
        thing: grammar.Phrase,
        statement: str,
        slots: dict[str, str],
        *,
        agentless: bool,
    ) -> list[tuple[str, str]]:
        """Ask for the verb with its object, or for all that happens on an event."""
        predicate = f"{subject.agree(verb)} {thing.full}"
        if agentless or rng.random() < 0.6:
            passive = f"{thing.full} {thing.be()} {verb.participle}"
            if (
                slots["A"].split(" ")[0]
                in ("when", "if", "whenever", "once", "after", "on", "at", "before")
                and rng.random() < 0.5
            ):
                for clause in (f"{subject.full} {predicate}", passive):
                    if answer := span_of(clause, statement):
                        return [(rng.choice(self._event)(rng, slots), answer)]
            return []
        if subject.category != "person" and predicate in statement and not subject.is_plural:
            patterns = self._verb if slots["A"] else [p for i, p in enumerate(self._verb) if i != 3]
            return [("{" + rng.choice(patterns)(rng, slots), predicate)]
        return []

    def _ask_adjunct(
        self,
        rng: random.Random,
        kind: str,
        adjunct: str,
        subject: grammar.Phrase,
        slots: dict[str, str],
        *,
        agentless: bool,
    ) -> str:
        head = rng.choice(self._heads[kind])(rng, slots)
        if kind == "where":
            head = _where_head(adjunct, rng) or head
        slots = {**slots, "H": head}
        if agentless:
            patterns = self._adjunct_you if rng.random() < 0.15 else self._adjunct
        else:
            patterns = (
                self._adjunct_active
                if not subject.is_plural and rng.random() < 0.5
                else self._adjunct
            )
        return rng.choice(patterns)(rng, slots)


def _objects(names: Names) -> grammar.Phrase:
    """Make one object, or two or three joined."""
    first = grammar.object_phrase(names)
    if names.rng.random() > 0.2 or " and " in first.full:
        return first
    second = grammar.object_phrase(names)
    text = f"{first.full} and {second.full}"
    return grammar.Phrase(text, text, "", True)


class Links:
    """Makes facts with a preposition: "the runner depends on the pool", "S converts X to Y"."""

    name = "link"
    weight = 5.0
    keys = ("S", "P", "O")
    _simple = """depend on|rely on|point to|refer to|connect to|talk to|report to|write to|read from|come from|
consist of|wait for|look for|ask for|pay for|stand for|lead to|apply to|map to|move to|switch to|fall back to|
rest on|live on|sit on|sit between|start with|end with|begin with|work with|deal with|ship with|compete with|
agree with|differ from|result in|result from|grow with|scale with|subscribe to|respond to|contribute to|
descend from|borrow from|learn from|hide behind|run behind|run inside|stand next to|look like|care for|vote for|
react to|recover from|suffer from|benefit from|split into|break into|fit into|fit in|plug into|hook into|
escape from|give way to|delegate to|forward to|bind to|attach to|adhere to|conform to|speak to|sleep in|live in|
count on|focus on|build on|operate on|insist on|draw on|check for|search for|account for|aim for|make up for""".replace(
        "\n", ""
    ).split("|")
    _double = """convert to|map to|send to|take from|combine with|replace by|replace with|compare with|split into|
read from|write to|hide from|protect from|fill with|add to|remove from|translate into|move to|copy to|attach to|
group by|sort by|index by|limit to|compare to|derive from|feed into|merge into|pack into|exchange for|bind to|
share with|load into|store in|keep in|put into|wrap in|pass to|return to|separate from|label with|name after|
connect to|link to|assign to|apply to|divide by|multiply by|join with|sign with|mark with|pair with|offer to""".replace(
        "\n", ""
    ).split("|")
    _state = _compiled([
        "{S} {v} {p} {O}[{A}].", "{S} {v} {p} {O}{A}.", "{A1}{S} {v} {p} {O}.", "{S} (must|can|may|will|should) {b} {p} {O}{A}.",
        "It is {O} that {S} {v} {p}.", "What {S} {v} {p} is {O}.", "{S}, (as we know|in turn|like others), {v} {p} {O}.",
        "Of all parts, it is {S} that {v} {p} {O}.", "{S} (always|never|usually|only|still|now) {v} {p} {O}{A}.",
    ])  # fmt: skip
    _ask_object = _compiled(
        [
            "What (does|can|must|will) {S} {b} {p}?",
            "{P} what (does|can|must|will) {S} {b}?",
            "{P} which {h} does {S} {b}?",
            "Which {h} does {S} {b} {p}?",
            "What is it that {S} {v} {p}?",
        ]
    )
    _ask_subject = _compiled(
        ["{W} {v} {p} {O}?", "{W} (can|must|may|will) {b} {p} {O}?", "{W} is it that {v} {p} {O}?"]
    )
    _state2 = _compiled([
        "{S} {v} {X} {p} {O}{A}.", "{S} {v} {X} {p} {O}.", "{X} {be} {pp} {p} {O} by {S}.", "{X} {be} {pp} {p} {O}{A} by {S}.",
        "{S} (can|must|may|will|should) {b} {X} {p} {O}{A}.", "The job of {S} is to {b} {X} {p} {O}.", "{A1}{S} {v} {X} {p} {O}.",
    ])  # fmt: skip
    _ask_object2 = _compiled(
        [
            "{P} what does {S} {b} {X}?",
            "What does {S} {b} {X} {p}?",
            "{P} what {be} {X} {pp}?",
            "What {be} {X} {pp} {p}?",
        ]
    )
    _ask_middle2 = _compiled(
        ["What does {S} {b} {p} {O}?", "What is {pp} {p} {O}?", "What gets {pp} {p} {O}?"]
    )
    _ask_subject2 = _compiled(
        ["{W} {v} {X} {p} {O}?", "By {w} {be} {X} {pp} {p} {O}?", "{W} {v} {X} {p} {O}?"]
    )

    def make(self, names: Names, fixed: dict | None = None) -> Fact:
        rng, fixed = names.rng, fixed or {}
        subject = fixed.get("S") or _singular(names)
        thing = fixed.get("O") or (
            grammar.subject_phrase(names) if rng.random() < 0.5 else grammar.object_phrase(names)
        )
        double, text = fixed.get("P") or self._relation(names)
        base, _, preposition = text.partition(" ")
        verb = grammar.conjugate(base)
        middle = grammar.object_phrase(names)
        adjunct = f" {_ADJUNCTS['when'](names)}" if rng.random() < 0.2 else ""
        what = (
            "Which " + subject.category
            if subject.category not in ("", "person") and rng.random() < 0.5
            else "What"
        )
        slots = {
            "S": subject.full, "O": thing.full, "X": middle.full, "v": verb.third, "b": verb.base, "pp": verb.participle,
            "p": preposition, "P": capitalize(preposition), "A": adjunct, "A1": f"{capitalize(adjunct.strip())}, " if adjunct else "",
            "W": what, "w": what.lower(), "be": middle.be(), "h": thing.category or "part",
        }  # fmt: skip
        statement = capitalize(rng.choice(self._state2 if double else self._state)(rng, slots))
        slots |= {
            "S": subject.short,
            "O": rng.choice((thing.full, thing.short)),
            "X": rng.choice((middle.full, middle.short)),
        }
        asks = []
        for patterns, phrase in (
            (self._ask_object2 if double else self._ask_object, thing),
            (self._ask_subject2 if double else self._ask_subject, subject),
            (self._ask_middle2 if double else None, middle),
        ):
            if patterns and (answer := span_of(phrase.full, statement)):
                asks.append((rng.choice(patterns)(rng, slots), answer))
        if not double:
            asks = [
                (
                    question.replace("which part does", "what does").replace(
                        "Which part does", "What does"
                    ),
                    a,
                )
                for question, a in asks
            ]
        keys = frozenset({f"link:o:{subject.short}:{text}", f"link:s:{text}:{thing.short}"})
        return Fact("link", statement, asks, keys, {"S": subject, "P": (double, text), "O": thing})  # type: ignore[dict-item]

    def _relation(self, names: Names) -> tuple[bool, str]:
        rng = names.rng
        double = rng.random() < 0.45
        text = rng.choice(self._double if double else self._simple)
        if rng.random() < 0.15:
            text = f"{names.word()} {text.partition(' ')[2]}"
        return double, text


def _singular(names: Names) -> grammar.Phrase:
    while (phrase := grammar.subject_phrase(names)).is_plural:
        pass
    return phrase


class Clauses:
    """Makes facts that join two clauses: a reason or a consequence."""

    weight = 3.0
    keys = ("s",)
    _reason = _compiled([
        "{s} because {r}.", "{s} because {r}.", "Because {r}, {s}.", "{s}, since {r}.", "Since {r}, {s}.", "{s}. The reason is that {r}.",
        "{s}, as {r}.", "The reason why {s} is that {r}.", "{s}: {r}.", "{s}, for {r}.",
    ])  # fmt: skip
    _ask_reason = _compiled([
        "Why {i}?", "Why {i}?", "Why {i}?", "Why is it that {l}?", "What is the reason that {l}?", "For what reason {i}?",
        "How come {l}?", "{l} - why?",
    ])  # fmt: skip
    _consequence = _compiled([
        "If {s}, {r}.", "If {s}, {r}.", "When {s}, {r}.", "When {s}, {r}.", "{r} if {s}.", "{r} when {s}.", "Whenever {s}, {r}.",
        "As soon as {s}, {r}.", "{r} in case {s}.", "Once {s}, {r}.", "With {s}, {r}.",
    ])  # fmt: skip
    _ask_consequence = _compiled([
        "What happens (if|when|once) {l}?", "What happens (if|when) {l}?", "(If|When) {l}, what happens?", "What is the consequence (if|when) {l}?",
        "What (follows|is the result) (if|when) {l}?",
    ])  # fmt: skip

    def __init__(self, kind: str) -> None:
        self.name = kind

    def make(self, names: Names, fixed: dict | None = None) -> Fact:
        rng = names.rng
        first, second = grammar.make_clause(names), grammar.make_clause(names)
        states = self._reason if self.name == "reason" else self._consequence
        asked = self._ask_reason if self.name == "reason" else self._ask_consequence
        statement = capitalize(rng.choice(states)(rng, {"s": first.text, "r": second.text}))
        question = capitalize(rng.choice(asked)(rng, {"i": first.inverted, "l": first.loose}))
        answer = span_of(second.text, statement)
        keys = frozenset({f"{self.name}:{first.loose.lower()}"})
        return Fact(
            self.name, statement, [(question, answer)] if answer else [], keys, {"s": first.text}
        )


class Raises:
    """Makes facts of the form "when the queue is full, `submit` raises `OverloadedError`"."""

    name = "raises"
    weight = 2.0
    keys = ("c", "f")
    _state = _compiled([
        "(When|If) {c}, {f} (raises|throws) {x}.", "{f} (raises|throws) {x} (when|if) {c}.", "{x} is (raised|thrown) by {f} (when|if) {c}.",
        "(When|If) {c}, {x} is raised.", "{x} is raised (when|if) {c}.", "{x} (says|means|signals|is the sign) that {c}.",
        "(When|If) {c}, {f} (fails|ends|stops) with {x}.", "Raises {x} (when|if) {c}.", "| {x} | {c} |", "- {x}: {c}",
    ])  # fmt: skip
    _ask_error = _compiled([
        "(What|Which error|Which exception) is raised (when|if) {l}?", "(What|Which error|Which exception) is raised (when|if) {l}?",
        "What does {f} raise[ (when|if) {l}]?", "Which (error|exception) does {f} raise (when|if) {l}?", "Which error (says|means|tells me|signals) that {l}?",
    ])  # fmt: skip
    _ask_when = _compiled(
        [
            "When is {x} raised?",
            "When do I get {x}?",
            "When does {f} raise {x}?",
            "What does {x} mean?",
        ]
    )

    def make(self, names: Names, fixed: dict | None = None) -> Fact:
        rng, fixed = names.rng, fixed or {}
        clause = fixed.get("c") or grammar.make_clause(names)
        function = fixed.get("f") or f"`{names.function()}`"
        error = f"`{names.class_name('Error')}`"
        statement = capitalize(
            rng.choice(self._state)(rng, {"c": clause.text, "f": function, "x": error})
        )
        slots = {"l": clause.loose, "f": function, "x": error}
        questions = [
            rng.choice(self._ask_error)(rng, slots),
            rng.choice(self._ask_when)(rng, slots),
        ]
        asks = (
            [(questions[0], error)] if function in statement or function not in questions[0] else []
        )
        if function in statement or function not in questions[1]:
            forms = (
                [clause.text]
                if "mean" in questions[1]
                else [f"when {clause.text}", f"if {clause.text}", clause.text]
            )
            asks += [
                (questions[1], found) for form in forms if (found := span_of(form, statement))
            ][:1]
        keys = {f"raises:c:{clause.loose}", f"raises:x:{error}"}
        if "raise?" in questions[0]:
            keys.add(f"raises:f:{function}")
        return Fact("raises", statement, asks, frozenset(keys), {"c": clause, "f": function})  # type: ignore[dict-item]


class Errors:
    """Makes facts about which faulty input raises which error, in several wordings."""

    name = "error"
    weight = 3.0
    keys = ("c", "x")
    _statements = _compiled([
        "{c} (raises|throws|gives|causes|ends in|leads to|is answered with|fails with|results in) {x}.",
        "{x} is (raised|thrown|given) (for|by|on|when there is) {c}.",
        "(For|On|With|Given) {c}, (you get|the call raises|the caller sees|it raises|there is) {x}.",
        "If (there is|you pass|the caller sends|the engine meets) {c}, {x} is raised.",
        "{x} (means|says|tells|signals|stands for) {c}.",
        "{x} - {c}", "| {x} | {c} |", "- {x}: {c}",
        "Raises {x} (for|on) {c}.",
        "{c} is refused with {x}.",
    ])  # fmt: skip
    _ask_error = _compiled([
        "(Which|What) (error|exception) (does|will|can) {c} (raise|throw|cause|give)?",
        "(Which|What) (error|exception) is (raised|thrown|given) (for|by|on) {c}?",
        "What (is raised|happens|do I get) (for|with|on) {c}?",
        "What does {c} (raise|cause|lead to|result in)?",
        "(Which|What) error (tells of|means|stands for|signals) {c}?",
        "With which error is {c} refused?",
    ])  # fmt: skip
    _ask_clause = _compiled([
        "What happens (if|when) {l}?", "What is raised (if|when) {l}?", "Which (error|exception) is raised (if|when) {l}?",
        "Which error do I get (if|when) {l}?", "(If|When) {l}, what is raised?",
    ])  # fmt: skip
    _ask_cause = _compiled([
        "(What|Which fault) (raises|causes|leads to|triggers) {x}?", "What does {x} (mean|say|stand for|signal)?",
        "(When|For what) is {x} raised?", "What is the cause of {x}?",
    ])  # fmt: skip

    def make(self, names: Names, fixed: dict | None = None) -> Fact:
        rng, fixed = names.rng, fixed or {}
        forms = fixed.get("c") or grammar.condition_forms(names)
        error = fixed.get("x") or (
            "an error" if rng.random() < 0.03 else f"`{names.class_name('Error')}`"
        )
        stated = rng.choice(forms)
        statement = capitalize(rng.choice(self._statements)(rng, {"c": stated, "x": error}))
        asked = {"c": rng.choice(forms), "x": error}
        asks = []
        if answer := span_of(error, statement):
            asks.append((capitalize(rng.choice(self._ask_error)(rng, asked)), answer))
            clauses = [text for form in forms if (text := grammar.as_clause(form))]
            if clauses and rng.random() < 0.7:
                asks.append((rng.choice(self._ask_clause)(rng, {"l": rng.choice(clauses)}), answer))
        if answer := span_of(stated, statement):
            asks.append((capitalize(rng.choice(self._ask_cause)(rng, asked)), answer))
        keys = frozenset({f"error:x:{forms[0]}", f"error:c:{error}"})
        return Fact("error", statement, asks, keys, {"c": forms, "x": error})  # type: ignore[dict-item]


ALL_TRAINED: list = [
    *FAMILIES,
    Actions(),
    Links(),
    Clauses("reason"),
    Clauses("consequence"),
    Raises(),
    Errors(),
]
_TYPED = ("action", "link", "reason", "consequence", "raises", "error")

TYPED_FAMILIES = frozenset(_TYPED)

__all__ = [
    "ALL_TRAINED",
    "FAMILIES",
    "HELD_OUT",
    "HELD_OUT_REWORDED",
    "TYPED_FAMILIES",
    "Fact",
    "Family",
    "span_of",
    "uncapitalize",
]
