"""A small collection of real prose in the form that `train prepare` writes."""

import pytest

from mlx_backends.bundled.training import prose

TRAINED = [
    "The cache holds the last ten results.",
    "A worker reads the queue until it is empty.",
    "The parser raises `ValueError` if the header is missing.",
    "The log is written to the standard error.",
    "A session is closed when the client leaves.",
]
# Of click (BSD-3-Clause) and markdown-it-py (MIT); questions over them are kept for evaluation.
WRITTEN = [
    [
        "Internal helper to get the default value of the color flag.",
        "If a value is passed it's returned unchanged, otherwise it's looked up from the current"
        " context.",
    ],
    [
        "Generates HTML from parsed token stream.",
        "Each instance has independent copy of rules.",
        "Those can be rewritten with ease.",
        "Also, you can add new rules if you create plugin and adds new token types.",
    ],
]
HELD_OUT = [
    "The {0} router stores the matched rules in a table.",
    "A {0} handler returns a response when the request is complete.",
    "The {0} compiler writes the object files to the build folder.",
    "The {0} server closes the connection if the token is wrong.",
    "A {0} template contains the names of the blocks.",
]
SOURCES = ("flask", "tornado", "werkzeug", "cmake")


@pytest.fixture(scope="session")
def collection(tmp_path_factory):
    """Path of a collection with one trained source and four that are held out whole."""
    documents = [prose.Document("trained", False, [TRAINED, *WRITTEN], ["Title", "", ""])]
    documents += [
        prose.Document(source, True, [[text.format(source) for text in HELD_OUT]], ["Title"])
        for source in SOURCES
    ]
    path = tmp_path_factory.mktemp("prose") / "prose.json.gz"
    prose.save(documents, path)
    return path
