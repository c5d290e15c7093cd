"""Questions by rule over real sentences: what each answers, and that no answer is torn off."""

import random

import pytest

from mlx_backends.bundled.training.prose.rules import questions


def asked(sentence):
    """All questions of a sentence, in all forms that a few draws give, with their answers."""
    return {
        (found.render(random.Random(seed)), found.answer)
        for found in questions(sentence)
        for seed in range(20)
    }


@pytest.mark.parametrize(
    ("sentence", "question", "answer"),
    [
        ("Marked lines are stored as plain text.", "How are Marked lines stored?", "plain text"),
        (
            "The index is built to find pages without a scan.",
            "Why is the index built?",
            "to find pages without a scan",
        ),
        ("Each page is read by using a map.", "How is each page read?", "by using a map"),
        (
            "The page must be removed before the next one is read.",
            "When must the page be removed?",
            "before the next one is read",
        ),
        (
            "The check runs in a separate thread.",
            "Where does the check run?",
            "in a separate thread",
        ),
        ("There are three levels of errors.", "How many levels are there?", "three"),
        (
            "`open_page` returns the page map.",
            "Which map does `open_page` return?",
            "the page map",
        ),
        (
            "The reply holds the status, the cost and the time.",
            "What exactly does the reply hold?",
            "the status, the cost and the time",
        ),
    ],
)
def test_a_sentence_answers(sentence, question, answer):
    assert (question, answer) in asked(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "`load` reads the header, the index and the pages.",
        "`load` reads the header, the index, or the pages of one file.",
        "The default compares sizes, times and modes.",
    ],
)
def test_no_answer_ends_at_the_first_comma_of_a_list(sentence):
    found = [answer for _, answer in asked(sentence) if not sentence.startswith(answer)]
    assert all("," in answer for answer in found), found


def test_a_comma_before_a_clause_still_ends_an_answer():
    assert ("What does `load` read?", "the header") in asked(
        "`load` reads the header, which is short."
    )


def test_no_question_lacks_its_verb():
    assert not [
        question
        for verb in ("runs", "happens", "lies", "begins")
        for question, _ in asked(f"The check {verb} in the main thread.")
        if " ?" in question
    ]
