"""English word forms: capitals, plurals and articles."""


def capitalize(text: str) -> str:
    """Raise the first letter and leave the rest alone."""
    return text[:1].upper() + text[1:]


_LOWERABLE = frozenset(
    "The A An By In At On When If Unless Every Each All What Which Who Where How Why Of For To From Is "
    "Are Do Does Can Only Please Tell Name Give Weights After Before Once With Use Set Pass It There "
    "Nothing Most Both Any Hundreds Up No Whenever Under Without During Through Whose Whom".split()
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
