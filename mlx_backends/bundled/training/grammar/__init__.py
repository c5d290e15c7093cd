"""English for the generator: patterns, word forms, phrases and clauses. Knows nothing about facts."""

from mlx_backends.bundled.training.grammar.adjuncts import ADJUNCTS
from mlx_backends.bundled.training.grammar.clauses import (
    Clause,
    make_clause,
)
from mlx_backends.bundled.training.grammar.conditions import (
    as_clause,
    condition_forms,
)
from mlx_backends.bundled.training.grammar.patterns import (
    Pattern,
    compile_pattern,
    compile_patterns,
    slots_always_named,
)
from mlx_backends.bundled.training.grammar.phrases import (
    Phrase,
    code_phrase,
    component_name,
    head_of,
    object_phrase,
    subject_phrase,
    thing_name,
)
from mlx_backends.bundled.training.grammar.verbs import (
    VERB_GROUPS,
    Verb,
    conjugate,
    verb_group,
)
from mlx_backends.bundled.training.grammar.words import (
    capitalize,
    indefinite,
    plural,
    uncapitalize,
)

__all__ = [
    "ADJUNCTS",
    "VERB_GROUPS",
    "Clause",
    "Pattern",
    "Phrase",
    "Verb",
    "as_clause",
    "capitalize",
    "code_phrase",
    "compile_pattern",
    "compile_patterns",
    "component_name",
    "condition_forms",
    "conjugate",
    "head_of",
    "indefinite",
    "make_clause",
    "object_phrase",
    "plural",
    "slots_always_named",
    "subject_phrase",
    "thing_name",
    "uncapitalize",
    "verb_group",
]
