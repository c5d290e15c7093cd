"""Facts about errors: when a function raises one, and which faulty input does."""

from mlx_backends.bundled.training import grammar
from mlx_backends.bundled.training.families.fact import Fact, span_of
from mlx_backends.bundled.training.grammar import capitalize, compile_patterns
from mlx_backends.bundled.training.lexicon import Names


class Raises:
    """Makes facts of the form "when the queue is full, `submit` raises `OverloadedError`"."""

    name = "raises"
    weight = 2.0
    keys = ("c", "f")
    _state = compile_patterns([
        "(When|If) {c}, {f} (raises|throws) {x}.", "{f} (raises|throws) {x} (when|if) {c}.", "{x} is (raised|thrown) by {f} (when|if) {c}.",
        "(When|If) {c}, {x} is raised.", "{x} is raised (when|if) {c}.", "{x} (says|means|signals|is the sign) that {c}.",
        "(When|If) {c}, {f} (fails|ends|stops) with {x}.", "Raises {x} (when|if) {c}.", "| {x} | {c} |", "- {x}: {c}",
    ])  # fmt: skip
    _ask_error = compile_patterns([
        "(What|Which error|Which exception) is raised (when|if) {l}?", "(What|Which error|Which exception) is raised (when|if) {l}?",
        "What does {f} raise[ (when|if) {l}]?", "Which (error|exception) does {f} raise (when|if) {l}?", "Which error (says|means|tells me|signals) that {l}?",
    ])  # fmt: skip
    _ask_when = compile_patterns(
        [
            "When is {x} raised?",
            "When do I get {x}?",
            "When does {f} raise {x}?",
            "What does {x} mean?",
        ]
    )

    def make(self, names: Names, fixed: dict | None = None) -> Fact:
        rng, fixed = names.rng, fixed or {}
        clause = fixed.get("c") or grammar.make_clause(names)
        function = fixed.get("f") or f"`{names.function()}`"
        error = f"`{names.class_name('Error')}`"
        statement = capitalize(
            rng.choice(self._state)(rng, {"c": clause.text, "f": function, "x": error})
        )
        slots = {"l": clause.loose, "f": function, "x": error}
        questions = [
            rng.choice(self._ask_error)(rng, slots),
            rng.choice(self._ask_when)(rng, slots),
        ]
        asks = (
            [(questions[0], error)] if function in statement or function not in questions[0] else []
        )
        if function in statement or function not in questions[1]:
            forms = (
                [clause.text]
                if "mean" in questions[1]
                else [f"when {clause.text}", f"if {clause.text}", clause.text]
            )
            asks += [
                (questions[1], found) for form in forms if (found := span_of(form, statement))
            ][:1]
        keys = {f"raises:c:{clause.loose}", f"raises:x:{error}"}
        if "raise?" in questions[0]:
            keys.add(f"raises:f:{function}")
        return Fact("raises", statement, asks, frozenset(keys), {"c": clause, "f": function})  # type: ignore[dict-item]


class Errors:
    """Makes facts about which faulty input raises which error, in several wordings."""

    name = "error"
    weight = 3.0
    keys = ("c", "x")
    _statements = compile_patterns([
        "{c} (raises|throws|gives|causes|ends in|leads to|is answered with|fails with|results in) {x}.",
        "{x} is (raised|thrown|given) (for|by|on|when there is) {c}.",
        "(For|On|With|Given) {c}, (you get|the call raises|the caller sees|it raises|there is) {x}.",
        "If (there is|you pass|the caller sends|the engine meets) {c}, {x} is raised.",
        "{x} (means|says|tells|signals|stands for) {c}.",
        "{x} - {c}", "| {x} | {c} |", "- {x}: {c}",
        "Raises {x} (for|on) {c}.",
        "{c} is refused with {x}.",
    ])  # fmt: skip
    _ask_error = compile_patterns([
        "(Which|What) (error|exception) (does|will|can) {c} (raise|throw|cause|give)?",
        "(Which|What) (error|exception) is (raised|thrown|given) (for|by|on) {c}?",
        "What (is raised|happens|do I get) (for|with|on) {c}?",
        "What does {c} (raise|cause|lead to|result in)?",
        "(Which|What) error (tells of|means|stands for|signals) {c}?",
        "With which error is {c} refused?",
    ])  # fmt: skip
    _ask_clause = compile_patterns([
        "What happens (if|when) {l}?", "What is raised (if|when) {l}?", "Which (error|exception) is raised (if|when) {l}?",
        "Which error do I get (if|when) {l}?", "(If|When) {l}, what is raised?",
    ])  # fmt: skip
    _ask_cause = compile_patterns([
        "(What|Which fault) (raises|causes|leads to|triggers) {x}?", "What does {x} (mean|say|stand for|signal)?",
        "(When|For what) is {x} raised?", "What is the cause of {x}?",
    ])  # fmt: skip

    def make(self, names: Names, fixed: dict | None = None) -> Fact:
        rng, fixed = names.rng, fixed or {}
        forms = fixed.get("c") or grammar.condition_forms(names)
        error = fixed.get("x") or (
            "an error" if rng.random() < 0.03 else f"`{names.class_name('Error')}`"
        )
        stated = rng.choice(forms)
        statement = capitalize(rng.choice(self._statements)(rng, {"c": stated, "x": error}))
        asked = {"c": rng.choice(forms), "x": error}
        asks = []
        if answer := span_of(error, statement):
            asks.append((capitalize(rng.choice(self._ask_error)(rng, asked)), answer))
            clauses = [text for form in forms if (text := grammar.as_clause(form))]
            if clauses and rng.random() < 0.7:
                asks.append((rng.choice(self._ask_clause)(rng, {"l": rng.choice(clauses)}), answer))
        if answer := span_of(stated, statement):
            asks.append((capitalize(rng.choice(self._ask_cause)(rng, asked)), answer))
        keys = frozenset({f"error:x:{forms[0]}", f"error:c:{error}"})
        return Fact("error", statement, asks, keys, {"c": forms, "x": error})  # type: ignore[dict-item]
