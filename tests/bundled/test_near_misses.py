"""Unanswerable questions that a context nearly answers."""

import pytest

from mlx_backends.bundled.training import lexicon
from mlx_backends.bundled.training.families import ALL_TRAINED
from mlx_backends.bundled.training.families.triples import TRIPLES
from mlx_backends.bundled.training.generator import Corpus, Generator
from mlx_backends.bundled.training.generator.near_misses import is_covered
from mlx_backends.bundled.training.grammar import slots_always_named


@pytest.mark.parametrize(
    ("question", "statement", "covered"),
    [
        ("What does the pool delete?", "The pool removes old blocks.", True),
        ("What does `--open` default to?", "`--open`: top speed. Default: white.", True),
        ("Who manages Zorvan?", "Zorvan is in the hands of Lia Brok.", True),
        ("Who founded Zorvan?", "Zorvan lies in Brokkia.", False),
        ("What does the pool lock?", "The pool removes old blocks.", False),
        ("What does the watcher remove?", "The pool removes old blocks.", False),
    ],
)
def test_a_question_is_covered_by_its_words_or_equal_ones(question, statement, covered):
    assert is_covered(question, [statement]) is covered


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        (("cost", {}), ("price", {}), True),
        (("lasts", {}), ("duration", {}), True),
        (("creator", {}), ("made", {}), True),
        (("platform", {}), ("requirement", {}), True),
        (("boss", {}), ("role", {"r": "director"}), True),
        (("boss", {}), ("role", {"r": "treasurer"}), False),
        (("attribute", {"n": "price"}), ("cost", {}), True),
        (("attribute", {"n": "layer count"}), ("attribute", {"n": "number of layers"}), True),
        (("attribute", {"n": "opening time"}), ("attribute", {"n": "closing time"}), False),
        (("height", {}), ("width", {}), False),
        (("memory", {}), ("keeps", {}), False),
        # "What does `x` default to?" names the option and not what it sets.
        (("option", {"n": "seed"}), ("option", {"n": "quota"}), True),
        (("option_default", {"n": "seed"}), ("option", {"n": "quota"}), True),
        (("option", {"n": "seed", "c": "`a`"}), ("default", {"n": "seed"}), True),
        (("option", {"c": "`a`"}), ("option", {"c": "`b`"}), False),
    ],
)
def test_facts_meet_if_one_answers_a_question_of_the_other(collection, first, second, same):
    names = Generator(9, Corpus.load(collection, held_out=False)).names
    families = {family.name: family for family in ALL_TRAINED}
    shared = {"e": "Zorvan", "c": "`zor`"}
    for _ in range(20):
        facts = [families[name].make(names, shared | fixed) for name, fixed in (first, second)]
        assert facts[0].meets(facts[1]) is same
        assert facts[1].meets(facts[0]) is same


def test_no_statement_of_a_context_answers_a_question_of_another(collection):
    generator = Generator(10, Corpus.load(collection, held_out=False))
    of_all = 0
    for _ in range(300):
        facts = generator.facts(6)
        for index, fact in enumerate(facts):
            others = [*facts[:index], *facts[index + 1 :]]
            assert fact.asks
            assert not any(fact.meets(other) for other in others)
            assert not any("{" in question for question, _ in fact.asks)
            key, questions = fact.of_all
            asked = [question for question, _ in fact.asks if question in questions]
            assert not (asked and any(key in other.says for other in others))
            of_all += len(asked)
    assert of_all


@pytest.mark.parametrize(
    ("pattern", "named"),
    [
        ("What does {e} need[ for {l}]?", {"e"}),
        ("(Which {l} does {e} need|What is {e}'s {l}|{l} of {e})?", {"e", "l"}),
        ("(What (is {c} for|can I do with {c})|Why {c})?", {"c"}),
        ("(Who|What) is it?", set()),
    ],
)
def test_the_slots_that_every_form_of_a_question_names(pattern, named):
    assert slots_always_named(pattern) == named


@pytest.mark.parametrize("held_out", [False, True])
def test_near_misses_are_near_and_not_answered(collection, held_out):
    generator = Generator(5, Corpus.load(collection, held_out=held_out), held_out=held_out)
    near = 0
    for _ in range(150):
        context = generator.context(4, real=0.0, filler=0.0)
        answered = {item.question for item in context.items if item.answer is not None}
        missing = {item.question for item in context.items if item.answer is None}
        assert not answered & missing
        near += len(missing)
    assert near > 150  # more than one a context


@pytest.mark.parametrize("held_out", [False, True])
def test_changed_names_stay_on_their_side_of_the_split(collection, held_out):
    generator = Generator(6, Corpus.load(collection, held_out=held_out), held_out=held_out)
    names = generator._contexts.near_misses
    changed = [names._other_word(word) for word in lexicon.invented_words(300, held_out=held_out)]
    found = [word for word in changed if word]
    assert len(found) > 10
    assert all(lexicon.is_held_out(word) == held_out for word in found)


def test_every_relation_of_three_things_answers_each_of_its_questions(collection):
    generator = Generator(7, Corpus.load(collection, held_out=False))
    for family in TRIPLES:
        facts = [family.make(generator.names) for _ in range(60)]
        asks = [(question, answer, fact) for fact in facts for question, answer in fact.asks]
        assert all(
            answer in fact.statement and "{" not in question for question, answer, fact in asks
        )
        found = {
            slot
            for _, answer, fact in asks
            for slot in fact.slots
            if _same(fact.slots[slot], answer)
        }
        assert found >= set(family.asks)


def _same(slot: str, answer: str) -> bool:
    return slot.lower() == answer.lower()
