"""Families about amounts, times, people and settings, whose questions use other words than the statements."""

from collections.abc import Callable

from mlx_backends.bundled.training import grammar, lexicon
from mlx_backends.bundled.training.families import slots
from mlx_backends.bundled.training.families.family import Family, SlotMaker
from mlx_backends.bundled.training.lexicon import Names


def _number(*units: str) -> SlotMaker:
    return lambda names: f"{names.number()} {names.rng.choice(units)}"


def _code(names: Names) -> str:
    """Name an option, a variable or a setting."""
    maker: Callable[[], str] = names.rng.choice(
        (names.flag, names.identifier, names.environment_variable)
    )
    return f"`{maker()}`"


def _about(
    name: str,
    value: SlotMaker,
    statements: list[str],
    asks: list[str],
    entity: SlotMaker = slots.entity,
) -> Family:
    """Make a family of an entity and one value."""
    return Family(
        name,
        {"e": entity, "v": value},
        statements,
        {"v": asks},
        ("e",),
        weight=0.9,
        topics={"v": _TOPICS.get(name, name)},
        says=dict.fromkeys(_SAYS.get(name, ()), ("e",)),
    )


def _extent(name: str, *words: str) -> Family:
    """Make a family of one of an entity's dimensions."""
    word = f"({'|'.join(words)})"
    return Family(
        name,
        {"e": slots.entity, "v": _number("meters", "km", "feet", "cm", "miles")},
        [f"{{e}} is {{v}} {word}.", f"{{e}} (has a {name} of|measures in {name}) {{v}}.", f"The {name} of {{e}} is {{v}}."],
        {"v": [f"How {word} is {{e}}?", f"What is the {name} of {{e}}?", f"What {name} does {{e}} have?"]},
        ("e",),
        weight=0.25,
        topics={"v": name},
        says={"size": ("e",)},
    )  # fmt: skip


# Families whose questions are also those of others, and what else their statements seem to answer.
_TOPICS = {
    "waits": "time", "lasts": "time", "age": "began", "creator": "maker", "where_home": "place", "licensed": "license",
    "needs_version": "need", "price": "cost", "bytes": "size",
}  # fmt: skip
_SAYS = {
    "lasts": ("need", "length"), "memory": ("need", "size"), "bytes": ("weight",), "platform": ("need",),
    "needs_version": ("platform",),
}  # fmt: skip
_TIME = _number("seconds", "minutes", "hours", "days", "milliseconds")
_MEMORY = _number("MB", "GB", "KB", "bytes", "GiB", "MiB")
MEASURES: list[Family] = [
    _about("waits", _TIME,
        ["{e} (gives up|times out|stops trying|stops waiting|aborts) after {v}.", "The (timeout|time limit|deadline) of {e} is {v}.", "{e} waits (at most|up to|no longer than) {v}.", "After {v}, {e} (gives up|aborts|stops waiting)."],
        ["How long does {e} wait?", "After (how long|what time|how much time) does {e} (give up|time out|stop waiting)?", "What is the (timeout|time limit|deadline) (of|for) {e}?", "When does {e} (give up|time out|lose patience)?", "How much time does {e} have?", "How patient is {e}?"]),
    _about("lasts", _TIME,
        ["{e} (takes|lasts|runs for|goes on for|needs) {v}.", "The (duration|run time|length) of {e} is {v}.", "{e} is (done|over|finished) (after|in) {v}.", "It takes {v} until {e} is done."],
        ["How long does {e} (take|last|run|go on)?", "What is the (duration|run time) of {e}?", "How much time does {e} (need|take)?", "After how long is {e} (over|done|finished)?"]),
    _about("keeps", _TIME,
        ["{e} (keeps|retains|stores|remembers) entries for {v}.", "Entries of {e} (expire|are dropped|are deleted|go stale) after {v}.", "The (lifetime|retention time|time to live|lease time) of {e} is {v}.", "In {e}, nothing is older than {v}."],
        ["How long does {e} (keep|retain|remember|store) entries?", "When do entries of {e} (expire|go stale|disappear)?", "What is the (lifetime|retention|expiry time) of entries in {e}?", "How old can an entry of {e} (be|get)?"]),
    _about("every", lambda names: f"every {_TIME(names)}",
        ["{e} (runs|is called|wakes up|is refreshed|is repeated|polls) {v}.", "{v}, {e} (runs|wakes up|is refreshed).", "The interval of {e} is {v}."],
        ["How often (does {e} run|is {e} (called|refreshed|repeated))?", "At (what|which) intervals does {e} (run|wake up)?", "What is the (interval|period|frequency) of {e}?", "With what frequency is {e} run?"]),
    _about("memory", _MEMORY,
        ["{e} (uses|needs|takes|takes up|occupies|claims|fits in) {v}[ of memory| of RAM].", "The (memory use|footprint|memory) of {e} is {v}.", "{v} (are enough for|are what|are needed by) {e}."],
        ["How much (memory|RAM|space) does {e} (use|need|take|occupy)?", "What is the (footprint|memory use|memory need) of {e}?", "How (big|large) is the footprint of {e}?", "How much room does {e} take[ up]?"]),
    _about("bytes", _MEMORY,
        ["{e} is {v} (large|big|in size).", "{e} has a size of {v}.", "The size of {e} is {v}.", "{e} (weighs|measures|comes to) {v}[ on disk]."],
        ["How (large|big) is {e}?", "What is the size of {e}?", "What size does {e} have?"],
        lambda names: names.rng.choice((slots.entity(names), f"`{names.file_path()}`", slots.the_thing(names)))),
    _about("capacity", _number("users", "rows", "items", "entries", "requests", "blocks", "tokens", "files", "seats"),
        ["{e} (holds|has room for|fits|can take|seats|stores at most|handles) {v}.", "The (capacity|maximum|limit) of {e} is {v}.", "{e} is (full|at its limit) at {v}.", "{e} has (a capacity|a limit|space) of {v}."],
        ["How (much|many) (can|does) {e} (hold|take|store|handle)?", "What is the (capacity|maximum|limit) of {e}?", "When is {e} full?", "How (big|large) is the capacity of {e}?", "What fits in[to] {e}?"]),
    _about("speed", _number("requests a second", "tokens a second", "km/h", "rows a second", "MB/s", "frames a second", "lines a minute"),
        ["{e} (runs at|reaches|moves at|works at|makes|processes|does) {v}.", "The (speed|throughput|rate|pace) of {e} is {v}.", "{v} is the (speed|throughput|rate) of {e}."],
        ["How fast (is {e}|does {e} (run|work|go))?", "What is the (speed|throughput|rate|pace) of {e}?", "At (what|which) (speed|rate|pace) does {e} (run|work)?", "How quick is {e}?"]),
    _about("age", lambda names: names.rng.choice((names.date(), str(names.rng.randint(1700, 2035)))),
        ["{e} (was built|was founded|was opened|opened|began|started|goes back|dates back|was born) (in|to) {v}.", "{e} (dates from|goes back to|has existed since) {v}.", "In {v}, {e} (was built|opened|began|was founded)."],
        ["When was {e} (built|founded|opened|started|born|created)?", "When did {e} (open|begin|start)?", "Since when (does|has) {e} (exist|existed)?", "How old is {e}?", "In (which|what) year was {e} (built|opened|founded)?", "What is the age of {e}?"], Names.name),
    _about("people", lambda names: f"{names.number()} {names.rng.choice(('people', 'workers', 'employees', 'members', 'inhabitants', 'volunteers'))}",
        ["{e} (has|employs|counts|is home to|is run by) {v}.", "{v} (live|work) in {e}.", "There are {v} (in|at) {e}."],
        ["How many (people|persons) (live|work|are) in {e}?", "How (large|big) is the (staff|team|population|crew) of {e}?", "How many [people ]does {e} (have|employ)?", "What is the (head count|population|staff size) of {e}?"], Names.name),
    _about("creator", Names.person,
        ["{v} (wrote|made|built|designed|created|invented|developed|came up with) {e}.", "{e} was (written|made|built|designed|created|invented|developed) by {v}.", "{e} is (the work|a creation|an invention|the idea) of {v}.", "The (author|creator|maker|inventor|designer) of {e} is {v}.", "We owe {e} to {v}."],
        ["Who (wrote|made|built|designed|created|invented|developed) {e}?", "Who is the (author|creator|maker|inventor|designer|father|mother) of {e}?", "By whom was {e} (written|made|created|invented)?", "Whose (work|idea|creation|invention) is {e}?", "Who came up with {e}?", "Whom do we owe {e}?"]),
    _about("boss", Names.person,
        ["{v} (leads|runs|heads|manages|directs|is in charge of|is responsible for|looks after) {e}.", "{e} is (led|run|headed|managed|directed|looked after) by {v}.", "The (head|leader|manager|director|boss) of {e} is {v}.", "{e} is in the hands of {v}."],
        ["Who (leads|runs|heads|manages|directs|looks after|takes care of) {e}?", "Who is (in charge of|responsible for|at the head of) {e}?", "Who is the (head|leader|manager|director|boss) of {e}?", "In whose hands is {e}?", "By whom is {e} (run|led|managed)?"]),
    _about("contact", lambda names: f"{names.word()}@{names.word()}.{names.rng.choice(('org', 'com', 'net', 'io'))}",
        ["(Write to|Mail|Contact) {v} (about|for) {e}.", "The (address|mail address|contact) (of|for) {e} is {v}.", "{e} can be reached (at|under) {v}.", "Questions about {e} go to {v}."],
        ["How can I (reach|contact) {e}?", "What is the (address|mail address|contact) (of|for) {e}?", "Where (do I write|should I write|do questions go) (about|for) {e}?", "Whom do I ask about {e}?"]),
    _about("where_home", Names.word_capital,
        ["{e} (is based|is located|lies|sits|has its office|has its seat|operates|lives) in {v}.", "{v} is (home to|the home of|the seat of|where you find) {e}.", "The (home|seat|location|address) of {e} is {v}."],
        ["Where (is|lies|sits) {e}[ (located|based)]?", "In (which|what) (city|town|place|country) is {e}?", "What is the (location|seat|home) of {e}?", "Where (can|do) I find {e}?", "To which city (must|do) I go for {e}?"], Names.name),
    Family("stored_at", {"e": slots.entity, "n": lambda names: names.rng.choice(("log", "cache", "state", "history", "index", "output", "report", "configuration", "data", "backup", names.thing())), "v": lambda names: f"`{names.file_path()}`"},
        ["{e} (writes|saves|stores|puts|keeps|logs) its {n} (in|to|under) {v}.", "The {n} of {e} (is|lies|ends up|goes|can be found) in {v}.", "{v} (holds|contains|has) the {n} of {e}.", "Look in {v} for the {n} of {e}."],
        {"v": ["Where does {e} (write|save|store|put|keep) its {n}?", "Where (is|are|do I find|can I see) the {n} of {e}?", "(In|To) which file does the {n} of {e} go?", "Which file (holds|has|contains) the {n} of {e}?", "What is the path of the {n} of {e}?"]}, ("e", "n"), weight=1.2),
    _about("language", lambda names: names.rng.choice(lexicon.LANGUAGES),
        ["{e} is (written|programmed|implemented|coded|developed) in {v}.", "{e} is a {v} (program|project|library|package).", "The (code|source|source code) of {e} is {v}.", "{v} is the language of {e}."],
        ["In (which|what) language is {e} (written|programmed|implemented|coded)?", "What (language|programming language) does {e} use?", "Which language is {e} (written|made) in?", "What is the (programming|implementation) language of {e}?", "What is {e} coded in?"]),
    _about("licensed", lambda names: names.rng.choice(lexicon.LICENSES),
        ["{e} is (licensed|released|distributed|published|available|offered) under {v}.", "The (licence|license|terms) of {e} (is|are) {v}.", "{e} comes (with|under) {v}.", "{v} (applies to|covers) {e}."],
        ["Under (which|what) (licence|license|terms) is {e}[ (released|distributed|available)]?", "What is the (licence|license) of {e}?", "How is {e} licensed?", "Which (licence|license) does {e} (have|use|come with)?", "What are the legal terms of {e}?"]),
    _about("platform", lambda names: names.rng.choice(lexicon.PLATFORMS),
        ["{e} (runs|works|is available|has been tested) [only ]on {v}.", "{e} (needs|targets|is made for|is built for|requires) {v}.", "The (platform|target) of {e} is {v}."],
        ["What (does {e} run on|is {e} made for)?", "Where (does|can) {e} (run|work)?", "Which (platform|system) does {e} (need|run on|target|require)?", "On what can I use {e}?", "What is the (platform|target) of {e}?"]),
    _about("version", lambda names: f"{names.rng.choice(('', '', 'version '))}{names.version()}",
        ["The (latest|newest|current|last) (release|version) of {e} is {v}.", "{e} (is now at|has reached|stands at|is at) {v}.", "{v} is the (latest|newest|current|most recent) (release|version) of {e}."],
        ["What is the (latest|newest|current|most recent) (release|version) of {e}?", "(Which|What) version (is {e} at|does {e} have)[ now]?", "At which version is {e}?", "How far has {e} come?"]),
    _about("needs_version", lambda names: f"{names.rng.choice((*lexicon.LANGUAGES, names.name()))} {names.version()}{names.rng.choice(('', ' or newer', ' or later', '+'))}",
        ["{e} (needs|requires|asks for|wants|works only with|demands|does not work without) {v}.", "{v} is (needed|required|a must) (by|for) {e}.", "(Install|Get) {v} before {e}.", "You need {v} to (use|run|install) {e}."],
        ["What (must I (have|install) for {e}|do I have to install before {e})?", "What (are the requirements|is the requirement|is the prerequisite) (of|for) {e}?", "On what does {e} depend?", "What is {e}'s dependency?", "Which version is (needed|required) for {e}?"]),
    _about("price", lambda names: f"{names.rng.choice(('$', '€', ''))}{names.rng.randint(2, 9999)}{names.rng.choice(('', ' dollars', ' coins', ' a month', ' a year'))}",
        ["{e} (costs|is sold for|goes for|sells at|is priced at) {v}.", "The (price|cost|fee) (of|for) {e} is {v}.", "You (pay|are charged) {v} for {e}.", "{e} is worth {v}."],
        ["How (much does {e} cost|expensive is {e})?", "What (does {e} cost|do I pay for {e}|is {e} worth)?", "What is the (price|cost|fee) (of|for) {e}?", "How much (money|must I pay|do I need) for {e}?"]),
    _about("weight", _number("kg", "tons", "grams", "pounds"),
        ["{e} (weighs|has a weight of|has a mass of|is as heavy as) {v}.", "The (weight|mass) of {e} is {v}."],
        ["How (heavy is {e}|much does {e} weigh)?", "What is the (weight|mass) of {e}?", "What does {e} weigh?"]),
    *(_extent(name, *words) for name, *words in (("height", "high", "tall"), ("length", "long"), ("width", "wide"), ("depth", "deep"))),
    _about("retries", lambda names: f"{names.rng.choice((*lexicon.NUMBER_WORDS, '3', '5', '7', '12'))} times",
        ["{e} (tries|retries|repeats the call|asks again) {v}.", "{e} makes another attempt {v}.", "A failed call of {e} is repeated {v}."],
        ["How often does {e} (try|retry|repeat)[ a failed call]?", "How many (attempts|tries|retries) does {e} make?", "What is the (number of retries|retry count|retry limit) of {e}?"]),
    _about("colour", lambda names: names.rng.choice(lexicon.COLORS),
        ["{e} is [painted |shown in |drawn in |coloured ]{v}.", "The colour of {e} is {v}.", "{e} (has|wears|glows in) {v}."],
        ["(What|Which) (color|colour) (is|has) {e}?", "What is the (color|colour|paint) of {e}?", "How is {e} (painted|coloured|drawn)?"], slots.the_thing),
    Family("turns_on", {"c": _code, "n": lambda names: f"{names.rng.choice(('the ', '', ''))}{grammar.thing_name(names)} {names.rng.choice(('caching', 'logging', 'mode', 'support', 'output', 'checking', 'sharing', 'reuse', 'tracing', 'compression'))}"},
        ["{c} (enables|turns on|switches on|activates|allows) {n}.", "{n} is (enabled|turned on|switched on|activated) (by|with|through) {c}.", "(Set|Use|Pass|Give) {c} (to (get|enable|turn on|activate)|for) {n}.", "With {c}, {n} is (on|active|available)."],
        {"c": ["How (do|can) I (enable|turn on|switch on|activate|get) {n}?", "(What|Which option|Which setting|Which switch) (enables|turns on|switches on|activates) {n}?", "What must I set (for|to get|to have) {n}?"], "n": ["What does {c} (enable|turn on|activate|do|switch on)?", "What is {c} [good ]for?"]},
        ("c", "n"), weight=1.2, topics={"n": "does"}),
    Family("turns_off", {"c": _code, "n": lambda names: f"{grammar.thing_name(names)} {names.rng.choice(('caching', 'logging', 'mode', 'support', 'output', 'checking', 'sharing', 'reuse', 'tracing', 'compression'))}"},
        ["{c} (disables|turns off|switches off|suppresses|forbids) {n}.", "{n} is (disabled|turned off|switched off|suppressed) (by|with|through) {c}.", "(Set|Use|Pass) {c} (to (avoid|disable|turn off|get rid of)|against) {n}.", "With {c}, there is no {n}."],
        {"c": ["How (do|can) I (disable|turn off|switch off|avoid|get rid of|stop) {n}?", "(What|Which option|Which setting|Which switch) (disables|turns off|switches off|suppresses) {n}?"], "n": ["What does {c} (disable|turn off|do|suppress)?"]},
        ("c", "n"), weight=1.2, topics={"n": "does"}),
    Family("option_default", {"c": _code, "n": slots.setting, "v": Names.value},
        ["{c}: {n}. Default: {v}.", "{c} (sets|is|gives|controls) the {n}. (It|This) (defaults to|is normally) {v}.", "{c}, {v} unless (set|given|changed), (sets|controls) the {n}.", "The {n} comes from {c}; (when it is absent|if missing|without it), {v} is (used|taken|assumed)."],
        {"v": ["What is the default (of|for|value of) {c}?", "What does {c} default to?", "What is used if {c} is (missing|not set|absent|left out)?", "What (value|setting) does {c} have (initially|normally|at first|if I do nothing)?", "What happens to be the preset of {c}?"],
         "c": ["(Which|What) (option|setting|parameter|variable|argument|flag) (sets|controls|is for|determines|changes) the {n}?", "How (do|can) I (change|set|adjust|configure) the {n}?", "What do I set to (change|adjust) the {n}?"]},
        ("c", "n"), weight=2, topics={"v": "default of", "c": "sets"}, says={"default": ("n",), "does": ("c",)}),
    Family("short_form", {"a": lambda names: f"`-{names.rng.choice('abcdefghijklmnopqrstuvwxyz')}`", "b": lambda names: f"`{names.flag()}`"},
        ["{a} is (short for|the short form of|an abbreviation of|an alias of|the same as) {b}.", "{b} (can be written|is abbreviated|has the short form|may be shortened to|can be given as) {a}.", "{a}, {b}: the same option."],
        {"a": ["What is the (short form|abbreviation|short version|alias) of {b}?", "How (is|can be) {b} abbreviated?", "How can I write {b} (shorter|in short|more briefly)?"], "b": ["What does {a} (stand for|mean)?", "What is the (long form|full name|long version) of {a}?", "What is {a} short for?"]},
        ("a", "b"), weight=0.8),
]  # fmt: skip
