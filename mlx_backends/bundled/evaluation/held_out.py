"""Checks that what the evaluation uses can not occur in training.

Structure first: the two sides share no family, no phrasing, no invented word, no source and no
sentence. Then training conversations are generated and searched for all of these.
"""

import re
from collections.abc import Iterable, Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

from mlx_backends.bundled.training import grammar, lexicon, prose
from mlx_backends.bundled.training.families import ALL_TRAINED, HELD_OUT, HELD_OUT_REWORDED
from mlx_backends.bundled.training.families.concepts import (
    HELD_OUT_CONCEPTS,
    TRAINED_CONCEPTS,
    Concept,
)
from mlx_backends.bundled.training.families.family import Family
from mlx_backends.bundled.training.generator import Conversation, Corpus, Generator
from mlx_backends.bundled.training.generator.documentation import wordings
from mlx_backends.bundled.training.thesaurus import synonym_sets

# As many as `Names` draws from.
_POOL = 40_000
_MIN_SOURCES = 4
_SLOT = re.compile(r"\\\{\w+\\\}")
_FILLERS = frozenset(["a", "an", "the", "my", "i", "it", "its", "do", "does", "did", "is", "are"])
_WORD = re.compile(r"[A-Za-z][a-z]+|[a-z]+")


class LeakError(AssertionError):
    """Something of the evaluation occurs in training."""


def assert_held_out(
    collection: Path, *, conversations: int, seed: int = 0, questions: Iterable[str] = ()
) -> None:
    """Check the split of families, names and prose, then generated training conversations.

    Args:
        collection: What `train prepare` wrote.
        conversations: How many training conversations to generate.
        seed: Of these conversations.
        questions: Written by hand for the evaluation; none of them may be asked in training.

    Raises:
        LeakError: Something occurs on both sides; the message shows it.
    """
    assert_families_differ()
    assert_equal_wordings_differ()
    assert_words_differ()
    assert_prose_differs(collection)
    asked = frozenset(map(bare_question, questions))
    assert_wordings_differ(Phrasings(), asked)
    generator = Generator(seed, Corpus.load(collection, held_out=False))
    made = (generator.conversation() for _ in range(conversations))
    assert_nothing_leaks(made, Phrasings(), evaluation_words() - corpus_words(collection), asked)


def assert_families_differ() -> None:
    """No family of the evaluation is trained, by name or by pattern."""
    trained = {family.name for family in ALL_TRAINED}
    patterns = {text for family in ALL_TRAINED for text in _patterns(family)}
    for family in (*HELD_OUT, *HELD_OUT_REWORDED):
        if family.name in trained:
            raise LeakError(f"The family {family.name!r} is trained and held out.")
        shared = patterns & set(_patterns(family))
        if shared:
            raise LeakError(f"Held-out patterns are trained: {sorted(shared)}.")


def assert_equal_wordings_differ() -> None:
    """No two wordings that the evaluation uses for the same are treated as the same in training."""
    trained = {
        *_equal_wordings(TRAINED_CONCEPTS),
        *_pairs_of(words for _, words in synonym_sets(held_out=False)),
        *_pairs_of([verb.base for verb in group] for group in grammar.VERB_GROUPS),
        *_pairs_of([name, *others] for name, others in lexicon.ATTRIBUTE_SYNONYMS.items()),
    }
    unseen = {
        *_equal_wordings(HELD_OUT_CONCEPTS),
        *_pairs_of(words for _, words in synonym_sets(held_out=True)),
    }
    if shared := trained & unseen:
        raise LeakError(f"Wordings of the evaluation are trained: {sorted(shared)[:9]}.")


def assert_words_differ() -> None:
    """No invented word is on both sides."""
    shared = evaluation_words() & set(lexicon.invented_words(_POOL, held_out=False))
    if shared:
        raise LeakError(f"Evaluation words are trained: {sorted(shared)[:5]}.")


def assert_prose_differs(collection: Path) -> None:
    """No sentence is on both sides, and whole sources are held out."""
    documents, _ = prose.load(collection)
    trained = {s for item in documents if not item.held_out for p in item.paragraphs for s in p}
    unseen = {s for item in documents if item.held_out for p in item.paragraphs for s in p}
    if trained & unseen:
        raise LeakError(f"Evaluation prose is trained: {next(iter(trained & unseen))!r}.")
    sources = {item.source for item in documents if item.held_out}
    sources -= {item.source for item in documents if not item.held_out}
    if len(sources) < _MIN_SOURCES:
        raise LeakError(
            f"{len(sources)} sources of prose are held out whole; the evaluation needs "
            f"{_MIN_SOURCES}. Run `python -m mlx_backends.bundled.train prepare`."
        )


def assert_wordings_differ(phrasings: "Phrasings", asked: frozenset[str]) -> None:
    """No question that was written for the training is one of the evaluation."""
    subjects = wordings.subjects(held_out=False)
    written = [text for item in (*subjects.statements, *subjects.settings) for text in item.asks]
    written += [item.question for found in prose.written_questions().values() for item in found]
    for text in written:
        filled = re.sub(r"\{\w+\}", "x", text)
        if found := phrasings.find(filled if filled.endswith("?") else f"{filled}?"):
            raise LeakError(f"Training asks as the evaluation does: {found!r} in {text!r}.")
        if bare_question(text) in asked:
            raise LeakError(f"A question of the evaluation is trained: {text!r}.")


def bare_question(text: str) -> str:
    """The words of a question that tell it from another one."""
    return " ".join(word for word in re.findall(r"\w+", text.lower()) if word not in _FILLERS)


def assert_nothing_leaks(
    conversations: Iterable[Conversation],
    phrasings: "Phrasings",
    words: set[str],
    asked: frozenset[str] = frozenset(),
) -> None:
    """No conversation holds a held-out phrasing, an evaluation word or a question of `asked`."""
    for conversation in conversations:
        for message in conversation.messages:
            text = message["content"]
            question = text.rpartition("Question: ")[2]
            if message["role"] == "user" and bare_question(question) in asked:
                raise LeakError(f"A question of the evaluation was generated: {question!r}.")
            if leaked := words & text_words(text):
                raise LeakError(f"Evaluation words were generated: {sorted(leaked)} in {text!r}.")
            for line in text.split("\n"):
                if found := phrasings.find(line):
                    raise LeakError(f"Training asks as the evaluation does: {found!r} in {line!r}.")


class Phrasings:
    """The question patterns of the held-out families, as regular expressions.

    Questions alone: real prose may well say "X is a subclass of Y", which teaches English and not
    the family.
    """

    def __init__(self) -> None:
        asked = {
            text
            for family in (*HELD_OUT, *HELD_OUT_REWORDED)
            for texts in family.asks.values()
            for text in texts
        }
        self._patterns = [re.compile(_as_regex(text), re.IGNORECASE) for text in sorted(asked)]

    def find(self, line: str) -> str | None:
        """Return the pattern that a line's question has, if any."""
        return next((p.pattern for p in self._patterns if p.search(line)), None)


def evaluation_words() -> set[str]:
    """All invented words of the evaluation."""
    return set(lexicon.invented_words(_POOL, held_out=True, seed=1))


def corpus_words(collection: Path) -> set[str]:
    """All words of the real prose: an invented word may happen to be a real one."""
    documents, _ = prose.load(collection)
    return {
        word
        for item in documents
        for paragraph in item.paragraphs
        for sentence in paragraph
        for word in text_words(sentence)
    }


def text_words(text: str) -> set[str]:
    """Words of a text in lower case; identifiers are split at capitals, digits and marks."""
    return {word.lower() for word in _WORD.findall(text)}


def _patterns(family: Any) -> Iterator[str]:
    if isinstance(family, Family):
        yield from family.statements
        for texts in family.asks.values():
            yield from texts


def _equal_wordings(concepts: Iterable[Concept]) -> set[tuple[str, str]]:
    return {
        pair
        for item in concepts
        for words in (item.forward, item.backward, item.subject_nouns, item.object_nouns)
        for pair in combinations(sorted(words), 2)
    }


def _pairs_of(groups: Iterable[Iterable[str]]) -> set[tuple[str, str]]:
    return {pair for words in groups for pair in combinations(sorted(words), 2)}


def _as_regex(pattern: str) -> str:
    """A pattern with any text in its slots; see `grammar.patterns` for its notation."""
    escaped = re.escape(pattern.rstrip("?"))
    for mark, meaning in (
        (r"\(", "(?:"),
        (r"\)", ")"),
        (r"\|", "|"),
        (r"\[", "(?:"),
        (r"\]", ")?"),
    ):
        escaped = escaped.replace(mark, meaning)
    return rf"\b{_SLOT.sub('.+', escaped)}(?:\?|$)"
