"""A small pattern language, English word forms and noun phrases.

Patterns: ``"(The|Each) block has {v}[ in all]"`` - ``(a|b)`` picks one, ``[x]`` is optional,
``{slot}`` is filled. They nest. Knows nothing about facts or questions.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mlx_backends.bundled.training import lexicon
from mlx_backends.bundled.training.lexicon import Names

Slots = Mapping[str, str]
_Node = Callable[[random.Random, Slots], str]


def compile_pattern(pattern: str) -> _Node:
    """Turn a pattern into a function that renders one random form of it."""
    node, end = _parse_alternatives(pattern, 0, closing="")
    if end != len(pattern):
        raise ValueError(f"unbalanced pattern: {pattern!r}")
    return node


def _parse_alternatives(text: str, start: int, closing: str) -> tuple[_Node, int]:
    options: list[_Node] = []
    while True:
        sequence, start = _parse_sequence(text, start, closing)
        options.append(sequence)
        if start < len(text) and text[start] == "|" and closing:
            start += 1
            continue
        return (options[0] if len(options) == 1 else _choice(options)), start


def _parse_sequence(text: str, start: int, closing: str) -> tuple[_Node, int]:
    parts: list[_Node] = []
    literal = ""
    position = start
    while position < len(text):
        char = text[position]
        if char == closing or (char == "|" and closing):
            break
        if char not in "([{":
            literal += char
            position += 1
            continue
        if literal:
            parts.append(_literal(literal))
            literal = ""
        node, position = _parse_group(text, position)
        parts.append(node)
    if literal:
        parts.append(_literal(literal))
    return (parts[0] if len(parts) == 1 else _sequence(parts)), position


def _parse_group(text: str, position: int) -> tuple[_Node, int]:
    if text[position] == "{":
        end = text.index("}", position)
        return _slot(text[position + 1 : end]), end + 1
    closing = ")" if text[position] == "(" else "]"
    node, end = _parse_alternatives(text, position + 1, closing)
    if end >= len(text):
        raise ValueError(f"unbalanced pattern: {text!r}")
    return (node if closing == ")" else _choice([node, _literal("")])), end + 1


def _literal(text: str) -> _Node:
    return lambda rng, slots: text


def _slot(name: str) -> _Node:
    return lambda rng, slots: slots[name]


def _choice(options: list[_Node]) -> _Node:
    count = len(options)
    return lambda rng, slots: options[int(rng.random() * count)](rng, slots)


def _sequence(parts: list[_Node]) -> _Node:
    return lambda rng, slots: "".join([part(rng, slots) for part in parts])


def capitalize(text: str) -> str:
    """Raise the first letter and leave the rest alone."""
    return text[:1].upper() + text[1:]


_LOWERABLE = frozenset(
    "The A An By In At On When If Unless Every Each All What Which Who Where How Why Of For To From Is "
    "Are Do Does Can Only Please Tell Name Give Weights After Before Once With Use Set Pass It There "
    "Nothing Up No Whenever Under Without During Through Whose Whom".split()
)


def uncapitalize(text: str) -> str:
    """Lower the first letter of a word that is not a name."""
    first = text.split(" ", 1)[0].rstrip(",")
    return text[:1].lower() + text[1:] if first in _LOWERABLE else text


def plural(noun: str) -> str:
    """Return the plural of a regular noun, or of ``matrix``."""
    if noun.endswith("matrix"):
        return noun[:-2] + "ces"
    if noun.endswith("y") and noun[-2] not in "aeiou":
        return noun[:-1] + "ies"
    if noun.endswith(("s", "x", "ch", "sh")):
        return noun + "es"
    return noun + "s"


def indefinite(phrase: str) -> str:
    """Put ``a`` or ``an`` before a phrase."""
    return ("an " if phrase[:1].lower() in "aeiou" else "a ") + phrase


@dataclass(frozen=True, slots=True)
class Verb:
    """The forms of a verb."""

    base: str
    third: str
    past: str
    participle: str
    gerund: str


_DOUBLED = frozenset(
    "transmit emit admit defer refer prefer omit format pin forbid transfer drop stop trim map log plan ship skip strip swap tag wrap scan plot cap cut split set run get put".split()
)
_IRREGULAR = {
    "send": "sent sent", "keep": "kept kept", "hold": "held held", "build": "built built",
    "find": "found found", "take": "took taken", "choose": "chose chosen", "read": "read read",
    "write": "wrote written", "run": "ran run", "give": "gave given", "split": "split split",
    "cut": "cut cut", "set": "set set", "put": "put put", "make": "made made", "get": "got got",
    "hide": "hid hidden", "begin": "began begun", "draw": "drew drawn", "lead": "led led",
    "sell": "sold sold", "buy": "bought bought", "win": "won won", "throw": "threw thrown",
    "show": "showed shown", "shrink": "shrank shrunk", "freeze": "froze frozen", "feed": "fed fed",
    "grow": "grew grown", "wake": "woke woken", "rewrite": "rewrote rewritten", "forbid": "forbade forbidden",
    "prove": "proved proven", "bind": "bound bound",
}  # fmt: skip


def conjugate(base: str) -> Verb:
    """Derive the forms of an English verb from its base form."""
    stem = base + base[-1] if base in _DOUBLED else base
    if base.endswith("y") and base[-2] not in "aeiou":
        third, past = base[:-1] + "ies", base[:-1] + "ied"
    else:
        third = base + ("es" if base.endswith(("s", "x", "ch", "sh", "z")) else "s")
        past = base + "d" if base.endswith("e") else stem + "ed"
    gerund = (base[:-1] if base.endswith("e") and base[-2] != "e" else stem) + "ing"
    if base == "begin":
        gerund = "beginning"
    past, participle = _IRREGULAR[base].split() if base in _IRREGULAR else (past, past)
    return Verb(base, third, past, participle, gerund)


# Verbs in one group can stand for each other in a question.
VERB_GROUPS: list[list[Verb]] = [
    [conjugate(base) for base in group.split()]
    for group in (
        "print show display report|store keep save hold|remove delete drop discard|evict|load read|"
        "create build make|check verify validate|send transmit forward|start launch|stop halt end|"
        "compute calculate|merge combine join|split divide cut|count|sort order|compress shrink|encrypt|"
        "copy duplicate|move transfer|measure|limit cap restrict|log record|convert translate|"
        "replace swap|reject refuse|accept allow|lock|release free|schedule plan|group|filter|"
        "rank score|quantize|prune|fetch download|parse|render draw|resize|rotate|trim truncate shorten|"
        "own|manage control|watch monitor|select choose pick|share|update refresh|repair fix|clean|"
        "tag label mark|hide|publish|sign|wrap|scan|index|search|reserve|allocate|map|list|describe explain|"
        "open|close|skip ignore|protect guard|collect gather|trace|test|train|embed|decode|encode|hash|"
        "retry repeat|cancel abort|pause suspend|resume|throttle slow|cache|flush empty|stream|queue|install|"
        "configure|define declare|export|import|paint|deliver|assemble|inspect examine|approve|archive|"
        "freeze|bind|override|reset|restore recover|initialize|warm|profile|benchmark|accelerate|adjust tune|admit|"
        "advertise announce|analyze study|annotate|append|arrange|attach|balance|block|broadcast|calibrate|capture|"
        "chain|charge|classify|coordinate|correct|decorate|defer delay postpone|deny forbid|deploy|detach|detect|"
        "disable|discover|dispatch|distribute|document|duplicate|emit|enable|enforce|enqueue|expand|expire|expose|"
        "extend|extract|feed|find locate|fill|finish complete|fold|format|give|grant|grow|guess|highlight|honor|"
        "identify recognize|import|improve|increase raise|indicate signal|inherit|inject|insert|interpret|invert|"
        "invoke|iterate|justify|label|launch|learn|lead|license|link connect|lower reduce|mask|migrate|mirror|mount|"
        "mute|name|normalize|notify inform|observe|offer|offload|omit|order|organize|override|pack|partition|patch|"
        "pin|postpone|predict|prefer|prefetch|prepare|preserve|prevent|process|produce|propose|prove|provide supply|"
        "pull|punish|push|query|recommend|recycle|refine|reflect|reject|relay|rename|renew|reorder|represent|require|"
        "resolve|return|reuse|reverse|review|revoke|rewrite|route|sample|sanitize|save|seal|sell|serve|settle|"
        "simplify|simulate|smooth|solve|specify|stack|state|subtract|suggest|summarize|support|suppress|survey|"
        "suspend|tolerate|touch|transform|transpose|treat|tune|unlock|unpack|upload|use|verify|visit|wake|weigh|win"
    ).split("|")
]


def verb_group(names: Names) -> list[Verb]:
    """Pick verbs that mean the same; sometimes an invented one, so that no list limits the reader."""
    if names.rng.random() < 0.12:
        return [conjugate(names.word())]
    return names.rng.choice(VERB_GROUPS)


@dataclass(frozen=True, slots=True)
class Phrase:
    """A noun phrase with the word that a question may ask for.

    Attributes:
        full: As a statement writes it.
        short: As a question may write it.
        category: What to ask for, like ``command``; empty when only "what" fits.
        is_plural: Whether verbs agree with a plural.
    """

    full: str
    short: str
    category: str = ""
    is_plural: bool = False

    def be(self) -> str:
        return "are" if self.is_plural else "is"

    def do(self) -> str:
        return "do" if self.is_plural else "does"

    def agree(self, verb: Verb) -> str:
        return verb.base if self.is_plural else verb.third


def head_of(phrase: Phrase) -> str | None:
    """Return the noun that "which" can ask for: ``the oldest block`` -> ``block``."""
    if phrase.category and not phrase.is_plural:
        return phrase.category
    words = phrase.short.split()
    if len(words) < 3 - phrase.is_plural or not words[-1].isalpha() or " and " in phrase.short:
        return None
    return words[-1]


def component_name(names: Names) -> str:
    """Name a part of a system, without an article: ``request scheduler``."""
    head = names.rng.choice(lexicon.COMPONENTS)
    draw = names.rng.random()
    if draw < 0.45:
        return f"{names.modifier()} {head}"
    if draw < 0.55:
        return f"{names.word_capital()} {head}"
    return head


def thing_name(names: Names) -> str:
    """Name a thing, without an article: ``oldest cache entry``."""
    head = names.thing()
    draw = names.rng.random()
    if draw < 0.35:
        return f"{names.rng.choice(lexicon.ADJECTIVES)} {head}"
    if draw < 0.55:
        return f"{names.modifier()} {head}"
    if draw < 0.6:
        return f"{names.word()} {head}"
    return head


def subject_phrase(names: Names) -> Phrase:
    """Make an actor: a component, a product, a person or a piece of code."""
    rng = names.rng
    draw = rng.random()
    if draw < 0.42:
        name = component_name(names)
        if rng.random() < 0.12:
            return Phrase(f"the {plural(name)}", plural(name), "component", True)
        category = rng.choice(("component", "part", "", name.split()[-1]))
        return Phrase(f"the {name}", f"the {name}", category)
    if draw < 0.54:
        name = names.name()
        return Phrase(name, name, rng.choice(("product", "project", "tool", "system", "")))
    if draw < 0.59:
        name = names.person()
        return Phrase(name, name, "person")
    return code_phrase(names)


_CODE_CATEGORIES = (
    "extra package key field variable subcommand endpoint header decorator type script page target attribute tool "
    "adapter plugin model script backend constant macro table column keyword argument marker group role"
).split()


def code_phrase(names: Names) -> Phrase:
    """Make a piece of code in backticks with its category."""
    rng = names.rng
    category, maker = rng.choice(
        (
            ("command", names.command),
            ("command", names.command),
            ("function", names.function),
            ("method", names.function),
            ("class", names.class_name),
            ("class", names.class_name),
            ("option", names.flag),
            ("flag", names.flag),
            ("file", names.file_path),
            ("module", lambda: names.file_path().rsplit(".", 1)[0] + ".py"),
            ("environment variable", names.environment_variable),
            ("setting", names.identifier),
            (
                rng.choice(_CODE_CATEGORIES),
                rng.choice((names.identifier, names.word, names.kebab, names.part)),
            ),
            (
                rng.choice(_CODE_CATEGORIES),
                rng.choice((names.identifier, names.word, names.kebab, names.part)),
            ),
            ("parameter", names.identifier),
        )
    )
    text = f"`{maker()}`"
    draw = rng.random()
    if draw < 0.12:
        return Phrase(f"the {text} {category}", text, category)
    if draw < 0.18:
        return Phrase(f"the {category} {text}", text, category)
    return Phrase(text, text if rng.random() < 0.9 else text.strip("`"), category)


_TYPED_VALUES = (
    ("language", [*lexicon.LANGUAGES, "English", "German", "French", "Latin", "Spanish", "Dutch"]),
    ("format", lexicon.FORMATS),
    ("color", lexicon.COLORS),
    ("platform", lexicon.PLATFORMS),
    ("licence", lexicon.LICENSES),
    ("month", lexicon.MONTHS),
)


def object_phrase(names: Names) -> Phrase:
    """Make something that is acted on."""
    rng = names.rng
    draw = rng.random()
    if draw < 0.12:
        return code_phrase(names)
    if draw < 0.17:
        category, options = rng.choice(_TYPED_VALUES)
        text = rng.choice(options)
        return Phrase(text, text, category)
    if draw < 0.19:
        text = names.kebab()
        return Phrase(text, text, "package")
    name = thing_name(names)
    if draw < 0.48:
        core, is_plural = f"the {name}", False
    elif draw < 0.64:
        core, is_plural = plural(name), True
    elif draw < 0.74:
        core, is_plural = f"the {plural(name)}", True
    elif draw < 0.80:
        core, is_plural = f"every {name}", False
    elif draw < 0.86:
        core, is_plural = f"all {plural(name)}", True
    else:
        core, is_plural = indefinite(name), False
    if rng.random() > 0.3:
        return Phrase(core, core, "", is_plural)
    return Phrase(f"{core} {_postmodifier(names)}", core, "", is_plural)


def _postmodifier(names: Names) -> str:
    rng = names.rng
    draw = rng.random()
    if draw < 0.4:
        return f"of the {component_name(names)}"
    if draw < 0.55:
        return f"of {names.name()}"
    if draw < 0.7:
        return f"in `{names.file_path()}`"
    if draw < 0.85:
        return f"with {indefinite(thing_name(names))}"
    return f"for {plural(thing_name(names))}"


# Two or three ways to say the same condition; a statement takes one and a question another.
_CONDITIONS = [
    ("{a} {c} that is longer than the {d}", "{a} {c} that is too long", "{a} {c} too long for the {d}"),
    ("{a} {c} larger than the {d}", "{a} {c} that is too large", "too large {a} {c}", "{a} {c} beyond the {d}"),
    ("an invalid {c}", "{a} {c} that is not valid", "a bad {c}"),
    ("{a} {c} that was never opened", "an unopened {c}"),
    ("{a} {c} that is longer than the {d}", "{a} {c} longer than the {d}", "{a} {c} over the {d}", "{a} {c} which is too long for the {d}"),
    ("{a} {c} that is larger than the {d}", "{a} {c} larger than the {d}", "{a} {c} above the {d}"),
    ("{a} {c} without {b}", "{a} {c} that has no {e}", "{a} {c} with no {e}"),
    ("{a} {c} that does not fit the {d}", "{a} {c} too large for the {d}", "{a} {c} that exceeds the {d}"),
    ("an unknown {c}", "{a} {c} that is not known", "{a} {c} that nobody knows"),
    ("a missing {c}", "{a} {c} that does not exist", "{a} {c} that cannot be found"),
    ("an empty {c}", "{a} {c} with nothing in it", "{a} {c} that is empty"),
    ("a malformed {c}", "{a} {c} that cannot be parsed", "a broken {c}"),
    ("{a} {c} outside the {d}", "{a} {c} that is outside the {d}", "{a} {c} that leaves the {d}"),
    ("an unsupported {c}", "{a} {c} that is not supported", "{a} {c} it does not support"),
    ("a second {c}", "another {c}", "one more {c}"),
    ("{a} {c} that is already closed", "a closed {c}", "{a} {c} after it was closed"),
    ("a duplicate {c}", "{a} {c} that occurs twice", "a repeated {c}"),
    ("{a} {c} that takes longer than the {d}", "{a} {c} that outlasts the {d}", "{a} {c} slower than the {d}"),
    ("the wrong type of {c}", "{a} {c} of the wrong type", "{a} {c} with a wrong type"),
    ("a negative {c}", "{a} {c} below zero", "{a} {c} less than zero"),
]  # fmt: skip


def condition_forms(names: Names) -> list[str]:
    """Say one faulty input in several ways: ``a prompt over the context window``, ..."""
    rng = names.rng
    noun = thing_name(names) if rng.random() < 0.5 else names.thing()
    limit = rng.choice(
        (
            "context window",
            "limit",
            "budget",
            "maximum",
            "memory",
            "queue",
            "quota",
            "deadline",
            "allowed range",
        )
        if rng.random() < 0.6
        else lexicon.ATTRIBUTES
    )
    part = names.thing()
    slots = {
        "a": indefinite(noun)[:2].strip(),
        "c": noun,
        "d": limit,
        "b": indefinite(part),
        "e": part,
    }
    return [form.format(**slots) for form in rng.choice(_CONDITIONS)]


def as_clause(form: str) -> str | None:
    """Turn a faulty input into a clause: ``a prompt that is too long`` -> ``a prompt is too long``."""
    head, separator, tail = form.partition(" that ")
    return f"{head} {tail}" if separator and not tail.startswith("nobody") else None


def event_forms(names: Names) -> list[str]:
    """Say one moment in several ways, each starting with its preposition."""
    rng = names.rng
    component, thing = component_name(names), names.thing()
    slots = {
        "c": component,
        "t": thing,
        "at": indefinite(thing),
        "ts": plural(thing),
        "n": str(rng.choice((2, 3, 4, 5, 8, 10, 16, 20, 30, 50, 60, 100, 500))),
        "u": rng.choice(lexicon.TIME_UNITS),
    }
    return [form.format(**slots) for form in rng.choice(_EVENTS)]


_EVENTS = [
    ("at first use", "when it is first used", "on the first use"),
    ("at start-up", "when the {c} starts", "during start-up"),
    ("at import", "at import time", "when the module is imported"),
    ("at the end of each {t}", "when {at} ends", "after each {t}"),
    ("before the first {t}", "ahead of the first {t}"),
    ("when the {c} is full", "as soon as the {c} is full"),
    ("when the {c} closes", "on closing the {c}"),
    ("after {n} {u}", "when {n} {u} have passed"),
    ("once the {t} is ready", "when the {t} is ready"),
    ("when no {ts} are left", "if no {t} is left"),
    ("only when {at} is requested", "only on request"),
    ("while the {c} is running", "during the run of the {c}"),
    ("as soon as the {t} arrives", "when the {t} arrives"),
    ("at shutdown", "when the {c} stops"),
    ("before the {c} starts", "ahead of the start of the {c}"),
    ("after the last {t}", "when the last {t} is done"),
    ("whenever {at} changes", "on every change of {at}"),
    ("on the first call", "at the first call"),
    ("when the {c} runs out of memory", "if the {c} runs out of memory"),
    ("if the {t} is missing", "when there is no {t}"),
    ("when {at} fails", "if {at} fails"),
    ("during the night", "at night"),
    ("in the second step", "as the second step"),
]


def frequency(names: Names) -> str:
    rng = names.rng
    draw = rng.random()
    if draw < 0.5:
        return f"every {rng.choice((2, 3, 5, 10, 15, 20, 30, 60, 100))} {rng.choice(lexicon.TIME_UNITS)}"
    return (
        f"once per {names.thing()}"
        if draw < 0.8
        else f"once a {rng.choice(('day', 'week', 'month'))}"
    )


def place(names: Names) -> str:
    """Name a place, starting with its preposition."""
    rng = names.rng
    draw = rng.random()
    if draw < 0.22:
        return f"on the {component_name(names)}"
    if draw < 0.44:
        return f"in the {component_name(names)}"
    if draw < 0.6:
        return f"in `{names.file_path()}`"
    if draw < 0.68:
        return f"under `{names.file_path().rsplit('.', 1)[0]}/`"
    if draw < 0.78:
        modifier = rng.choice(("engine", "main", "worker", "background", "calling", "reader"))
        return f"on the {modifier} thread"
    if draw < 0.88:
        return f"on {rng.choice(lexicon.PLATFORMS)}"
    return f"in {names.name()}"


def manner(names: Names) -> str:
    """Name a means, starting with its preposition."""
    rng = names.rng
    draw = rng.random()
    if draw < 0.3:
        verb = rng.choice(rng.choice(VERB_GROUPS))
        return f"by {verb.gerund} {object_phrase(names).full}"
    if draw < 0.5:
        return f"with {code_phrase(names).full}"
    if draw < 0.7:
        return f"with {indefinite(thing_name(names))}"
    if draw < 0.85:
        return f"through the {component_name(names)}"
    return f"using {plural(thing_name(names))}"


def purpose(names: Names) -> str:
    verb = names.rng.choice(names.rng.choice(VERB_GROUPS))
    return f"to {verb.base} {object_phrase(names).full}"


def clause(names: Names) -> str:
    """Make a short main clause in the present tense, for reasons and consequences."""
    rng = names.rng
    draw = rng.random()
    if draw < 0.35:
        thing = object_phrase(names)
        state = rng.choice(lexicon.ADJECTIVES[11:58])
        return f"{thing.full} {thing.be()} {rng.choice(('', '', 'not ', 'often '))}{state}"
    actor, thing = subject_phrase(names), object_phrase(names)
    verb = rng.choice(rng.choice(VERB_GROUPS))
    if draw < 0.7:
        return f"{actor.full} {actor.agree(verb)} {thing.full}"
    modal = rng.choice(("can", "cannot", "must", "may", "will"))
    return f"{actor.full} {modal} {verb.base} {thing.full}"


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause as a statement and as a question writes it.

    Attributes:
        text: Subject first: ``the pool is full``.
        inverted: Verb first, for a question: ``is the pool full``.
        loose: Another wording for a question, equal to `text` where there is none.
    """

    text: str
    inverted: str
    loose: str


def make_clause(names: Names) -> Clause:
    """Make a short clause in the present tense."""
    rng = names.rng
    draw = rng.random()
    if draw < 0.3:
        actor = subject_phrase(names) if rng.random() < 0.5 else object_phrase(names)
        state = rng.choice(lexicon.ADJECTIVES[11:58])
        adverb = rng.choice(("", "", "", "not ", "often ", "still ", "too "))
        be = actor.be()
        loose = f"{actor.short} {be} {adverb}{state}"
        return Clause(
            f"{actor.full} {be} {adverb}{state}", f"{be} {actor.short} {adverb}{state}", loose
        )
    if draw < 0.5:
        thing = object_phrase(names)
        verb = rng.choice(verb_group(names))
        negation = rng.choice(("", "", "not ", "never "))
        tail = f"{negation}{verb.participle}"
        return Clause(
            f"{thing.full} {thing.be()} {tail}",
            f"{thing.be()} {thing.short} {tail}",
            f"{thing.short} {thing.be()} {tail}",
        )
    if draw < 0.62:
        noun = names.thing()
        verb = rng.choice(verb_group(names))
        return Clause(
            f"no {noun} is {verb.participle}",
            f"is no {noun} {verb.participle}",
            rng.choice((f"no {noun} is {verb.participle}", f"I {verb.base} no {noun}")),
        )
    actor, thing = subject_phrase(names), object_phrase(names)
    verbs = verb_group(names)
    verb, asked = rng.choice(verbs), rng.choice(verbs)
    if draw < 0.85:
        loose = f"{actor.short} {actor.agree(asked)} {thing.short}"
        return Clause(
            f"{actor.full} {actor.agree(verb)} {thing.full}",
            f"{actor.do()} {actor.short} {asked.base} {thing.short}",
            loose,
        )
    modal = rng.choice(("can", "cannot", "must", "may", "will"))
    text = f"{actor.full} {modal} {verb.base} {thing.full}"
    return Clause(text, f"{modal} {actor.short} {verb.base} {thing.short}", text)
