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
        "{r}, so {s}.", "{r}. (Therefore|That is why|For this reason|Hence|As a result|Because of this), {s}.",
        "{s}. (Otherwise|If not), {r}.", "{s} so that {r}.", "{s} to make sure that {r}.", "{s}; this is because {r}.",
        "{r}, which is why {s}.", "{s} due to the fact that {r}.", "The fact that {r} means that {s}.", "{r}; therefore {s}.",
        "Given that {r}, {s}.", "{s}. This is (done|so|needed) because {r}.",
        "{s}, as {r}.", "The reason why {s} is that {r}.", "{s}: {r}.", "{s}, for {r}.",
    ])  # fmt: skip
    _ask_reason = compile_patterns([
        "Why {i}?", "Why {i}?", "Why {i}?", "Why is it that {l}?", "What is the reason that {l}?", "For what reason {i}?",
        "How come {l}?", "{l} - why?", "What (makes it so|explains|causes it) that {l}?", "What (leads to|is behind) the fact that {l}?",
        "What is the (cause|motive|ground|point) when {l}?", "Because of what {i}?", "To what end {i}?",
    ])  # fmt: skip
    _consequence = compile_patterns([
        "If {s}, {r}.", "If {s}, {r}.", "When {s}, {r}.", "When {s}, {r}.", "{r} if {s}.", "{r} when {s}.", "Whenever {s}, {r}.",
        "As soon as {s}, {r}.", "{r} in case {s}.", "Once {s}, {r}.", "With {s}, {r}.", "{s}, and then {r}.",
        "{s}. (Then|In that case|In this case), {r}.", "Each time {s}, {r}.", "Should it happen that {s}, {r}.", "{s} means that {r}.",
    ])  # fmt: skip
    _ask_consequence = compile_patterns([
        "What happens (if|when|once) {l}?", "What happens (if|when) {l}?", "(If|When) {l}, what happens?", "What is the consequence (if|when) {l}?",
        "What (follows|is the result) (if|when) {l}?", "What (is the effect|is the outcome|comes) (if|when) {l}?",
        "What will happen (if|once|as soon as) {l}?", "What (do I get|can I expect) (if|when) {l}?", "Suppose {l}: what (happens|follows)?",
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
