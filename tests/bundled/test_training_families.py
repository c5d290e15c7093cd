"""What training families and the thesaurus promise: answers are spans, held-out words stay out."""

import random
from itertools import combinations

import pytest

from mlx_backends.bundled.training import grammar, thesaurus
from mlx_backends.bundled.training.families import ALL_TRAINED, HELD_OUT_RELATIONS
from mlx_backends.bundled.training.families.concepts import HELD_OUT_CONCEPTS, TRAINED_CONCEPTS
from mlx_backends.bundled.training.lexicon import Names


@pytest.fixture(scope="module")
def names():
    return Names(random.Random(5), pool=300)


@pytest.mark.parametrize(
    "family", [*ALL_TRAINED, *HELD_OUT_RELATIONS], ids=lambda family: family.name
)
def test_every_answer_is_a_span_of_its_statement(family, names):
    facts = [family.make(names) for _ in range(60)]
    for fact in facts:
        for question, answer in fact.asks:
            assert answer in fact.statement, (question, answer, fact.statement)
            assert "{" not in question.replace("`{", ""), question
    assert sum(len(fact.asks) for fact in facts) >= 30


def test_held_out_concepts_share_no_verb_phrase_with_trained_ones():
    trained = {text for c in TRAINED_CONCEPTS for text in (*c.forward, *c.backward)}
    for concept in HELD_OUT_CONCEPTS:
        assert not trained & {*concept.forward, *concept.backward}, concept.name


def test_no_pair_of_synonyms_is_on_both_sides():
    pairs = [
        {
            pair
            for _, words in thesaurus.synonym_sets(held_out=side)
            for pair in combinations(sorted(words), 2)
        }
        for side in (False, True)
    ]
    assert len(pairs[1]) > 30
    assert not pairs[0] & pairs[1]


def test_rewording_swaps_words_and_leaves_names_and_code_alone():
    swap = thesaurus.Thesaurus(random.Random(0))
    question = "Which function deletes the directory of Folder `delete directory`?"
    found = {swap.reword(question) for _ in range(40)}
    assert len(found) > 5
    assert all("Folder `delete directory`?" in text for text in found)


@pytest.mark.parametrize(
    ("base", "third", "participle", "gerund"),
    [
        ("have", "has", "had", "having"),
        ("tie", "ties", "tied", "tying"),
        ("stop", "stops", "stopped", "stopping"),
    ],
)
def test_verbs_are_conjugated(base, third, participle, gerund):
    verb = grammar.conjugate(base)
    assert (verb.third, verb.participle, verb.gerund) == (third, participle, gerund)
