"""Facts of the form "who does what to what, when, where, how, why"."""

import random

from mlx_backends.bundled.training import grammar
from mlx_backends.bundled.training.families import action_patterns
from mlx_backends.bundled.training.families.fact import Fact, key_of, span_of
from mlx_backends.bundled.training.grammar import capitalize
from mlx_backends.bundled.training.lexicon import Names

# Marks a question for all that a subject does, until the fact is made.
_OF_ALL = "{"


class Actions:
    """Makes facts of the form "who does what to what, when, where, how, why"."""

    name = "action"
    weight = 20.0
    keys = ("S", "VO")

    def make(self, names: Names, fixed: dict | None = None) -> Fact:
        rng, fixed = names.rng, fixed or {}
        subject = fixed.get("S") or grammar.subject_phrase(names)
        verbs, thing = fixed.get("VO") or (grammar.verb_group(names), _objects(names))
        verb = rng.choice(verbs)
        adjuncts = self._adjuncts_of(names)
        draw = rng.random()
        agentless = bool(adjuncts) and draw < 0.35
        second = None
        if not agentless and draw > 0.88 and not subject.is_plural:
            second = (rng.choice(grammar.verb_group(names)), grammar.object_phrase(names))
        patterns = (
            action_patterns.AGENTLESS
            if agentless
            else action_patterns.ACTIVE
            if draw < 0.75
            else action_patterns.PASSIVE
        )
        if second:
            patterns = action_patterns.VP
        past = rng.random() < 0.1 and not second
        joined = rng.choice((" ", " ", ", ")).join(text for _, text in adjuncts)
        slots = {
            "S": subject.full, "O": thing.full, "v": verb.past if past else subject.agree(verb),
            "v3": verb.past if past else verb.third, "base": verb.base, "ing": verb.gerund,
            "pp": verb.participle, "be": ("were" if thing.is_plural else "was") if past else thing.be(),
            "A": f" {joined}" if joined else "", "A1": f"{capitalize(joined)}, " if joined else "",
            "v2": second[0].third if second else "", "O2": second[1].full if second else "",
        }  # fmt: skip
        statement = capitalize(rng.choice(patterns)(rng, slots))
        whole = f"{subject.agree(verb)} {thing.full}"
        if second:
            whole += f" and {second[0].third} {second[1].full}"
        asks = self._asks(
            rng, subject, verbs, verb, thing, adjuncts, statement, whole, agentless=agentless
        )
        if second:
            asks += self._asks(
                rng,
                subject,
                [second[0]],
                second[0],
                second[1],
                [],
                statement,
                whole,
                agentless=False,
            )
        base = verbs[0].base
        keys = {
            f"action:o:{subject.short}:{base}",
            f"action:s:{base}:{thing.short}",
            f"action:a:{thing.short}:{base}",
        }
        keys |= {f"action:a:{text}:{base}" for _, text in adjuncts}
        if second:
            keys |= {
                f"action:o:{subject.short}:{second[0].base}",
                f"action:s:{second[0].base}:{second[1].short}",
            }
        does = key_of("does", subject.short)
        of_all = tuple(text.removeprefix(_OF_ALL) for text, _ in asks if text.startswith(_OF_ALL))
        return Fact(
            "action",
            statement,
            [(question.removeprefix(_OF_ALL), answer) for question, answer in asks],
            frozenset(keys),
            {"S": subject, "VO": (verbs, thing)},  # type: ignore[dict-item]
            says=frozenset() if agentless else frozenset((does,)),
            of_all=(does, of_all),
        )

    @staticmethod
    def _adjuncts_of(names: Names) -> list[tuple[str, str]]:
        rng = names.rng
        kind = rng.choices(
            ("", "when", "often", "where", "how", "why"), (4, 3.5, 0.7, 2.5, 1.5, 1.5)
        )[0]
        if not kind:
            return []
        kinds = [kind]
        if rng.random() < 0.3:
            kinds = list(dict.fromkeys([kind, rng.choice(("when", "where", "how"))]))
        return [(name, grammar.ADJUNCTS[name](names)) for name in kinds]

    def _asks(
        self,
        rng: random.Random,
        subject: grammar.Phrase,
        verbs: list[grammar.Verb],
        verb: grammar.Verb,
        thing: grammar.Phrase,
        adjuncts: list[tuple[str, str]],
        statement: str,
        predicate: str,
        *,
        agentless: bool,
    ) -> list[tuple[str, str]]:
        asked = rng.choice(verbs) if rng.random() < 0.45 else verb
        what = "Which " + subject.category if subject.category and rng.random() < 0.6 else "What"
        if subject.category == "person":
            what = "Who"
        short = thing.short if rng.random() < 0.6 else thing.full
        if " and " in thing.full:
            short = rng.choice([*thing.full.split(" and "), thing.full])
        main = rng.choice(adjuncts)[1] if adjuncts else ""
        slots = {
            "S": subject.short, "Q": short, "qbase": asked.base, "qpp": asked.participle, "qv3": asked.third,
            "qing": asked.gerund, "qbe": thing.be() if " and " not in thing.full else ("is" if " and " not in short else "are"),
            "W": what, "w": "whom" if what == "Who" else what.lower(), "A": main, "A1": f"{capitalize(main)}, ",
        }  # fmt: skip
        asks: list[tuple[str, str]] = []
        whole = span_of(thing.full, statement)
        if whole and not agentless:
            patterns = (
                action_patterns.ASK_OBJECT_BOTH
                if main and rng.random() < 0.35
                else action_patterns.ASK_OBJECT
            )
            text = rng.choice(patterns)(rng, slots)
            if subject.is_plural:
                text = text.replace("hat does", "hat do")
            asks.append((text, whole))
        head = grammar.head_of(thing)
        if whole and head and rng.random() < 0.35:
            if agentless:
                text = f"Which {head} {slots['qbe']} {asked.participle} {main}?" if main else ""
            else:
                text = f"Which {head} {'do' if subject.is_plural else 'does'} {subject.short} {asked.base}?"
            asks += [(text, whole)] if text else []
        if whole and main and rng.random() < 0.4:
            asks.append((rng.choice(action_patterns.ASK_OBJECT_ADJUNCT)(rng, slots), whole))
        if not agentless and (answer := span_of(subject.full, statement)):
            if subject.full.startswith("`") and rng.random() < 0.15:
                asks.append(
                    (f"How {rng.choice(('do', 'can'))} I {asked.base} {slots['Q']}?", answer)
                )
            asks.append((rng.choice(action_patterns.ASK_SUBJECT)(rng, slots), answer))
        asks += self._ask_clause(
            rng, subject, verb, thing, statement, predicate, slots, agentless=agentless
        )
        for kind, adjunct in adjuncts:
            if answer := span_of(adjunct, statement):
                asks.append(
                    (
                        self._ask_adjunct(rng, kind, adjunct, subject, slots, agentless=agentless),
                        answer,
                    )
                )
        return asks

    def _ask_clause(
        self,
        rng: random.Random,
        subject: grammar.Phrase,
        verb: grammar.Verb,
        thing: grammar.Phrase,
        statement: str,
        predicate: str,
        slots: dict[str, str],
        *,
        agentless: bool,
    ) -> list[tuple[str, str]]:
        """Ask for the verb with its object, or for all that happens on an event."""
        if agentless or rng.random() < 0.6:
            passive = f"{thing.full} {thing.be()} {verb.participle}"
            if (
                slots["A"].split(" ")[0]
                in ("when", "if", "whenever", "once", "after", "on", "at", "before")
                and rng.random() < 0.5
            ):
                for clause in (f"{subject.full} {predicate}", passive):
                    if answer := span_of(clause, statement):
                        return [(rng.choice(action_patterns.ASK_EVENT)(rng, slots), answer)]
            return []
        if subject.category != "person" and predicate in statement and not subject.is_plural:
            patterns = (
                action_patterns.ASK_VERB
                if slots["A"]
                else [p for i, p in enumerate(action_patterns.ASK_VERB) if i != 3]
            )
            return [(_OF_ALL + rng.choice(patterns)(rng, slots), predicate)]
        return []

    def _ask_adjunct(
        self,
        rng: random.Random,
        kind: str,
        adjunct: str,
        subject: grammar.Phrase,
        slots: dict[str, str],
        *,
        agentless: bool,
    ) -> str:
        head = rng.choice(action_patterns.HEADS[kind])(rng, slots)
        if kind == "where":
            head = _where_head(adjunct, rng) or head
        slots = {**slots, "H": head}
        if agentless:
            patterns = (
                action_patterns.ASK_ADJUNCT_YOU
                if rng.random() < 0.15
                else action_patterns.ASK_ADJUNCT
            )
        else:
            patterns = (
                action_patterns.ASK_ADJUNCT_ACTIVE
                if not subject.is_plural and rng.random() < 0.5
                else action_patterns.ASK_ADJUNCT
            )
        return rng.choice(patterns)(rng, slots)


def _where_head(adjunct: str, rng: random.Random) -> str | None:
    """Ask for the thing in a place: ``on the engine thread`` -> ``On which thread``."""
    words = adjunct.split()
    if len(words) < 3 or words[1] != "the" or not words[-1].isalpha() or rng.random() < 0.7:
        return None
    return f"{words[0].capitalize()} {rng.choice(('which', 'what'))} {words[-1]}"


def _objects(names: Names) -> grammar.Phrase:
    """Make one object, or two or three joined."""
    first = grammar.object_phrase(names)
    if names.rng.random() > 0.2 or " and " in first.full:
        return first
    second = grammar.object_phrase(names)
    text = f"{first.full} and {second.full}"
    return grammar.Phrase(text, text, "", True)
