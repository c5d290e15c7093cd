"""How actions are stated and asked for: patterns of subject, verb, object and adjunct."""

from mlx_backends.bundled.training.grammar import compile_patterns

ACTIVE = compile_patterns([
    "{S} {v} {O}{A}.", "{S} {v} {O}{A}.",
    "{S} {v} {O}{A}.", "{S} {v} {O}{A}.", "{S} {v} {O}{A}.", "{A1}{S} {v} {O}.",
    "{S} (can|will|must|may|should|is able to|has to) {base} {O}{A}.",
    "It is {S} that {v3} {O}{A}.",
    "{S} is (responsible for|in charge of|used for|capable of|good at) {ing} {O}{A}.",
    "{ing} {O} is (the job|the task|a task|part of the work) of {S}.",
    "The (job|task|role|purpose) of {S} is to {base} {O}{A}.",
    "What {v3} {O} is {S}.",
    "{S}, (among other things|as its name says|like most parts), {v} {O}{A}.",
    "{S} - {v} {O}{A}", "- {S}: {v} {O}{A}",
])  # fmt: skip
PASSIVE = compile_patterns([
    "{O} {be} {pp} by {S}{A}.", "{O} {be} {pp} by {S}{A}.", "{A1}{O} {be} {pp} by {S}.",
    "{O} (can|will|must|may|should) be {pp} by {S}{A}.",
    "{O} (gets|is to be|needs to be|has to be) {pp} by {S}{A}.",
])  # fmt: skip
AGENTLESS = compile_patterns([
    "{O} {be} {pp}{A}.", "{O} {be} {pp}{A}.", "{A1}{O} {be} {pp}.",
    "{O} (can|will|must|may|should) [only |always |never ]be {pp}{A}.",
    "{O} {be} (always|never|only|usually|first|then) {pp}{A}.", "We {base} {O}{A}.", "You (can|should|must) {base} {O}{A}.",
    "(Always|Never) {base} {O}{A}.",
])  # fmt: skip
VP = compile_patterns(
    [
        "{S} {v} {O} and {v2} {O2}{A}.",
        "{A1}{S} {v} {O} and {v2} {O2}.",
        "{S} both {v} {O} and {v2} {O2}.",
        "- {S}: {v} {O} and {v2} {O2}",
    ]
)
ASK_OBJECT = compile_patterns([
    "What (does|can|will|must) {S} {qbase}?", "What is {qpp} by {S}?", "What gets {qpp} by {S}?",
    "What is it that {S} {qv3}?",
])  # fmt: skip
ASK_OBJECT_ADJUNCT = compile_patterns([
    "What is {qpp} {A}?", "What gets {qpp} {A}?", "{A1}what is {qpp}?", "What (must|can|should|will) be {qpp} {A}?",
    "Which thing is {qpp} {A}?",
])  # fmt: skip
ASK_OBJECT_BOTH = compile_patterns(
    [
        "What does {S} {qbase} {A}?",
        "{A1}what does {S} {qbase}?",
        "What is {qpp} by {S} {A}?",
    ]
)
ASK_SUBJECT = compile_patterns([
    "{W} {qv3} {Q}?", "{W} {qv3} {Q}?", "By {w} {qbe} {Q} {qpp}?", "{W} is (responsible for|in charge of|used for) {qing} {Q}?",
    "{W} (can|will|must|may) {qbase} {Q}?", "{W} is used to {qbase} {Q}?", "{W} takes care of {qing} {Q}?",
    "{W} (do I use|should I use|lets me use|is there) to {qbase} {Q}?", "{W} {qv3} {Q}?",
])  # fmt: skip
ASK_VERB = compile_patterns(
    [
        "What does {S} do?",
        "What is {S} doing?",
        "(Tell me|Say) what {S} does.",
        "What does {S} do {A}?",
        "What is the (job|task|role) of {S}?",
    ]
)
ASK_EVENT = compile_patterns(
    [
        "What happens {A}?",
        "What (is done|takes place|goes on) {A}?",
        "{A1}what happens?",
        "What will happen {A}?",
    ]
)
ASK_ADJUNCT = compile_patterns(
    [
        "{H} {qbe} {Q} {qpp}?",
        "{H} {qbe} {Q} {qpp}?",
        "{H} (can|should|must|will) {Q} be {qpp}?",
        "{H} is it that {Q} {qbe} {qpp}?",
    ]
)
ASK_ADJUNCT_ACTIVE = compile_patterns(
    [
        "{H} (does|will|can) {S} {qbase} {Q}?",
        "{H} does {S} {qbase} {Q}?",
        "{H} is it that {S} {qv3} {Q}?",
    ]
)
ASK_ADJUNCT_YOU = compile_patterns(["{H} (do|can|should|must) (I|we|you) {qbase} {Q}?"])
_HEADS = {
    "when": ("When", "When", "When", "At (what|which) (moment|point|time)", "In which case"),
    "often": ("How often", "How often", "At what interval"),
    "where": ("Where", "Where", "Where", "In (which|what) place"),
    "how": ("How", "How", "In (what|which) way", "By what means"),
    "why": ("Why", "For what purpose", "To what end", "What for"),
}  # fmt: skip
HEADS = {kind: compile_patterns(texts) for kind, texts in _HEADS.items()}
