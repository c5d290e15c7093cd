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
    documents = [prose.Document("trained", False, [TRAINED], ["Title"])]
    documents += [
        prose.Document(source, True, [[text.format(source) for text in HELD_OUT]], ["Title"])
        for source in SOURCES
    ]
    path = tmp_path_factory.mktemp("prose") / "prose.json.gz"
    prose.save(documents, path)
    return path
