"""Facts that join two clauses: a reason or a consequence."""

from mlx_backends.bundled.training import grammar
from mlx_backends.bundled.training.families.fact import Fact, span_of
from mlx_backends.bundled.training.grammar import capitalize, compile_patterns
from mlx_backends.bundled.training.lexicon import Names


class Clauses:
    """Makes facts that join two clauses: a reason or a consequence."""

    weight = 3.0
    keys = ("s",)
    _reason = compile_patterns([
        "{s} because {r}.", "{s} because {r}.", "Because {r}, {s}.", "{s}, since {r}.", "Since {r}, {s}.", "{s}. The reason is that {r}.",
        "{s}, as {r}.", "The reason why {s} is that {r}.", "{s}: {r}.", "{s}, for {r}.",
    ])  # fmt: skip
    _ask_reason = compile_patterns([
        "Why {i}?", "Why {i}?", "Why {i}?", "Why is it that {l}?", "What is the reason that {l}?", "For what reason {i}?",
        "How come {l}?", "{l} - why?",
    ])  # fmt: skip
    _consequence = compile_patterns([
        "If {s}, {r}.", "If {s}, {r}.", "When {s}, {r}.", "When {s}, {r}.", "{r} if {s}.", "{r} when {s}.", "Whenever {s}, {r}.",
        "As soon as {s}, {r}.", "{r} in case {s}.", "Once {s}, {r}.", "With {s}, {r}.",
    ])  # fmt: skip
    _ask_consequence = compile_patterns([
        "What happens (if|when|once) {l}?", "What happens (if|when) {l}?", "(If|When) {l}, what happens?", "What is the consequence (if|when) {l}?",
        "What (follows|is the result) (if|when) {l}?",
    ])  # fmt: skip

    def __init__(self, kind: str) -> None:
        self.name = kind

    def make(self, names: Names, fixed: dict | None = None) -> Fact:
        rng = names.rng
        first, second = grammar.make_clause(names), grammar.make_clause(names)
        states = self._reason if self.name == "reason" else self._consequence
        asked = self._ask_reason if self.name == "reason" else self._ask_consequence
        statement = capitalize(rng.choice(states)(rng, {"s": first.text, "r": second.text}))
        question = capitalize(rng.choice(asked)(rng, {"i": first.inverted, "l": first.loose}))
        answer = span_of(second.text, statement)
        keys = frozenset({f"{self.name}:{first.loose.lower()}"})
        return Fact(
            self.name, statement, [(question, answer)] if answer else [], keys, {"s": first.text}
        )
