"""Questions written by hand: what their file promises, and the contexts that ask them."""

import random

import pytest

from mlx_backends.bundled.evaluation.held_out import (
    LeakError,
    Phrasings,
    assert_wordings_differ,
    bare_question,
)
from mlx_backends.bundled.training import prose, recall
from mlx_backends.bundled.training.generator import Corpus, Generator
from mlx_backends.bundled.training.generator.documentation.exchange import AnswerExchange
from mlx_backends.bundled.training.generator.documentation.renaming import Renaming
from mlx_backends.bundled.training.generator.documentation.writer import Ask
from mlx_backends.bundled.training.lexicon import Names
from mlx_backends.bundled.training.prose import Written

PAGE = [
    ["`read_rows` reads at most 512 rows.", "It raises RowError at the end."],
    ["Errors are logged.", "The log is kept for 30 days."],
    ["A page must be closed after use."],
]
WRITTEN = {
    PAGE[0][0]: [
        Written("How many rows do I get at once from read_rows?", "512 rows"),
        Written("Which error tells me that there is nothing left?", "RowError"),
        Written("Who wrote `read_rows`?", None),
    ],
    PAGE[1][0]: [Written("How long can I look up what went wrong?", "30 days")],
}


@pytest.fixture(scope="module")
def generator():
    other = [["Nothing of it is here.", "Or there.", "Or anywhere.", "At all."]] * 2
    corpus = Corpus([PAGE, other], {}, [], [], {PAGE[1][0]: "Logs"}, written=WRITTEN)
    return Generator(3, corpus)


def test_every_line_of_the_file_is_a_question_of_its_own():
    asked = prose.written_questions()
    lines = [(key, item.question) for key, found in asked.items() for item in found]
    assert len(lines) == len({*lines}) > 4_000
    assert all(len(key) == 10 and int(key, 16) >= 0 for key in asked)
    assert 0.03 < sum(item.answer is None for f in asked.values() for item in f) / len(lines) < 0.3
    assert 0.05 < sum(map(prose.is_held_out, asked)) / len(asked) < 0.15


def test_no_written_question_is_one_of_the_evaluation():
    assert_wordings_differ(Phrasings(), frozenset())
    first = next(iter(prose.written_questions().values()))[0]
    with pytest.raises(LeakError, match="is trained"):
        assert_wordings_differ(Phrasings(), frozenset({bare_question(first.question)}))


def test_answers_are_spans_of_the_cited_passage_and_the_rest_is_refused(generator):
    answers, refused = set(), set()
    for _ in range(400):
        context = generator.written_context()
        for item in context.items:
            if item.answer is None:
                refused.add(item.question)
                continue
            answers.add(item.answer)
            assert item.answer in " ".join(context.passages[item.passage].split())
    assert {"512 rows", "RowError", "30 days"} < answers, "names as they are, and others"
    assert "Who wrote `read_rows`?" in refused


def test_a_question_without_its_paragraph_is_refused(generator):
    for _ in range(300):
        context = generator.written_context()
        text = " ".join(" ".join(context.passages).split())
        for item in context.items:
            if item.question.startswith("How long can I look up"):
                assert (item.answer is None) == ("The log is kept" not in text)


def test_renaming_is_the_same_everywhere_and_keeps_answers_spans():
    names = Names(random.Random(1))
    text = "`read_rows` reads 512 rows, or fails with RowError: see READ_MODE, --fast and 1.25."
    ask = Ask("What does read_rows raise?", "RowError", text)
    (renamed,), (asked,) = Renaming(names).page([text], [ask])
    assert asked.anchor == renamed
    assert asked.answer in renamed
    assert renamed.split("`")[1] in asked.question
    for gone in ("read_rows", "512", "RowError", "READ_MODE", "--fast"):
        assert gone not in renamed
    assert "1.25." in renamed


@pytest.mark.parametrize("role", ["Error", "Exception", "Warning"])
def test_a_class_keeps_what_its_name_says_it_is(role):
    renaming = Renaming(Names(random.Random(1)))
    renamed = renaming.text(f"Raises Bad{role}, see RowReader.").split()[1].rstrip(",")
    assert renamed.endswith(role)
    assert renamed != f"Bad{role}"


EXCHANGED = "The pool is cleared when it is full. A flag, `--keep`, holds 512 pages."


@pytest.mark.parametrize(
    ("answer", "others", "changed"),
    [
        ("`--keep`", ["`--drop`"], EXCHANGED.replace("--keep", "--drop")),
        ("512", ["7"], EXCHANGED.replace("512", "7")),
        ("when it is full", ["when idle"], EXCHANGED.replace("when it is full", "when idle")),
        ("`--keep`", ["`drop`"], EXCHANGED),  # not of its kind
        ("is", ["was"], EXCHANGED),  # twice in the text
    ],
)
def test_an_answer_is_exchanged_for_one_of_its_kind(answer, others, changed):
    blocks, asks = AnswerExchange(random.Random(4), others).page(
        ["## Pool", EXCHANGED], [Ask("Which one?", answer, EXCHANGED)], share=1.0
    )
    assert blocks == ["## Pool", changed]
    (ask,) = asks
    assert ask.anchor == changed
    assert ask.answer == (answer if changed == EXCHANGED else others[0])


def test_what_else_was_asked_of_an_exchanged_answer_goes():
    text = "The reader returns the oldest record of the list."
    asks = [
        Ask("What comes back?", "the oldest record", text),
        Ask("Which record counts as the oldest record?", "the oldest record of the list", text),
    ]
    found = [
        AnswerExchange(random.Random(seed), ["the whole page"]).page([text], asks, share=1.0)
        for seed in range(9)
    ]
    changed = "The reader returns the whole page of the list."
    kept = [asked for blocks, asked in found if blocks == [changed]]
    assert kept
    assert all(asked == [Ask("What comes back?", "the whole page", changed)] for asked in kept)


def test_training_reads_no_paragraph_that_is_kept_for_evaluation(tmp_path, monkeypatch):
    key = next(key for key in prose.written_questions() if prose.is_held_out(key))
    kept = PAGE[0]
    monkeypatch.setattr(prose, "paragraph_key", lambda p: key if p == kept else "0" * 9 + "1")
    path = tmp_path / "prose.json.gz"
    prose.save([prose.Document("trained", False, PAGE, ["", "", ""])], path)
    trained, unseen = Corpus.load(path, held_out=False), Corpus.load_written(path)
    assert trained.documents == [PAGE[1:]]
    assert not trained.written, "of the others nothing is asked"
    assert unseen.documents == [PAGE]
    assert list(unseen.written) == [kept[0]]


def test_each_answered_paragraph_is_asked_once_amid_others_of_its_pages(generator):
    asked, passages = recall.written(generator, 10)
    texts = {
        " ".join(PAGE[0]): WRITTEN[PAGE[0][0]][:2],
        "Logs\n" + " ".join(PAGE[1]): WRITTEN[PAGE[1][0]],
    }
    assert {*passages[:2]} == {*texts}
    for question, passage in zip(asked, passages[:2], strict=True):
        assert question in [item.question for item in texts[passage]]
    assert passages[2:] == [PAGE[2][0]], "of pages that are asked about, nothing else"
    one_asked, one_passage = recall.written(generator, 1)
    assert len(one_asked) == len(one_passage) == 1
