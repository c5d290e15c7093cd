"""Families about projects: their makers, people, places and requirements."""

from mlx_backends.bundled.training import lexicon
from mlx_backends.bundled.training.families import slots
from mlx_backends.bundled.training.families.family import Family
from mlx_backends.bundled.training.lexicon import Names

PROJECTS: list[Family] = [
    Family(
        "requirement",
        {"e": slots.entity, "l": lambda names: names.rng.choice(lexicon.LANGUAGES) if names.rng.random() < 0.5 else names.name(), "x": lambda names: f"{names.version()}{names.rng.choice(('', '', ' or newer', ' or later', '+', ' and above'))}"},
        [
            "{e} (needs|requires|wants|depends on|is built with|runs on|works with|is tested with|supports) {v}.",
            "To (run|use|install|build) {e}, you need {v}.",
            "{v} is (needed|required) (by|for) {e}.",
            "You (need|must have) {v} (for|to use|to run) {e}.",
            "{e} (does not work|will not run|fails) without {v}.",
            "Before you install {e}, (get|install) {v}.",
        ],
        {
            "v": [
                "What does {e} (need|require|depend on)?",
                "What (is needed|is required|do I need) (for|to run|to use|to install) {e}?",
                "(Which version|What) does {e} (need|require|support)?",
                "What must (I|be) (install|installed) (before|for) {e}?",
                "On (what|which version) does {e} (run|depend)?",
                "Which {l} version does {e} (need|require)?",
                "(Which|What) version of {l} (does {e} need|is needed for {e}|do I need for {e})?",
                "Which {l} (does {e} need|do I need for {e})?",
            ]
        },
        ("e",),
        weight=1.8,
        topics={"v": "need"},
        says={"platform": ("e",)},
        derived={"v": "{l} {x}"},
    ),
    Family(
        "support",
        {"e": slots.entity, "v": slots.listed(slots.one_of([p for p in lexicon.PLATFORMS if not p.startswith("a ")]))},
        [
            "{e} (runs|works|is available|is tested|has been tested|is supported) on {v}.",
            "{e} supports {v}.",
            "{v} (is|are) supported by {e}.",
            "You can use {e} on {v}.",
            "Supported (platforms|systems) of {e}: {v}.",
            "{e} is (made|built|meant) for {v}.",
        ],
        {
            "v": [
                "On (which|what) (platforms|systems) does {e} (run|work)?",
                "Where does {e} run?",
                "(Which|What) (platforms|systems) does {e} support?",
                "(Which|What) (platforms|systems) are supported by {e}?",
                "Where can I (run|use) {e}?",
                "What does {e} run on?",
            ]
        },
        ("e",),
        weight=1.2,
        topics={"v": "platform"},
        says={"need": ("e",)},
    ),
    Family(
        "made",
        {"e": Names.name, "p": lambda names: names.person() if names.rng.random() < 0.7 else names.name(), "t": Names.date, "l": Names.word_capital},
        [
            "{p} (founded|started|created|built|designed|opened|wrote|launched) {e} in {t}[ in {l}].",
            "{e} was (founded|started|created|built|designed|opened|written|launched) (by {p} in {t}|in {t} by {p}).",
            "In {t}, {p} (founded|started|created|built|designed|opened|launched) {e}.",
            "{e}, (founded|started|created|designed|written) by {p}, (dates from|goes back to|appeared in|came out in) {t}.",
            "{p} is (the founder|the creator|the designer|the author) of {e}, (which began|begun|started) in {t}.",
            "It was {p} who (founded|created|designed|started) {e}, in {t}.",
        ],
        {
            "p": [
                "Who (founded|started|created|built|designed|opened|wrote|launched|made|is behind) {e}?",
                "By whom was {e} (founded|created|built|designed|written|made|started)?",
                "Who is the (founder|creator|designer|author) of {e}?",
            ],
            "t": [
                "When was {e} (founded|created|built|designed|opened|written|launched|made|started)?",
                "In (which|what) year was {e} (founded|created|started|built|made)?",
                "When did {p} (found|create|start|build|design|make) {e}?",
                "Since when has {e} existed?",
            ],
        },
        ("e",),
        weight=1.5,
        topics={"p": "maker", "t": "began"},
    ),
    Family(
        "role",
        {"p": Names.person, "r": lambda names: names.rng.choice(("maintainer", "director", "editor", "owner", "chair", "lead developer", "chief engineer", "head", "manager", "contact person", "release manager", "mayor", "captain", "treasurer", "reviewer")), "e": slots.entity},
        [
            "{p} (is|became|was named|serves as|works as) (the|a) {r} of {e}[ last year].",
            "The {r} of {e} is {p}.",
            "{e} (has|chose|named|hired) {p} as [its ]{r}.",
            "As {r} of {e}, {p} (answers|decides|signs) (questions|releases|letters).",
            "{p}, {r} of {e}, (spoke first|wrote the report|was there).",
        ],
        {
            "p": [
                "Who is the {r} of {e}?",
                "Who (became|serves as|works as|was named) {r} of {e}?",
                "What is the name of the {r} of {e}?",
                "Who is {e}'s {r}?",
            ],
            "r": ["What is the role of {p} (at|in) {e}?", "What (position|role|job) does {p} have at {e}?"],
        },
        ("p", "r", "e"),
        weight=1,
    ),
    Family(
        "place",
        {"e": Names.name, "l": Names.word_capital},
        [
            "{e} (is|lies|stands|is located|is based|can be found) (in|near) {l}.",
            "The (head office|main site|home|centre) of {e} is in {l}.",
            "In {l}, (you find|there is|visitors see) {e}.",
            "{l} is (home to|the home of|the seat of) {e}.",
            "{e} moved to {l} (last year|in 1998|after the war|in spring).",
        ],
        {
            "l": ["Where is {e}[ located| based]?", "In which (place|city|town) is {e}?", "Where can (I|one) find {e}?", "Where did {e} move?"],
        },
        ("e",),
        weight=0.7,
        topics={"l": "place"},
    ),
]  # fmt: skip
