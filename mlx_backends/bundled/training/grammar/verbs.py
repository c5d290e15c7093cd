"""English verbs: their forms, and groups that can stand for each other."""

from dataclasses import dataclass

from mlx_backends.bundled.training.lexicon import Names


@dataclass(frozen=True, slots=True)
class Verb:
    """The forms of a verb."""

    base: str
    third: str
    past: str
    participle: str
    gerund: str


_DOUBLED = frozenset(
    "transmit emit admit defer refer prefer omit format pin forbid transfer drop stop trim map log plan ship skip strip swap tag wrap shut hit let quit clip zip sum spot rot chop grab rub stir scan plot cap cut split set run get put".split()
)


_IRREGULAR = {
    "send": "sent sent", "keep": "kept kept", "hold": "held held", "build": "built built",
    "find": "found found", "take": "took taken", "choose": "chose chosen", "read": "read read",
    "write": "wrote written", "run": "ran run", "give": "gave given", "split": "split split",
    "cut": "cut cut", "set": "set set", "put": "put put", "make": "made made", "get": "got got",
    "override": "overrode overridden", "hide": "hid hidden", "begin": "began begun", "draw": "drew drawn", "lead": "led led",
    "sell": "sold sold", "buy": "bought bought", "win": "won won", "throw": "threw thrown",
    "show": "showed shown", "shrink": "shrank shrunk", "freeze": "froze frozen", "feed": "fed fed",
    "grow": "grew grown", "wake": "woke woken", "rewrite": "rewrote rewritten", "forbid": "forbade forbidden",
    "prove": "proved proven", "bind": "bound bound", "have": "had had", "teach": "taught taught", "eat": "ate eaten",
    "speak": "spoke spoken", "forget": "forgot forgotten", "lose": "lost lost", "catch": "caught caught",
    "mean": "meant meant", "overcome": "overcame overcome", "beat": "beat beaten", "understand": "understood understood",
    "bring": "brought brought", "think": "thought thought", "say": "said said", "tell": "told told", "hang": "hung hung",
    "know": "knew known", "come": "came come", "go": "went gone", "drive": "drove driven", "fall": "fell fallen",
    "break": "broke broken", "tear": "tore torn", "stand": "stood stood", "sit": "sat sat", "lie": "lay lain",
    "pay": "paid paid", "spend": "spent spent", "deal": "dealt dealt", "leave": "left left", "hear": "heard heard",
    "feel": "felt felt", "see": "saw seen", "foresee": "foresaw foreseen", "sleep": "slept slept", "shut": "shut shut",
    "hit": "hit hit", "hurt": "hurt hurt", "let": "let let", "quit": "quit quit", "cost": "cost cost", "spread": "spread spread",
    "undo": "undid undone", "redo": "redid redone", "withdraw": "withdrew withdrawn", "withhold": "withheld withheld",
    "bear": "bore borne", "wear": "wore worn", "shake": "shook shaken", "steal": "stole stolen", "swear": "swore sworn",
    "seek": "sought sought", "fight": "fought fought", "lend": "lent lent", "bend": "bent bent", "meet": "met met",
    "rise": "rose risen", "arise": "arose arisen", "fly": "flew flown", "blow": "blew blown", "ride": "rode ridden",
}  # fmt: skip


def conjugate(base: str) -> Verb:
    """Derive the forms of an English verb from its base form."""
    stem = base + base[-1] if base in _DOUBLED else base
    if base.endswith("y") and base[-2] not in "aeiou":
        third, past = base[:-1] + "ies", base[:-1] + "ied"
    else:
        third = (
            "has"
            if base == "have"
            else base + ("es" if base.endswith(("s", "x", "ch", "sh", "z")) else "s")
        )
        past = base + "d" if base.endswith("e") else stem + "ed"
    gerund = (base[:-1] if base.endswith("e") and base[-2] != "e" else stem) + "ing"
    if base == "begin":
        gerund = "beginning"
    if base in {"lie", "die", "tie"}:
        gerund = base[:-2] + "ying"
    past, participle = _IRREGULAR[base].split() if base in _IRREGULAR else (past, past)
    return Verb(base, third, past, participle, gerund)


# Verbs in one group can stand for each other in a question.
VERB_GROUPS: list[list[Verb]] = [
    [conjugate(base) for base in group.split()]
    for group in (
        "print show display report|store keep save hold|remove delete drop discard|evict|load read|"
        "create build make|check verify validate|send transmit forward|start launch|stop halt end|"
        "compute calculate|merge combine join|split divide cut|count|sort order|compress shrink|encrypt|"
        "copy duplicate|move transfer|measure|limit cap restrict|log record|convert translate|"
        "replace swap|reject refuse|accept allow|lock|release free|schedule plan|group|filter|"
        "rank score|quantize|prune|fetch download|parse|render draw|resize|rotate|trim truncate shorten|"
        "own|manage control|watch monitor|select choose pick|share|update refresh|repair fix|clean|"
        "tag label mark|hide|publish|sign|wrap|scan|index|search|reserve|allocate|map|list|describe explain|"
        "open|close|skip ignore|protect guard|collect gather|trace|test|train|embed|decode|encode|hash|"
        "retry repeat|cancel abort|pause suspend|resume|throttle slow|cache|flush empty|stream|queue|install|"
        "configure|define declare|export|import|paint|deliver|assemble|inspect examine|approve|archive|"
        "freeze|bind|override|reset|restore recover|initialize|warm|profile|benchmark|accelerate|adjust tune|admit|"
        "advertise announce|analyze study|annotate|append|arrange|attach|balance|block|broadcast|calibrate|capture|"
        "chain|charge|classify|coordinate|correct|decorate|defer delay postpone|deny forbid|deploy|detach|detect|"
        "disable|discover|dispatch|distribute|document|duplicate|emit|enable|enforce|enqueue|expand|expire|expose|"
        "extend|extract|feed|find locate|fill|finish complete|fold|format|give|grant|grow|guess|highlight|honor|"
        "identify recognize|import|improve|increase raise|indicate signal|inherit|inject|insert|interpret|invert|"
        "invoke|iterate|justify|label|launch|learn|lead|license|link connect|lower reduce|mask|migrate|mirror|mount|"
        "mute|name|normalize|notify inform|observe|offer|offload|omit|order|organize|override|pack|partition|patch|"
        "pin|postpone|predict|prefer|prefetch|prepare|preserve|prevent|process|produce|propose|prove|provide supply|"
        "pull|punish|push|query|recommend|recycle|refine|reflect|reject|relay|rename|renew|reorder|represent|require|"
        "resolve|return|reuse|reverse|review|revoke|rewrite|route|sample|sanitize|save|seal|sell|serve|settle|"
        "simplify|simulate|smooth|solve|specify|stack|state|subtract|suggest|summarize|support|suppress|survey|"
        "suspend|tolerate|touch|transform|transpose|treat|tune|unlock|unpack|upload|use|verify|visit|wake|weigh|win"
    ).split("|")
]


def verb_group(names: Names) -> list[Verb]:
    """Pick verbs that mean the same; sometimes an invented one, so that no list limits the reader."""
    if names.rng.random() < 0.12:
        return [conjugate(names.word())]
    return names.rng.choice(VERB_GROUPS)
