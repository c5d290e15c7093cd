"""What packages say of their arguments, options and errors, and the questions over it."""

import random

import pytest

from mlx_backends.bundled.training import prose
from mlx_backends.bundled.training.generator import Corpus
from mlx_backends.bundled.training.generator.documentation import chains
from mlx_backends.bundled.training.generator.documentation.references import References
from mlx_backends.bundled.training.generator.documentation.writer import Section, Writer
from mlx_backends.bundled.training.lexicon import Names
from mlx_backends.bundled.training.prose.references import Entry, Reference, references

GOOGLE = '''
def fold(pages, depth=4, *, mark="x"):
    """Fold it.

    Args:
        pages (list of (int, str)): The pages to fold. They are not
            changed.
        depth: How often to fold, defaults to 4.
        mark: Name of the mark that
            is set.

    Returns:
        The folded pages.
    """
'''
NUMPY = '''
class Wall:
    """A wall.

    Parameters
    ----------
    width : int, optional
        The width of the wall in bricks.
    *args
        Bricks that are laid first.

    Returns
    -------
    nothing : None
        Not an argument at all.
    """

    def __init__(self, width=-1, *args):
        pass
'''
SPHINX = '''
def send(address, retries=3):
    """Send it.

    :param address: Address of the receiver.
    :param int retries: Number of attempts that are made.
    :return: the answer
    """
'''
COMMAND = """
parser.add_argument("-s", "--size", default=3, help="Number of printed pages (default: 3).")
parser.add_argument("--quiet", action="store_true", help="Do not print the progress")
parser.add_argument("file", help="The file that is read")
"""
ERRORS = '''
class LateError(Exception):
    """Raised when an answer comes too late."""

class WideError(Exception):
    """Raised if a page is too wide."""
'''


def read(tmp_path, source):
    path = tmp_path / "module.py"
    path.write_text(source, encoding="utf-8")
    return list(references(path))


@pytest.mark.parametrize(
    ("source", "kind", "owner", "entries"),
    [
        (
            GOOGLE,
            "argument",
            "fold",
            [
                Entry("pages", "The pages to fold"),
                Entry("depth", "How often to fold", "4"),
                Entry("mark", "Name of the mark that is set", "'x'"),
            ],
        ),
        (
            NUMPY,
            "argument",
            "Wall",
            [
                Entry("width", "The width of the wall in bricks", "-1"),
                Entry("args", "Bricks that are laid first"),
            ],
        ),
        (
            SPHINX,
            "argument",
            "send",
            [
                Entry("address", "Address of the receiver"),
                Entry("retries", "Number of attempts that are made", "3"),
            ],
        ),
        (
            COMMAND,
            "option",
            "",
            [
                Entry("--size", "Number of printed pages", "3"),
                Entry("--quiet", "Do not print the progress"),
            ],
        ),
        (
            ERRORS,
            "error",
            "",
            [
                Entry("LateError", "Raised when an answer comes too late"),
                Entry("WideError", "Raised if a page is too wide"),
            ],
        ),
    ],
    ids=["google", "numpy", "sphinx", "command", "errors"],
)
def test_entries_are_read_in_every_style(tmp_path, source, kind, owner, entries):
    assert Reference(kind, owner, entries) in read(tmp_path, source)


def test_a_collection_keeps_its_references(tmp_path):
    kept = Reference("error", "", [Entry("A", "Raised if it rains"), Entry("B", "x", "1")])
    document = prose.Document("pack", False, [["It rains."]], [""], [kept])
    prose.save([document], tmp_path / "prose.json.gz")
    assert prose.load(tmp_path / "prose.json.gz")[0] == [document]


REFERENCES = [
    Reference(
        "option",
        "",
        [
            Entry("--rows", "Number of rows that a page shows", "20"),
            Entry("--quiet", "Do not print the progress of a run"),
            Entry("--fold", "Whether to fold long lines at words", "False"),
        ],
    ),
    Reference(
        "error",
        "",
        [
            Entry("LateError", "Raised when an answer comes too late"),
            Entry("WideError", "Raised if a page is wider than the sheet"),
        ],
    ),
]


@pytest.fixture
def asks():
    corpus = Corpus([], {}, [], [], references=REFERENCES)
    drawer = References(random.Random(5), corpus, held_out=False)
    return [ask for _ in range(300) for ask in _checked(drawer.section())]


def _checked(section):
    """All questions of a section, of which each is answered by one stretch of the page."""
    page = " ".join("\n\n".join(section.blocks).split())
    for ask in section.asks:
        assert ask.answer in ask.anchor
        assert page.count(ask.anchor) == 1
        assert "{" not in ask.question
    return section.asks


def test_entries_are_asked_for_by_name_meaning_and_default(asks):
    answers = {ask.answer.strip("`") for ask in asks}
    assert {"--rows", "--fold", "20", "False", "LateError", "WideError"} <= answers
    assert "Number of rows that a page shows" in answers
    assert "an answer comes too late" in answers  # when is it raised
    assert "Raised when an answer comes too late" not in answers


def test_an_action_is_asked_for_without_what_leads_to_it(asks):
    folding = [ask.question for ask in asks if ask.answer.strip("`") == "--fold"]
    assert any("fold long lines" in question for question in folding)
    assert not any("whether" in question.lower() for question in folding)


def test_what_fits_two_entries_is_not_asked_for():
    twins = [Entry("a", "The size of the page"), Entry("b", "The size of the page in lines")]
    corpus = Corpus([], {}, [], [], references=[Reference("argument", "", twins)])
    drawer = References(random.Random(5), corpus, held_out=False)
    asked = [ask for _ in range(200) for ask in drawer.section().asks]
    assert asked
    assert not [ask for ask in asked if ask.answer.strip("`") == "a"]


@pytest.mark.parametrize("form", [chains.deeds, chains.doers, chains.keys, chains.also])
def test_chains_answer_each_part(form):
    rng = random.Random(2)
    names = Names(rng, held_out=False)
    names.learn([], [])
    asked = 0
    for _ in range(100):
        section = Section()
        form(Writer(names, held_out=False), section)
        asked += len(_checked(section))
    assert asked > 90
