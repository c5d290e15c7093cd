import pytest

pytest.importorskip("tokenizers")

from mlx_backends.bundled.training import recall
from mlx_backends.bundled.training.generator import Context, Item
from mlx_backends.bundled.training.question_pools import Pool

FIRST = Context(
    ["Tea is hot.\nSnow is\ncold.", "Snow is cold. Grass is green."],
    [
        Item("What is cold?", "Snow", 0, "Snow is cold."),
        Item("What is green?", "Grass", 1, "Grass is green."),
        Item("Who sings?", None),
    ],
)
SECOND = Context(["Birds sing."], [Item("Who sings?", "Birds", 0, "Birds sing.")])


def make_pool(max_passages: int = 9, max_questions: int = 9) -> Pool:
    pool = Pool()
    for context in (FIRST, SECOND):
        pool.add(context, max_passages=max_passages, max_questions=max_questions)
    return pool


def test_a_question_points_at_the_passage_that_answers():
    pool = make_pool()
    assert pool.questions == ["What is cold?", "What is green?", "Who sings?"]
    assert pool.positives == [0, 1, 2]
    assert len(pool.passages) == 3


def test_a_pool_has_bounds():
    pool = make_pool(max_passages=1)
    assert (len(pool.passages), pool.questions) == (1, ["What is cold?"])
    assert make_pool(max_questions=2).questions == ["What is cold?", "What is green?"]


def test_another_passage_with_the_same_sentence_is_a_twin_however_its_lines_break():
    assert make_pool().twins() == [(0, 1)]


class ContextGenerator:
    """Gives contexts in turn, as the real generator's methods do."""

    def __init__(self) -> None:
        self.made = 0

    def prose_context(self, count: int) -> Context:
        self.made += 1
        text = f"Fact {self.made} holds."
        new = Context([text], [Item(f"Which fact is {self.made}?", str(self.made), 0, text)])
        return FIRST if self.made % 2 else new


def test_each_retrieval_item_has_one_passage_that_answers():
    asked, passages = recall.prose(ContextGenerator(), 5)
    assert len(asked) == len(set(asked)) == len(set(passages)) == 5
    assert sum("Snow is" in passage for passage in passages) == 1
