"""The evaluation: what it asks, what counts as right, what is held out, and how it answers."""

import dataclasses

import numpy as np
import pytest

from mlx_backends import bundled
from mlx_backends.bundled.evaluation import chat, grading, held_out, retrieval
from mlx_backends.bundled.evaluation.chat_model import ChatModel, Prompt
from mlx_backends.bundled.evaluation.held_out_prose import HeldOutProse
from mlx_backends.bundled.evaluation.rows import LM_ROWS, TOOL_CALL, is_near_miss
from mlx_backends.bundled.training import chatml, prose
from mlx_backends.bundled.training.families import ALL_TRAINED, HELD_OUT
from mlx_backends.bundled.training.generator import Conversation, Corpus, Generator
from mlx_backends.bundled.training.generator.documentation import wordings
from mlx_backends.text.grounding import REFUSAL, grounded_messages

ROWS = {row.name: row for row in LM_ROWS}


@pytest.fixture(scope="module")
def unseen(collection):
    return HeldOutProse.load(collection)


@pytest.fixture(scope="module")
def model():
    return ChatModel(bundled.path("lm"))


# ---------------------------------------------------------------- grading


@pytest.mark.parametrize(
    ("got", "wanted", "is_right"),
    [
        ('{"a": 1, "b": true}', '{"b": true, "a": 1}', True),
        ('{"a": 1}', '{"a": 1, "b": true}', False),
        ('{"a": 1}', '{"a": "1"}', False),
        ('{"a": 1}', '{"a": true}', False),
        ('{"a": 3}', '{"a": 3.0}', True),  # a number may be written as a whole one
        ('{"a": 3.0}', '{"a": 3}', False),  # an integer may not be written as a float
        ('{"a": [1, 2]}', '{"a": [2, 1]}', False),
        ('{"a": [1, null]}', '{"a": [1, null]}', True),
        ('{"a": ', '{"a": 1}', False),
    ],
)
def test_json_is_compared_by_value_and_type(got, wanted, is_right):
    assert grading.same_json(got, wanted) is is_right
    call = "<tool_call>\n{}\n</tool_call>"
    assert grading.same_call(call.format(got), call.format(wanted)) is is_right


@pytest.mark.parametrize("tail", [" Sure!", "\n<tool_call>\n{}\n</tool_call>"])
def test_a_call_is_one_call_and_nothing_else(tail):
    call = chatml.tool_call_text("find", {"a": 1})
    assert grading.same_call(call, call)
    assert not grading.same_call(call + tail, call)
    assert not grading.same_call(tail + call, call)


@pytest.mark.parametrize(
    ("got", "is_right"),
    [
        ("[1] `4096` requests", True),
        ("[1] **4096**", True),
        ("[1] 14096", False),
        ("[1] 40960", False),
        ("", False),
    ],
)
def test_an_answer_holds_the_expected_words_whole(got, is_right):
    assert grading.holds(got, ["4096"]) is is_right


def test_ndcg_of_one_right_passage():
    assert retrieval.ndcg([0]) == 1.0
    assert retrieval.ndcg([2]) == pytest.approx(0.5)
    assert retrieval.ndcg([10]) == retrieval.ndcg([None]) == 0.0
    assert retrieval.ndcg([0, None]) == pytest.approx(0.5)


# ---------------------------------------------------------------- rows


@pytest.mark.parametrize("name", ROWS)
def test_a_row_makes_different_items_that_end_with_an_answer(name, unseen):
    items = ROWS[name].draw(unseen, 5)
    assert len({item.text() for item in items}) == len(items) >= 1
    assert all(item.messages[-1]["role"] == "assistant" for item in items)
    # No turn before the answer is graded, and the right answer is right.
    for item in items:
        assert ROWS[name].grade(item.messages[-1]["content"], item.messages[-1]["content"])


def test_a_row_makes_the_same_items_in_every_run(unseen):
    row = ROWS["4 facts"]
    assert row.draw(unseen, 5) == row.draw(unseen, 5)
    assert row.draw(unseen, 5) == row.draw(unseen, 8)[:5]


def test_refusals_are_near_misses(unseen):
    for item in ROWS["near miss refused"].draw(unseen, 20):
        assert item.messages[-1]["content"] == REFUSAL
        passages, _, question = item.messages[-2]["content"].rpartition("Question: ")
        assert is_near_miss(question, passages.split("\n["))


def test_a_question_about_something_else_is_no_near_miss():
    passages = ["The port of the blue server is 80.", "Dogs bark."]
    assert is_near_miss("What is the price of the blue server?", passages)
    assert not is_near_miss("Who founded the Velora museum?", passages)


def test_prose_is_asked_over_every_unseen_source(unseen, collection):
    items = ROWS["real prose, sources never seen"].draw(unseen, 16)
    texts = [item.messages[-2]["content"] for item in items]
    assert all(any(source in text for text in texts) for source in unseen.by_source)
    assert len(unseen.by_source) == 4


def test_a_source_that_training_reads_is_not_unseen(tmp_path):
    documents = [
        prose.Document("half", False, [["The cache holds the last ten results."]], [""]),
        prose.Document("half", True, [["A worker reads the queue until it is empty."]], [""]),
        prose.Document("whole", True, [["The log is written to the standard error."]], [""]),
    ]
    prose.save(documents, tmp_path / "prose.json.gz")
    assert list(HeldOutProse.load(tmp_path / "prose.json.gz").by_source) == ["whole"]


# ---------------------------------------------------------------- what is held out


def test_the_two_sides_share_nothing(collection):
    held_out.assert_held_out(collection, conversations=100)


def test_a_trained_family_is_noticed(monkeypatch):
    monkeypatch.setattr(held_out, "HELD_OUT", [*HELD_OUT, ALL_TRAINED[0]])
    with pytest.raises(held_out.LeakError, match=ALL_TRAINED[0].name):
        held_out.assert_families_differ()


def test_a_trained_pattern_is_noticed(monkeypatch):
    renamed = dataclasses.replace(ALL_TRAINED[0], name="new")
    monkeypatch.setattr(held_out, "HELD_OUT", [renamed])
    with pytest.raises(held_out.LeakError, match="patterns"):
        held_out.assert_families_differ()


def test_trained_wordings_are_noticed(monkeypatch):
    monkeypatch.setattr(held_out, "HELD_OUT_CONCEPTS", held_out.TRAINED_CONCEPTS[:1])
    with pytest.raises(held_out.LeakError, match="Wordings"):
        held_out.assert_equal_wordings_differ()


@pytest.mark.parametrize(
    ("held_out_sides", "message"),
    [((False,), "0 sources"), ((False, True), "One two")],
    ids=["no held-out source", "a shared sentence"],
)
def test_a_leak_of_prose_is_noticed(tmp_path, held_out_sides, message):
    path = tmp_path / "prose.json.gz"
    documents = [prose.Document(str(side), side, [["One two."]], [""]) for side in held_out_sides]
    prose.save(documents, path)
    with pytest.raises(held_out.LeakError, match=message):
        held_out.assert_prose_differs(path)


@pytest.mark.parametrize("head", ["Question: ", "Tell me: ", ""])
def test_a_held_out_question_is_noticed_in_training(collection, head):
    corpus = Corpus.load(collection, held_out=False)
    fact = Generator(5, corpus, families=HELD_OUT).facts(1)[0]
    asked = Conversation(
        [{"role": "user", "content": f"Passages:\n[1] x\n\n{head}{fact.asks[0][0]}"}]
    )
    with pytest.raises(held_out.LeakError, match="asks as the evaluation"):
        held_out.assert_nothing_leaks([asked], held_out.Phrasings(), set())


@pytest.mark.parametrize("head", ["Question: ", ""])
def test_a_written_question_is_noticed_in_training(head):
    asked = frozenset({held_out.bare_question("Which colour does the logo have?")})
    turns = [{"role": "user", "content": f"{head}Which colour does `the logo` have?"}]
    with pytest.raises(held_out.LeakError, match="was generated"):
        held_out.assert_nothing_leaks([Conversation(turns)], held_out.Phrasings(), set(), asked)


def test_a_written_question_among_the_wordings_of_training_is_noticed():
    statement = wordings.subjects(held_out=False).statements[0]
    asked = frozenset({held_out.bare_question(statement.asks[0])})
    with pytest.raises(held_out.LeakError, match="is trained"):
        held_out.assert_wordings_differ(held_out.Phrasings(), asked)


@pytest.mark.parametrize("form", ["{} is here.", "`{}_count`", "{}Server", "the-{}"])
def test_an_evaluation_word_is_noticed_in_training(form):
    words = held_out.evaluation_words()
    text = form.format(sorted(words)[0].capitalize() if "Server" in form else sorted(words)[0])
    asked = Conversation([{"role": "user", "content": text}])
    with pytest.raises(held_out.LeakError, match="words were generated"):
        held_out.assert_nothing_leaks([asked], held_out.Phrasings(), words)


# ---------------------------------------------------------------- answers


def test_batched_answers_are_those_given_alone_and_teacher_forcing_agrees(model, unseen):
    items = [
        item for name in ("1 fact", "8 facts", TOOL_CALL) for item in ROWS[name].draw(unseen, 3)
    ]
    prompts = [chat.prompt_of(item, model.count) for item in items]
    together = model.generate(prompts)
    assert together == [model.generate([prompt])[0] for prompt in prompts]
    wanted = [item.messages[-1]["content"] for item in items]
    assert model.prefers(prompts, wanted) == [a == b for a, b in zip(together, wanted, strict=True)]
    assert model.prefers(prompts, together) == [True] * len(items)
    assert model.prefers(prompts, [f"{text} x" for text in wanted]) == [False] * len(items)


def test_answers_come_in_the_order_of_the_prompts(model):
    texts = ["alpha", "a longer text of several words", "beta 7"]
    messages = [[{"role": "user", "content": f"Repeat: {text}"}] for text in texts]
    assert model.generate([Prompt(turns, None, 32) for turns in messages]) == texts


def test_an_answer_is_cut_at_its_budget(model):
    turns = [{"role": "user", "content": "Repeat: one two three four five six seven"}]
    answer = model.generate([Prompt(turns, None, 3)])[0]
    assert model.count(answer) == 3


class OneToken:
    """Allows one token, three times over."""

    def __init__(self, token: int, vocabulary: int) -> None:
        self.mask = np.zeros(-(-vocabulary // 32), np.uint32)
        self.mask[token // 32] = 1 << (token % 32)
        self.taken: list[int] = []

    def allowed_bitmask(self):
        return self.mask

    def accept(self, token_id):
        self.taken.append(token_id)
        return token_id

    @property
    def is_finished(self):
        return len(self.taken) == 3


def test_a_constraint_bounds_its_own_row_alone(model):
    turns = grounded_messages("What is red?", ["The flag is red."])
    token = model.tokenizer.encode("x", add_special_tokens=False)[0]
    constraint = OneToken(token, 4096)
    free, bound = model.generate([Prompt(turns, None, 8), Prompt(turns, None, 8, constraint)])
    assert bound == model.tokenizer.decode([token] * 3)
    assert free == model.generate([Prompt(turns, None, 8)])[0] != bound


# ---------------------------------------------------------------- measuring


def test_measuring_counts_right_answers_and_shows_the_wrong_ones(unseen):
    wrong: list[tuple[str, ...]] = []

    def half(prompts):
        right = [item.messages[-1]["content"] for item in ROWS["1 fact"].draw(unseen, 4)]
        return [*right[:2], "no", "no"][: len(prompts)]

    (figure,) = chat.measure(
        [ROWS["1 fact"]],
        unseen,
        4,
        chat.Asked(half, len),
        on_wrong=lambda *found: wrong.append(found),
    )
    assert (figure.value, figure.items, figure.passes) == (0.5, 4, False)
    assert [got for _, _, got, _ in wrong] == ["no", "no"]


def test_only_what_one_pass_leaves_open_is_generated(unseen):
    generated = []

    def generate(prompts):
        generated.extend(prompts)
        return ["{}"] * len(prompts)

    def prefers(prompts, answers):
        return [index == 0 for index in range(len(prompts))]

    rows = [ROWS["1 fact"], ROWS["JSON answer"]]
    figures = chat.measure(rows, unseen, 3, chat.Asked(generate, len, prefers))
    assert [figure.value for figure in figures] == [pytest.approx(1 / 3)] * 2
    assert len(generated) == 2  # JSON alone: there another text may be right too


def test_tool_calls_are_measured_again_within_a_grammar(unseen):
    made = []

    def constrain(tools, max_tokens):
        made.append((len(tools), max_tokens))
        return OneToken(1, 4096)

    asked = chat.Asked(lambda prompts: [""] * len(prompts), len, constrain=constrain)
    figures = chat.measure([ROWS[TOOL_CALL]], unseen, 3, asked)
    assert [figure.gate for figure in figures] == [0.90, 0.97]
    assert len(made) == 3
    assert all(count >= 1 for count, _ in made)


def test_rows_are_chosen_by_a_part_of_their_name():
    assert [row.name for row in chat.rows_named(["12", "JSON"])] == ["12 facts", "JSON answer"]
    assert chat.rows_named([]) == LM_ROWS
    with pytest.raises(ValueError, match="Rows: 1 fact; "):
        chat.rows_named(["nothing"])


def one_hot(texts):
    """Vectors by the first word alone."""
    return np.array(
        [[float(text.startswith(letter)) for letter in "abc"] for text in texts], np.float32
    )


def test_reranking_moves_the_right_passage_up():
    asked, passages = ["a 1", "a 2"], ["a one", "a two"]
    vectors = one_hot(asked), one_hot(passages)
    pool = retrieval.Pool(asked, passages, vectors[0] @ vectors[1].T, vectors)
    right = {("a 1", "a one"), ("a 2", "a two")}

    def score(question, texts):
        return [float((question, text) in right) for text in texts]

    assert retrieval.ranks(pool, 2) == [0, 1]
    assert retrieval.ranks(pool, 2, score) == [0, 0]
    assert retrieval.ranks(pool, 1, score) == [0, None]
