"""Noun phrases: names of parts and things, actors, and what is acted on."""

from dataclasses import dataclass

from mlx_backends.bundled.training import lexicon
from mlx_backends.bundled.training.grammar.verbs import Verb
from mlx_backends.bundled.training.grammar.words import indefinite, plural
from mlx_backends.bundled.training.lexicon import Names


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
