"""What contexts of documentation promise: answers are spans, what is held out stays out."""

import random

import pytest

from mlx_backends.bundled.training.generator import Corpus, Generator
from mlx_backends.bundled.training.generator.documentation import frames, wordings
from mlx_backends.bundled.training.generator.documentation.sections import SECTIONS
from mlx_backends.bundled.training.generator.documentation.writer import Writer
from mlx_backends.bundled.training.lexicon import Names

PROSE = [
    ["`fold` returns the list of pages.", "The cache is cleared when the server stops."],
    ["A page must be closed after use.", "The default of `depth` is 4."],
    ["Use `walk` to visit every page.", "Errors are logged."],
]


@pytest.fixture(scope="module", params=[False, True], ids=["training", "evaluation"])
def generator(request):
    corpus = Corpus(documents=[PROSE], asked={}, nouns=[], modifiers=[])
    return Generator(3, corpus, held_out=request.param)


def test_every_answer_is_a_span_of_the_passage_it_cites(generator):
    answered = refused = 0
    for _ in range(300):
        context = generator.documentation_context(real=False)
        for item in context.items:
            if item.answer is None:
                refused += 1
                continue
            answered += 1
            passages = [" ".join(passage.split()) for passage in context.passages]
            assert item.answer in passages[item.passage], item
            holding = [i for i, passage in enumerate(passages) if item.sentence in passage]
            assert item.passage == holding[0], item  # overlapping chunks: the first is cited
    assert answered > 5 * refused > 500


@pytest.mark.parametrize("maker", [maker for _, maker in SECTIONS], ids=lambda make: make.__name__)
def test_a_section_says_what_it_answers(maker):
    names = Names(random.Random(5))
    asked = 0
    for _ in range(40):
        section = maker(Writer(names, held_out=False))
        text = " ".join(" ".join(section.blocks).split())
        for ask in section.asks:
            asked += 1
            assert ask.answer in ask.anchor, ask
            assert " ".join(ask.anchor.split()) in text, ask
            assert "{" not in ask.question, ask
    assert asked >= 40


def test_no_question_is_left_with_an_open_slot(generator):
    for _ in range(300):
        for item in generator.documentation_context(real=False).items:
            assert "{" not in item.question, item


def test_subjects_and_frames_of_evaluation_are_not_trained():
    trained, held_out = (wordings.subjects(held_out=side) for side in (False, True))
    for kind in ("actions", "settings", "conditions", "reasons", "statements"):
        kept = getattr(held_out, kind)
        assert len(kept) >= 3
        assert not [item for item in kept if item in getattr(trained, kind)]
    for trained_frames, held_out_frames in frames.FRAMES.values():
        assert trained_frames
        assert held_out_frames


@pytest.mark.parametrize(
    ("action", "third", "gerund"),
    [
        ("be quiet", "is quiet", "being quiet"),
        ("never ask back", "never asks back", "never asking back"),
        ("not send data", "does not send data", "not sending data"),
    ],
)
def test_actions_are_conjugated(action, third, gerund):
    assert (wordings.third(action), wordings.gerund(action)) == (third, gerund)


def test_a_clause_becomes_a_question_by_word_order_alone():
    assert wordings.question_of("the cache is off by default") == "is the cache off by default"
    assert wordings.question_of("names differ") is None


def test_a_question_may_use_another_wording():
    rng = random.Random(0)
    stated, asked = wordings.pair(rng, ("stop it", "end it"), other=1.0)
    assert {stated, asked} == {"stop it", "end it"}
