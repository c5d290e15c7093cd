"""Real English technical prose, with questions made by rules and questions written by hand.

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
from mlx_backends.bundled.training.prose.written import (
    Written,
    is_held_out,
    paragraph_key,
    written_questions,
)

__all__ = [
    "MANUALS",
    "PACKAGES",
    "Document",
    "Entry",
    "Question",
    "Reference",
    "Written",
    "collect",
    "is_held_out",
    "load",
    "paragraph_key",
    "questions",
    "save",
    "vocabulary",
    "written_questions",
]
