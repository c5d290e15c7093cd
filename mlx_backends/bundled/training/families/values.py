"""Families about values: attributes, defaults, limits, durations and prices."""

from mlx_backends.bundled.training import grammar, lexicon
from mlx_backends.bundled.training.families import slots
from mlx_backends.bundled.training.families.family import Family
from mlx_backends.bundled.training.lexicon import Names

VALUES: list[Family] = [
    Family(
        "attribute",
        {"e": slots.entity, "n": slots.setting, "v": Names.value},
        [
            "[(As far as we know|Today|At present|Officially|In practice), ]the {n} of {e} is {v}.",
            "{e} has (a|the) {n} of {v}[ (today|in this release|at the moment)].",
            "(For|With|In the case of) {e}, the {n} is [(now|currently|always|usually) ]{v}.",
            "The {n} of {e} (was|is|has been) (set|fixed|kept|raised|lowered|changed) (to|at) {v}[ last year| in the spring| by the team].",
            "{v} is the {n} (of|for) {e}.",
            "{e} (uses|takes|lists|gives|names|reports|has) {v} as (its|the) {n}.",
            "(In|For) {e}, the {n} (equals|amounts to|comes to|stays at|is) {v}.",
            "The {n} (given|listed|recorded|documented|published|noted) for {e} is {v}.",
            "{e} - {n}: {v}",
            "{e}: {n} = {v}",
            "{n} of {e}: {v}",
            "As (its|the) {n}, {e} has {v}.",
            "What {e} (uses|has) as (a|the) {n} is {v}.",
            "(Our|The) (notes|records|tables|tests|manuals) (say|show|state) that the {n} of {e} is {v}.",
            "{v} (serves|works|is used|is known|counts) as the {n} of {e}.",
            "The {n}, which {e} (needs|publishes|shares) with its (users|peers|clients), is {v}.",
            "{e} comes with {v} as {n}.",
            "(Users|Readers|Visitors) of {e} (will find|see|get) a {n} of {v}.",
            "Since (May|June|last year|version 2), {e} has had a {n} of {v}.",
            "{e} (runs|works|operates|is run) with a {n} of {v}.",
            "The {n} (that|which) {e} (uses|has|takes) is {v}.",
            "{e} sets (its|the) {n} to {v}.",
        ],
        {
            "v": [
                "(What|Which) is the {n} (of|for) {e}?",
                "What {n} does {e} (have|use|take)?",
                "Which {n} (is (listed|given|documented|recorded) for|belongs to) {e}?",
                "Which {n} does {e} have?",
                "What is {e}'s {n}?",
                "{e}: what is the {n}?",
                "For {e}, (what|which) is the {n}?",
                "(Give|Tell me|State|Name) the {n} of {e}.",
                "What value does the {n} of {e} have?",
                "What does {e} (use|have|take) as (its|the) {n}?",
                "(To what|At what) is the {n} of {e} set?",
                "{n} of {e}?",
                "What was the {n} of {e} set to?",
                "How (large|big|high|long) is the {n} of {e}?",
                "What is the {n} that {e} (uses|has)?",
            ]
        },
        ("e", "n"),
        weight=9,
        topics={"v": "attribute"},
    ),
    Family(
        "default",
        {"n": slots.setting, "v": Names.value},
        [
            "[(Today|At present|As shipped|In this release), ]the default {n} is {v}.",
            "By default, the {n} is {v}[ (in this release|on all platforms|for new users)].",
            "The {n} (defaults to|is by default) {v}.",
            "(If|When) (nothing|no other value|none) is (given|set|passed|chosen), the {n} is {v}.",
            "Unless (you change it|told otherwise|it is set), the {n} is {v}.",
            "{v} is the default {n}.",
            "The {n} is {v} by default[, and few people change it].",
            "The {n} (starts at|begins at|is first) {v} unless (changed|configured).",
            "{n} (default: {v})",
            "Without an option, the {n} (is|stays) {v}.",
            "The {n} has a default (of|value of) {v}.",
            "(As|For) the {n}, the default is {v}.",
        ],
        {
            "v": [
                "What is the default {n}?",
                "What does the {n} default to?",
                "(Which|What) {n} is used by default?",
                "What is the {n} by default?",
                "(Which|What) is the default value of the {n}?",
                "How (large|big|long|high|much) is the default {n}?",
                "If I set nothing, what is the {n}?",
                "Which {n} do I get (by default|if I change nothing|without an option)?",
            ]
        },
        ("n",),
        weight=4,
        topics={"v": "default"},
    ),
    Family(
        "limit",
        {
            "e": lambda names: grammar.indefinite(grammar.thing_name(names)),
            "o": slots.plain_things,
            "v": Names.number,
        },
        [
            "{e} (may|can|must not) (have|hold|contain|carry) (at most|no more than|up to|more than) {v} {o}.",
            "At most {v} {o} (fit in|are allowed in|go into|are kept in) {e}.",
            "The (largest|maximum) number of {o} in {e} is {v}.",
            "{e} is limited to {v} {o}.",
            "{e} (needs|must have|requires) (at least|no fewer than|a minimum of) {v} {o}.",
            "There are {v} {o} in {e}.",
            "{e} (has|holds|contains|consists of|is made of|comprises) {v} {o}.",
            "(Each|Every) time, {e} gets {v} {o}.",
        ],
        {
            "v": [
                "How many {o} (can|may|does|must) {e} (have|hold|contain)?",
                "How many {o} (are in|fit in|are there in) {e}?",
                "What is the number of {o} in {e}?",
            ]
        },
        ("e", "o"),
        weight=2.5,
    ),
    Family(
        "measure",
        {"n": slots.setting, "e": slots.entity, "v": Names.quantity},
        [
            "{e} (waits|sleeps|pauses|runs) {v} (before|after|for) the {n} (changes|is read).",
            "The {n} of {e} (may not exceed|is at most|never exceeds|is capped at|can reach|stays under) {v}.",
            "The {n} of {e} is (at least|never below|no less than|more than) {v}.",
            "The (maximum|minimum|average|usual|median) {n} of {e} is {v}.",
            "(On average|Usually|Normally), {e} reaches a {n} of {v}.",
        ],
        {
            "v": [
                "(How|What) (long|large|much|high|great) is the {n} of {e}?",
                "What is the (limit|bound|value) (of|for) the {n} of {e}?",
                "How much {n} does {e} (have|allow|reach)?",
                "What {n} does {e} (have|allow|reach)?",
            ]
        },
        ("n", "e"),
        weight=1.2,
        topics={"v": "attribute"},
    ),
    Family(
        "allowed",
        {"o": slots.things, "t": Names.thing, "v": Names.number},
        [
            "[At most |No more than |Up to |At least |Only ]{v} {o} (are allowed|are accepted|are kept|are needed|can be used|are read) (per|for each|in each) {t}.",
            "(A|Each|Every) {t} (may|can|must) (have|hold|name|carry) [at most |up to |at least ]{v} {o}.",
            "The number of {o} per {t} is [limited to ]{v}.",
            "Per {t}, {v} {o} (are allowed|can be used|are kept).",
        ],
        {"v": ["How many {o} (are allowed|are accepted|are kept|are needed|can be used) (per|for each|in each) {t}?", "How many {o} (can|may|must) a {t} have?", "What is the (maximum|largest|allowed) number of {o} per {t}?"]},
        ("o", "t"),
        weight=1.2,
    ),
    Family(
        "duration",
        {"e": slots.entity, "v": lambda names: f"{names.number()} {names.rng.choice(lexicon.TIME_UNITS)}" if names.rng.random() < 0.7 else f"{names.rng.choice(('one', 'a half', 'a quarter of a'))} {names.rng.choice(('second', 'minute', 'hour', 'day'))}", "t": Names.thing},
        ["{e} (takes|may take|can take|lasts|needs|has|may run|waits) [at most |about |up to |at least ]{v}[ per {t}].", "[Per {t}, ]{e} (takes|may take|needs) {v}.", "It takes {v} (to run|until) {e}[ is ready].", "{v} (is|are) what {e} (may take|needs)."],
        {"v": ["How (long|much time) (does|may|can|will) {e} (take|need|run|last|wait)[ per {t}]?", "How long does it take (to run|until) {e}[ is ready]?", "What time does {e} (take|need)?"]},
        ("e",),
        weight=1,
        topics={"v": "time"},
        says={"need": ("e",)},
    ),
    Family(
        "cost",
        {"e": slots.entity, "v": lambda names: f"{names.rng.choice(('$', '€', ''))}{names.rng.randint(1, 9999)}{names.rng.choice(('', ' coins', ' dollars', ' a month', ' per user', ' credits'))}"},
        [
            "{e} (costs|is sold for|is priced at|sells at) {v}.",
            "(You pay|Buyers pay|We paid) {v} for {e}.",
            "The price of {e} is {v}.",
            "For {v}, you get {e}.",
        ],
        {"v": ["How much does {e} cost?", "What does {e} cost?", "What (is|was) the price of {e}?", "How much (do|must) I pay for {e}?"]},
        ("e",),
        weight=0.6,
        topics={"v": "cost"},
    ),
]  # fmt: skip
