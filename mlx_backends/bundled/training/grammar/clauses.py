"""Short clauses in the present tense, as a statement and as a question writes them."""

from dataclasses import dataclass

from mlx_backends.bundled.training import lexicon
from mlx_backends.bundled.training.grammar.phrases import object_phrase, subject_phrase
from mlx_backends.bundled.training.grammar.verbs import verb_group
from mlx_backends.bundled.training.lexicon import Names


@dataclass(frozen=True, slots=True)
class Clause:
    """A clause as a statement and as a question writes it.

    Attributes:
        text: Subject first: ``the pool is full``.
        inverted: Verb first, for a question: ``is the pool full``.
        loose: Another wording for a question, equal to `text` where there is none.
    """

    text: str
    inverted: str
    loose: str


def make_clause(names: Names) -> Clause:
    """Make a short clause in the present tense."""
    rng = names.rng
    draw = rng.random()
    if draw < 0.3:
        actor = subject_phrase(names) if rng.random() < 0.5 else object_phrase(names)
        state = rng.choice(lexicon.ADJECTIVES[11:58])
        adverb = rng.choice(("", "", "", "not ", "often ", "still ", "too "))
        be = actor.be()
        loose = f"{actor.short} {be} {adverb}{state}"
        return Clause(
            f"{actor.full} {be} {adverb}{state}", f"{be} {actor.short} {adverb}{state}", loose
        )
    if draw < 0.5:
        thing = object_phrase(names)
        verb = rng.choice(verb_group(names))
        negation = rng.choice(("", "", "not ", "never "))
        tail = f"{negation}{verb.participle}"
        return Clause(
            f"{thing.full} {thing.be()} {tail}",
            f"{thing.be()} {thing.short} {tail}",
            f"{thing.short} {thing.be()} {tail}",
        )
    if draw < 0.62:
        noun = names.thing()
        verb = rng.choice(verb_group(names))
        return Clause(
            f"no {noun} is {verb.participle}",
            f"is no {noun} {verb.participle}",
            rng.choice((f"no {noun} is {verb.participle}", f"I {verb.base} no {noun}")),
        )
    actor, thing = subject_phrase(names), object_phrase(names)
    verbs = verb_group(names)
    verb, asked = rng.choice(verbs), rng.choice(verbs)
    if draw < 0.85:
        loose = f"{actor.short} {actor.agree(asked)} {thing.short}"
        return Clause(
            f"{actor.full} {actor.agree(verb)} {thing.full}",
            f"{actor.do()} {actor.short} {asked.base} {thing.short}",
            loose,
        )
    modal = rng.choice(("can", "cannot", "must", "may", "will"))
    text = f"{actor.full} {modal} {verb.base} {thing.full}"
    return Clause(text, f"{modal} {actor.short} {verb.base} {thing.short}", text)
