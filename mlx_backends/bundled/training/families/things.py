"""Families about what things are: states, kinds, definitions, purposes and relations."""

from mlx_backends.bundled.training import grammar, lexicon
from mlx_backends.bundled.training.families import slots
from mlx_backends.bundled.training.families.family import Family
from mlx_backends.bundled.training.grammar import plural

_RELATIONS = """successor|predecessor|replacement|sister project|subset|alias|fork|target|origin|ancestor|
companion|opposite|counterpart|copy|variant|source|rival|partner|sponsor|guardian|neighbor|extension|
wrapper|fallback|substitute|namesake|core|result|cause|goal|trigger|symbol|shadow|host|guest|client|
supplier|reader|writer|leader|member|part|twin|backup|proxy|mirror|test|proof|limit|example|argument|
input|output|prefix|suffix|root|leaf|upper bound|lower bound|first step|last step|main use|best friend""".replace(
    "\n", ""
).split("|")

THINGS: list[Family] = [
    Family(
        "state",
        {"o": lambda names: slots.things(names) if names.rng.random() < 0.7 else plural(names.rng.choice(lexicon.COMPONENTS)), "s": slots.one_of("supported|not supported|not supported yet|unsupported|experimental|deprecated|optional|required|not required|planned|tested|refused|not reachable|not available|available|forbidden|allowed|not allowed|enabled|disabled|on by default|off by default|turned off|in use|not used|safe|unsafe".split("|")), "t": slots.things, "m": lambda names: names.rng.choice(("", "", "", f" on {names.rng.choice(lexicon.PLATFORMS)}", f" in {names.name()}"))},
        ["{o} are [still |now |also |currently ]{s}{m}.", "At present, {o} are {s}{m}.", "- {o}: {s}", "| {o} | {s} |", "{o} and {t} are {s}{m}.", "{t} and {o} are {s}{m}."],
        {"s": ["Are {o} (supported|allowed|available|used|required|safe|enabled|tested|planned)?", "What is the (state|status) of {o}?", "Can I use {o}?", "Does it (support|allow|use) {o}?"]},
        ("o",),
        weight=1.5,
        says={"state s": ("t",)},
        derived={},
    ),
    Family(
        "also",
        {"c": slots.code_or_component, "d": lambda names: grammar.code_phrase(names).full, "p": lambda names: grammar.indefinite(grammar.thing_name(names)) if names.rng.random() < 0.5 else f"`{names.class_name()}`"},
        ["{c} is also [known as ]{p}.", "{c} (counts as|is another name for|is an alias of|doubles as|is the same as) {p}.", "{c} and {p} are the same thing.", "{c} and {d} are also [both ]{p}.", "{d} and {c} (are also|count as) {p}."],
        {"p": ["What is {c} also?", "What else is {c}?", "What (does {c} count as|is {c} another name for|is the same as {c})?", "As what does {c} count?"]},
        ("c",),
        weight=0.8,
        says={"also p": ("d",)},
    ),
    Family(
        "which_kind",
        {"j": lambda names: names.rng.choice((*lexicon.ADJECTIVES, *lexicon.MODIFIERS, *lexicon.COLORS)), "o": slots.plain_things, "p": lambda names: names.rng.choice(grammar.verb_group(names)).participle, "m": lambda names: names.rng.choice(("", "", "", f" {grammar.ADJUNCTS[names.rng.choice(('when', 'where'))](names)}"))},
        [
            "[Only |All ]{j} {o} (are|can be|may be|must be|will be|get) {p}{m}.",
            "(We|You) can {p} nothing but {j} {o}.",
            "(It is|These are) only {j} {o} that are {p}{m}.",
            "{j} {o} (alone|only|and nothing else) are {p}{m}.",
        ],
        {"w": ["(Which|What|What kind of|Which kind of) {o} (are|can be|may be|get) {p}?", "Which are the {o} that are {p}?"]},
        ("o", "p"),
        weight=1.2,
        derived={"w": "{j} {o}"},
    ),
    Family(
        "relation_noun",
        {"x": slots.entity, "r": lambda names: names.rng.choice(_RELATIONS) if names.rng.random() < 0.85 else names.word(), "e": slots.entity},
        [
            "{x} is (the|a) {r} of {e}.",
            "The {r} of {e} is {x}.",
            "{e} (has|takes|names|knows) {x} as [its ]{r}.",
            "{e}'s {r} is {x}.",
            "{x} (acts|serves|works) as {r} (of|for|to) {e}.",
            "For {e}, the {r} is {x}.",
        ],
        {
            "x": ["(What|Which) is the {r} of {e}?", "What (serves|acts|works) as {r} (of|for|to) {e}?", "What is {e}'s {r}?", "Which one is the {r} of {e}?", "What does {e} have as {r}?"],
            "e": ["Of what is {x} the {r}?", "{x} is the {r} of what?", "What has {x} as [its ]{r}?"],
        },
        ("x", "r", "e"),
        weight=1.5,
    ),
    Family(
        "kinds",
        {"k": lambda names: f"{names.rng.choice(('', grammar.component_name(names) + ' '))}{names.rng.choice(('modes', 'methods', 'formats', 'levels', 'types', 'kinds', 'commands', 'options', 'policies', 'backends', 'states', 'steps', 'layers', 'parts', 'files', 'roles', 'strategies', 'schemes'))}",
         "v": slots.listed(lambda names: names.rng.choice((names.identifier, names.word, lambda: f"`{names.identifier()}`", lambda: names.rng.choice(lexicon.WORDS), lambda: names.rng.choice(lexicon.FORMATS), lambda: grammar.thing_name(names)))())},
        [
            "The [(supported|available|known|possible|three|four) ]{k} are {v}.",
            "There are (several|two|three|four|five) {k}: {v}.",
            "{v} are the {k}.",
            "(Choose|Pick|Select) one of the {k}: {v}.",
            "The {k} can be {v}.",
            "{k}: {v}",
            "It (knows|has|supports|offers) these {k}: {v}.",
        ],
        {
            "v": [
                "(What|Which) {k} are there?",
                "(What|Which) are the {k}?",
                "(What|Which) {k} (are (supported|available|known)|exist|can I choose)?",
                "(Name|List) the {k}.",
            ]
        },
        ("k",),
        weight=1.5,
    ),
    Family(
        "definition",
        {"d": lambda names: grammar.indefinite(f"{names.rng.choice((*lexicon.MODIFIERS, *lexicon.ADJECTIVES))} {(names.thing() if names.rng.random() < 0.6 else names.rng.choice(lexicon.COMPONENTS))}") if names.rng.random() < 0.6 else names.name(),
         "v": slots.definition},
        [
            "{d} is {v}.",
            "{d} (means|denotes|stands for|refers to) {v}.",
            "(We call|By definition,) {d} [is ]{v}.",
            "{d}: {v}",
            "(In|On) (this page|these docs|short), {d} is {v}.",
            "{d} is (simply|nothing but|essentially|usually|basically) {v}.",
            "{v} is what we call {d}.",
            "{d} (can be seen|is defined|works|acts|serves) as {v}.",
        ],
        {
            "v": [
                "What is {d}?",
                "What (does {d} mean|is meant by {d}|does {d} stand for)?",
                "(Define|Explain) {d}.",
                "How is {d} defined?",
            ],
        },
        ("d",),
        weight=2,
    ),
    Family(
        "format",
        {"e": lambda names: f"the {slots.things(names)}" if names.rng.random() < 0.6 else slots.things(names), "v": slots.one_of(lexicon.FORMATS)},
        [
            "{e} are (written|stored|saved|kept|encoded|sent|exported|delivered) (as|in) {v}.",
            "{e} (use|have) the {v} format.",
            "The format of {e} is {v}.",
            "We (write|store|save|send) {e} (as|in) {v}.",
            "{v} is the format of {e}.",
            "{e} come in {v}.",
        ],
        {
            "v": [
                "In (which|what) (format|form) are {e}[ (written|stored|saved|sent)]?",
                "(Which|What) format do {e} (use|have|come in)?",
                "What is the format of {e}?",
                "How are {e} (written|stored|saved|encoded)?",
            ]
        },
        ("e",),
        weight=0.9,
    ),
    Family(
        "purpose_of",
        {"e": lambda names: grammar.code_phrase(names).full if names.rng.random() < 0.5 else slots.component(names), "a": slots.base_action},
        [
            "{e} is (there|used|meant|needed|made|designed) to {a}.",
            "The (job|purpose|task|role|point) of {e} is to {a}.",
            "{e} exists to {a}.",
            "{e} (helps|lets) (you|users|callers) {a}.",
            "To {a} is (the task|the job) of {e}.",
            "We (use|need|added) {e} (to|in order to) {a}.",
        ],
        {
            "a": [
                "What is {e} (for|used for|there for|meant for)?",
                "What is the (purpose|job|task|role|point) of {e}?",
                "Why (does {e} exist|do we need {e}|is there {e})?",
                "What does {e} (help|let) (me|users) do?",
            ],
            "e": ["What is (used|needed|there|meant) to {a}?", "What (can I use|do I use|helps me) to {a}?"],
        },
        ("e", "a"),
        weight=1.5,
        topics={"a": "does", "e": "means"},
    ),
    Family(
        "order",
        {"a": slots.the_thing, "b": slots.the_thing},
        [
            "{a} (comes|is read|is sent|runs|goes|is checked) before {b}.",
            "{b} (comes|is read|is sent|runs|goes|is checked) after {a}.",
            "First comes {a}, then {b}.",
            "{a} is followed by {b}.",
        ],
        {
            "a": ["What (comes|is|goes|runs) before {b}?", "What is followed by {b}?", "What precedes {b}?"],
            "b": ["What (comes|is|goes|runs) after {a}?", "What follows {a}?"],
        },
        ("a", "b"),
        weight=0.8,
    ),
]  # fmt: skip
