"""Facts with a preposition: "the runner depends on the pool"."""

from mlx_backends.bundled.training import grammar
from mlx_backends.bundled.training.families.fact import Fact, key_of, span_of
from mlx_backends.bundled.training.grammar import capitalize, compile_patterns
from mlx_backends.bundled.training.lexicon import Names


class Links:
    """Makes facts with a preposition: "the runner depends on the pool", "S converts X to Y"."""

    name = "link"
    weight = 5.0
    keys = ("S", "P", "O")
    _simple = """depend on|rely on|point to|refer to|connect to|talk to|report to|write to|read from|come from|
consist of|wait for|look for|ask for|pay for|stand for|lead to|apply to|map to|move to|switch to|fall back to|
rest on|live on|sit on|sit between|start with|end with|begin with|work with|deal with|ship with|compete with|
agree with|differ from|result in|result from|grow with|scale with|subscribe to|respond to|contribute to|
descend from|borrow from|learn from|hide behind|run behind|run inside|stand next to|look like|care for|vote for|
react to|recover from|suffer from|benefit from|split into|break into|fit into|fit in|plug into|hook into|
escape from|give way to|delegate to|forward to|bind to|attach to|adhere to|conform to|speak to|sleep in|live in|
count on|focus on|build on|operate on|insist on|draw on|check for|search for|account for|aim for|make up for""".replace(
        "\n", ""
    ).split("|")
    _double = """convert to|map to|send to|take from|combine with|replace by|replace with|compare with|split into|
read from|write to|hide from|protect from|fill with|add to|remove from|translate into|move to|copy to|attach to|
group by|sort by|index by|limit to|compare to|derive from|feed into|merge into|pack into|exchange for|bind to|
share with|load into|store in|keep in|put into|wrap in|pass to|return to|separate from|label with|name after|
connect to|link to|assign to|apply to|divide by|multiply by|join with|sign with|mark with|pair with|offer to""".replace(
        "\n", ""
    ).split("|")
    _state = compile_patterns([
        "{S} {v} {p} {O}[{A}].", "{S} {v} {p} {O}{A}.", "{A1}{S} {v} {p} {O}.", "{S} (must|can|may|will|should) {b} {p} {O}{A}.",
        "It is {O} that {S} {v} {p}.", "What {S} {v} {p} is {O}.", "{S}, (as we know|in turn|like others), {v} {p} {O}.",
        "Of all parts, it is {S} that {v} {p} {O}.", "{S} (always|never|usually|only|still|now) {v} {p} {O}{A}.",
    ])  # fmt: skip
    _ask_object = compile_patterns(
        [
            "What (does|can|must|will) {S} {b} {p}?",
            "{P} what (does|can|must|will) {S} {b}?",
            "{P} which {h} does {S} {b}?",
            "Which {h} does {S} {b} {p}?",
            "What is it that {S} {v} {p}?",
        ]
    )
    _ask_subject = compile_patterns(
        ["{W} {v} {p} {O}?", "{W} (can|must|may|will) {b} {p} {O}?", "{W} is it that {v} {p} {O}?"]
    )
    _state2 = compile_patterns([
        "{S} {v} {X} {p} {O}{A}.", "{S} {v} {X} {p} {O}.", "{X} {be} {pp} {p} {O} by {S}.", "{X} {be} {pp} {p} {O}{A} by {S}.",
        "{S} (can|must|may|will|should) {b} {X} {p} {O}{A}.", "The job of {S} is to {b} {X} {p} {O}.", "{A1}{S} {v} {X} {p} {O}.",
    ])  # fmt: skip
    _ask_object2 = compile_patterns(
        [
            "{P} what does {S} {b} {X}?",
            "What does {S} {b} {X} {p}?",
            "{P} what {be} {X} {pp}?",
            "What {be} {X} {pp} {p}?",
        ]
    )
    _ask_middle2 = compile_patterns(
        ["What does {S} {b} {p} {O}?", "What is {pp} {p} {O}?", "What gets {pp} {p} {O}?"]
    )
    _ask_subject2 = compile_patterns(
        ["{W} {v} {X} {p} {O}?", "By {w} {be} {X} {pp} {p} {O}?", "{W} {v} {X} {p} {O}?"]
    )

    def make(self, names: Names, fixed: dict | None = None) -> Fact:
        rng, fixed = names.rng, fixed or {}
        subject = fixed.get("S") or _singular(names)
        thing = fixed.get("O") or (
            grammar.subject_phrase(names) if rng.random() < 0.5 else grammar.object_phrase(names)
        )
        double, text = fixed.get("P") or self._relation(names)
        base, _, preposition = text.partition(" ")
        verb = grammar.conjugate(base)
        middle = grammar.object_phrase(names)
        adjunct = f" {grammar.ADJUNCTS['when'](names)}" if rng.random() < 0.2 else ""
        what = (
            "Which " + subject.category
            if subject.category not in ("", "person") and rng.random() < 0.5
            else "What"
        )
        slots = {
            "S": subject.full, "O": thing.full, "X": middle.full, "v": verb.third, "b": verb.base, "pp": verb.participle,
            "p": preposition, "P": capitalize(preposition), "A": adjunct, "A1": f"{capitalize(adjunct.strip())}, " if adjunct else "",
            "W": what, "w": what.lower(), "be": middle.be(), "h": thing.category or "part",
        }  # fmt: skip
        statement = capitalize(rng.choice(self._state2 if double else self._state)(rng, slots))
        slots |= {
            "S": subject.short,
            "O": rng.choice((thing.full, thing.short)),
            "X": rng.choice((middle.full, middle.short)),
        }
        asks = []
        for patterns, phrase in (
            (self._ask_object2 if double else self._ask_object, thing),
            (self._ask_subject2 if double else self._ask_subject, subject),
            (self._ask_middle2 if double else None, middle),
        ):
            if patterns and (answer := span_of(phrase.full, statement)):
                asks.append((rng.choice(patterns)(rng, slots), answer))
        if not double:
            asks = [
                (
                    question.replace("which part does", "what does").replace(
                        "Which part does", "What does"
                    ),
                    a,
                )
                for question, a in asks
            ]
        keys = frozenset({f"link:o:{subject.short}:{text}", f"link:s:{text}:{thing.short}"})
        says = frozenset((key_of("does", subject.short),))
        found = {"S": subject, "P": (double, text), "O": thing}
        return Fact("link", statement, asks, keys, found, says=says)  # type: ignore[arg-type]

    def _relation(self, names: Names) -> tuple[bool, str]:
        rng = names.rng
        double = rng.random() < 0.45
        text = rng.choice(self._double if double else self._simple)
        if rng.random() < 0.15:
            text = f"{names.word()} {text.partition(' ')[2]}"
        return double, text


def _singular(names: Names) -> grammar.Phrase:
    while (phrase := grammar.subject_phrase(names)).is_plural:
        pass
    return phrase
