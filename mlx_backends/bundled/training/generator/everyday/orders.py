"""Tools that look a place up, make a record, or write a text to order."""

from typing import Any

from mlx_backends.bundled.training import lexicon
from mlx_backends.bundled.training.generator.everyday.kind import Kind
from mlx_backends.bundled.training.generator.invented_tool import Call
from mlx_backends.bundled.training.generator.parameter import foreign_text
from mlx_backends.bundled.training.grammar import capitalize, plural
from mlx_backends.bundled.training.lexicon import Names


def place(names: Names) -> Kind:
    """Something about a place."""
    rng = names.rng
    what = rng.choice((*_ABOUT_PLACES, names.thing()))
    key = rng.choice(("location", "city", "place", "town", "name", "where", "address"))
    name = f"{rng.choice(('get', 'fetch', 'find', 'show', 'current'))}_{what.replace(' ', '_')}"
    description = rng.choice(_PLACE_DESCRIPTIONS).format(w=what, W=capitalize(what), k=key)

    def call() -> Call:
        found = rng.choice((names.name, names.word_capital, lambda: f"{names.word_capital()} {names.word_capital()}"))()  # fmt: skip
        if rng.random() < 0.5:
            found += rng.choice((f", {names.code()[:2].upper()}", f", {names.word_capital()}"))
        state = rng.choice(lexicon.ADJECTIVES)
        result = rng.choice((names.quantity(), f"It is {state}.", state))
        question = capitalize(rng.choice(_PLACE_ASKS).format(w=what, p=found))
        return question, {key: found}, result, result

    return Kind(name, description, {key: {"type": "string"}}, call, what)


def record(names: Names) -> Kind:
    """A record with a name in any script and a description."""
    rng = names.rng
    what = rng.choice((*_RECORDS, names.thing()))
    stem = what.replace(" ", "_")
    keys = (
        f"{stem}_name" if rng.random() < 0.5 else "name",
        rng.choice(("description", "notes", "text", "kind", "about")),
    )
    verb = rng.choice(("create", "add", "register", "new"))
    name = rng.choice(("{v}_{w}", "{v}_{w}", "{w}_{v}", "{x}_{w}")).format(v=verb, w=stem, x=names.word())  # fmt: skip
    description = rng.choice(_RECORD_DESCRIPTIONS).format(w=what, k=keys[0], d=keys[1])

    def call() -> Call:
        called = foreign_text(rng) if rng.random() < 0.75 else names.name()
        opening, closing = rng.choice((("'", "'"), ("'", "'"), ('"', '"'), ("「", "」"), ("", "")))
        gloss = rng.choice(("", "", f" ({names.word_capital()} {names.word_capital()})"))
        question = (
            f"{rng.choice(_MAKE)} a {what} {rng.choice(_CALLED)} {opening}{called}{closing}{gloss}"
        )
        if rng.random() < 0.12:  # what is not said stays empty
            return f"{question}.", {keys[0]: called, keys[1]: ""}, "done", "done"
        about = _description(names)
        question += f"{rng.choice((' - ', ': ', ', ', ' as '))}{about}{rng.choice(('', '', '.'))}"
        return question, {keys[0]: called, keys[1]: about}, "done", "done"

    return Kind(name, description, {key: {"type": "string"} for key in keys}, call, "record")


def _description(names: Names) -> str:
    rng = names.rng
    head = rng.choice((*lexicon.ADJECTIVES, names.word_capital()))
    tail = rng.choice((" maker", " company", " shop", " service", ""))
    return f"{rng.choice(('a', 'the', 'a'))} {head} {names.thing()}{tail}"


def text(names: Names) -> Kind:
    """A text to order, in named parts; the last one may be optional."""
    rng = names.rng
    what = rng.choice(_TEXTS)
    keys = rng.sample(_PARTS, rng.choice((1, 2, 2, 2, 3)))
    optional = frozenset(keys[-1:] if len(keys) > 1 and rng.random() < 0.3 else ())
    properties: dict[str, dict[str, Any]] = {}
    for key in keys:
        kind: dict[str, Any] = {"type": "string"}
        if key in optional:
            kind = {"anyOf": [kind, {"type": "null"}], "default": None}
        said = {"description": f"{key} of the {what}"} if rng.random() < 0.6 else {}
        properties[key] = kind | said
    name = rng.choice((capitalize(what), what, f"{what}_{names.part()}", f"Write{capitalize(what)}"))  # fmt: skip
    description = rng.choice(_TEXT_DESCRIPTIONS).format(w=what, W=capitalize(what), k=keys[0])

    def call() -> Call:
        topic = rng.choice((plural(names.thing()), names.word(), rng.choice(_TOPICS)))
        given = [key for key in keys if key not in optional or rng.random() < 0.7]
        arguments = {key: f"A {key} about {topic}" for key in given}
        return rng.choice(_TEXT_ASKS).format(w=what, t=topic), arguments, "done", "done"

    return Kind(name, description, properties, call, "text", optional)


_ABOUT_PLACES = (
    "weather", "temperature", "population", "time", "traffic", "air quality", "tide", "news", "forecast", "altitude", "exchange rate",
)  # fmt: skip
_PLACE_DESCRIPTIONS = (
    "Get the {w} at a {k}.", "{W} of a {k}.", "Find out the {w} for a given {k}.", "The {w} right now.",
)  # fmt: skip
_PLACE_ASKS = (
    "What is the {w} in {p}?", "What's the {w} in {p}?", "How is the {w} in {p}?", "{w} {p}", "Tell me the {w} for {p}.", "Is the {w} good in {p}?",
)  # fmt: skip
_RECORDS = ("customer", "user", "product", "company", "contact", "project", "shop", "book", "member")  # fmt: skip
_RECORD_DESCRIPTIONS = (
    "Create a {w}.", "Add a new {w} with a name.",
    "Tool to add a {w}.\n\nArgs:\n    {k}: The name in its own language.\n    {d}: What it is.",
)  # fmt: skip
_MAKE = ("Create", "Add", "Register", "Make", "Please create")
_CALLED = ("named", "called", "with the name")
_TEXTS = (
    "poem", "story", "riddle", "greeting", "slogan", "limerick", "quote", "tale", "toast", "letter", "proverb", "anecdote", "song", "speech",
)  # fmt: skip
_TEXT_DESCRIPTIONS = (
    "{W} to tell the user.", "A {w} to show.", "{W} for the reader.", "Write a {w}.", "Make a {w} in a certain {k}.",
)  # fmt: skip
_TEXT_ASKS = (
    "Tell me a {w} about {t}.", "Give me a {w} about {t}.", "Write a {w} on {t}.", "Make a {t} {w}.", "I want a {w} about {t}.",
    "Using the tool, make a {t} {w}.", "A {w} about {t}, please.",
)  # fmt: skip
_PARTS = (
    "title", "text", "style", "first_line", "ending", "rhyme", "opening", "moral", "answer", "question", "tone", "chorus", "hint",
)  # fmt: skip
_TOPICS = (
    "dogs", "birds", "pirates", "rain", "bread", "trains", "the moon", "winter", "teachers", "bicycles", "coffee", "robots", "gardens", "fish",
)  # fmt: skip
