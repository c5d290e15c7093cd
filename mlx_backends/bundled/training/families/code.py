"""Families about code: commands, options, files, functions and versions."""

from mlx_backends.bundled.training import grammar
from mlx_backends.bundled.training.families import slots
from mlx_backends.bundled.training.families.family import Family
from mlx_backends.bundled.training.lexicon import Names

CODE: list[Family] = [
    Family(
        "command",
        {"c": slots.in_ticks(Names.command), "a": slots.base_action},
        [
            "(Run|Use|Call|Type|Try) {c} to {a}.",
            "To {a}, (run|use|call|type|enter) {c}.",
            "{c} is (how|the way) (you|to) {a}.",
            "With {c}, (you|users|developers) can {a}.",
            "If you (want|need|wish|have) to {a}, (run|use|there is) {c}.",
            "(You|Anyone) can {a} with {c}.",
            "The command {c} (lets|helps) you {a}.",
            "- {c}: {a}",
            "{c}   # {a}",
            "{c} is the command to {a}.",
            "It takes one command to {a}: {c}.",
            "{a} with {c}.",
            "{a} (by running|using) {c}.",
            "First, {a} with {c}, then go on.",
        ],
        {
            "c": [
                "Which command (should I run|do I need|is used|lets me|can I use) to {a}?",
                "How (do|can) (I|you|we) {a}?",
                "What (should|must|do|can) I (run|use|type) to {a}?",
                "What is the command to {a}?",
                "How to {a}?",
                "With which command can I {a}?",
            ],
            "a": ["What (is {c} (for|used for)|can I do with {c}|does {c} let me do)?"],
        },
        ("c", "a"),
        weight=3,
    ),
    Family(
        "command_block",
        {"c": lambda names: names.command() + names.rng.choice(("", "", f" {names.word()}", f" {names.flag()}", f" {names.file_path()}")), "a": slots.base_action},
        [
            "To {a}[, run]:\n\n```[bash|sh|console]\n[$ ]{c}\n```",
            "{a}:\n\n```[bash]\n{c}\n```",
            "```[bash]\n{c}    # {a}\n```",
            "(You can|One may|Users) {a} (so|like this|with this command):\n\n```\n{c}\n```",
        ],
        {
            "c": [
                "Which command (should I run|do I need|is used|lets me) to {a}?",
                "How (do|can) (I|we) {a}?",
                "What (should|must|do) I (run|type) to {a}?",
                "What is the command to {a}?",
            ],
        },
        ("c", "a"),
        weight=1,
    ),
    Family(
        "environment",
        {"c": slots.in_ticks(Names.environment_variable), "n": slots.setting},
        [
            "{c} (sets|holds|gives|controls|overrides|chooses|names|defines) the {n}.",
            "The {n} is (set|read|taken|given|chosen|controlled) (by|from|through) {c}.",
            "The {n} can be (set|changed|overridden|configured) with {c}.",
            "(Set|Use|Export) {c} to (set|change|choose|override) the {n}.",
            "To (change|set|choose) the {n}, (set|export|define) {c}.",
            "| {c} | {n} |",
            "- {c}: the {n}",
            "The variable {c} (stands for|sets) the {n}.",
        ],
        {
            "c": [
                "Which environment variable (sets|holds|controls|changes|chooses|is for) the {n}?",
                "Which variable (sets|holds|controls) the {n}?",
                "How (can|do) I (set|change|choose|configure) the {n}?",
                "What (sets|controls|changes) the {n}?",
                "Where does the {n} come from?",
                "With which (variable|setting) is the {n} (set|changed)?",
            ],
            "n": ["What does {c} (set|control|hold|do|mean)?", "What is {c} for?", "What is set by {c}?"],
        },
        ("c", "n"),
        weight=2,
    ),
    Family(
        "option",
        {"c": slots.in_ticks(lambda names: names.flag() if names.rng.random() < 0.6 else names.identifier()), "n": slots.setting, "v": Names.value},
        [
            "{c} (sets|controls|limits|chooses|is) the {n} and defaults to {v}.",
            "{c} (sets|gives) the {n}; (its default|the default value) is {v}.",
            "| {c} | {n} | {v} |",
            "- {c}: the {n} (default {v})",
            "The {n} is (set|chosen|given) with {c}, which is {v} by default.",
            "(Pass|Give|Add|Set) {c} to (change|set) the {n} from {v} to something else.",
            "{c} - {n}, {v} if not given.",
        ],
        {
            "c": [
                "Which (option|flag|argument|parameter|setting) (sets|controls|changes|is for) the {n}?",
                "How (can|do) I (set|change) the {n}?",
                "With which option is the {n} (set|changed|chosen)?",
            ],
            "v": [
                "What is the default (of|for|value of) {c}?",
                "What does {c} default to?",
                "What value does {c} have by default?",
                "If I do not pass {c}, (what is used|which value is used)?",
            ],
            "n": ["What does {c} (set|control|do|change)?", "What is {c} for?"],
        },
        ("c", "n"),
        weight=2,
    ),
    Family(
        "file",
        {"f": slots.in_ticks(Names.file_path), "o": lambda names: f"the {slots.things(names) if names.rng.random() < 0.5 else slots.setting(names)}"},
        [
            "{f} (holds|contains|keeps|stores|has|lists|describes|defines) {o}.",
            "{o} (live|lives|are kept|is kept|are stored|is stored|stay|can be found|are written|is defined) in {f}.",
            "(Look|See|Read) in {f} for {o}.",
            "You (find|will find|can find) {o} in {f}.",
            "For {o}, (see|read|open|edit) {f}.",
            "- {f}: {o}",
            "{f}    {o}",
            "The file (with|for) {o} is {f}.",
            "To (change|read|edit) {o}, open {f}.",
        ],
        {
            "f": [
                "Which file (holds|contains|has|stores|keeps|defines|is for) {o}?",
                "Where (are|is|do I find|can I find) {o}[ (kept|stored|defined)]?",
                "In which file (are|is|do I find) {o}?",
                "Which (module|page|file) should I (open|read) for {o}?",
            ],
            "o": ["What does {f} (hold|contain|have|store|define)?", "What is in {f}?", "What (do|can) I find in {f}?"],
        },
        ("f", "o"),
        weight=2.5,
    ),
    Family(
        "returns",
        {"c": slots.FUNCTION, "o": lambda names: grammar.object_phrase(names).full if names.rng.random() < 0.7 else f"`{names.quoted_literal()}`"},
        [
            "{c} (returns|gives|yields|gives back|hands back|produces|answers with) {o}[ (on success|when it is done|to the caller)].",
            "The (result|return value|output) of {c} is {o}.",
            "{o} is (returned|given back|yielded|produced) by {c}.",
            "(Calling|A call of|A call to) {c} (returns|gives|yields) {o}.",
            "{c} -> {o}",
            "You get {o} from {c}.",
        ],
        {
            "o": [
                "What does {c} (return|give|yield|produce|give back)?",
                "What is the (result|return value|output) of {c}?",
                "What is returned by {c}?",
                "What do I get from {c}?",
            ],
            "c": ["(Which (function|method|call)|What) (returns|gives|yields|produces) {o}?", "By (which function|what) is {o} returned?"],
        },
        ("c", "o"),
        weight=1.5,
    ),
    Family(
        "instead",
        {"a": lambda names: grammar.object_phrase(names).full if names.rng.random() < 0.4 else f"`{names.identifier()}`", "b": lambda names: f"`{names.identifier()}`" if names.rng.random() < 0.6 else grammar.object_phrase(names).full},
        [
            "(Use|Prefer|Choose|Take|Write) {a} (instead of|rather than|in place of|over) {b}.",
            "Instead of {b}, (use|prefer|take|write) {a}.",
            "{a} (takes the place of|is used in place of|stands in for) {b}.",
            "{a} is (preferred to|better than|faster than) {b}.",
        ],
        {
            "a": [
                "What should I use instead of {b}?",
                "What (takes the place of|is used instead of|is preferred to|is better than) {b}?",
                "Instead of {b}, what (should be|is) used?",
            ],
        },
        ("b",),
        weight=0.8,
    ),
    Family(
        "since",
        {"c": slots.code_or_component, "v": lambda names: f"version {names.version()}"},
        [
            "{c} was (added|introduced|first shipped|new|removed|deprecated|renamed) in {v}.",
            "{c} (exists|has been available|is available|is there) since {v}.",
            "{v} (added|introduced|brought|removed|deprecated) {c}.",
            "Since {v}, {c} (is|has been) (available|on|stable|public).",
            "(New|Changed|Added) in {v}: {c}.",
        ],
        {"v": ["In which version was {c} (added|introduced|removed|deprecated|changed)?", "Since (when|which version) (is|does) {c} (available|exist)?", "When was {c} (added|introduced|removed|deprecated)?", "Which version (added|introduced|brought|removed) {c}?"]},
        ("c",),
        weight=1,
    ),
]  # fmt: skip
