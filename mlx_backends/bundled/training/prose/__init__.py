"""Real English technical prose, with questions made by rules.

Docstrings of installed packages and the manuals of Debian packages, all permissively licensed. Some
modules and some whole manuals are kept for evaluation.
"""

from mlx_backends.bundled.training.prose.collection import (
    Document,
    collect,
    load,
    save,
    vocabulary,
)
from mlx_backends.bundled.training.prose.docstrings import PACKAGES
from mlx_backends.bundled.training.prose.pages import MANUALS
from mlx_backends.bundled.training.prose.references import Entry, Reference
from mlx_backends.bundled.training.prose.rules import Question, questions

__all__ = [
    "MANUALS",
    "PACKAGES",
    "Document",
    "Entry",
    "Question",
    "Reference",
    "collect",
    "load",
    "questions",
    "save",
    "vocabulary",
]
