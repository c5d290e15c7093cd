"""Questions over real sentences, made by rules.

A rule is a pattern of a sentence with the questions that it answers; every answer is a span of the
sentence.
"""

import random
import re
from dataclasses import dataclass

from mlx_backends.bundled.training import grammar
from mlx_backends.bundled.training.prose.sentences import BY_THIRD, VERBS, starts_with_verb

_SUBJECT = r"(?P<s>(?:(?:The|A|An|This|Each|Every|All|Both|These) )?(?:`[^`]+`|[\w-]+)(?: (?:`[^`]+`|[\w-]+)){0,4}?)"
_OBJECT = r"(?P<o>(?:[^,.;:()]|\.(?=\w)){3,90}?)"
# A comma that ends what is asked for, and not one between the items of a list.
_COMMA = r", (?!(?:[^,.;:()]{1,50}, ){0,6}(?:[^,.;:()]{1,60},? )?(?:and|or) )"
_END = rf"(?:\.$|{_COMMA}|; |: | \(| if | when | unless | because | so that | in order to | which | while | and then )"
_THIRDS = "|".join(sorted(BY_THIRD))
_BASES = "|".join(sorted(VERBS))
_PARTICIPLES = "|".join(sorted({verb.participle for verb in VERBS.values()}))
_PREPOSITIONS = "on|of|from|with|into|as|through|against"
_LEANING = "|".join(
    third
    for third in "depends consists refers relies points iterates applies".split()
    if third in BY_THIRD
)
_NUMBERS = r"\d[\d,.]*|one|two|three|four|five|six|seven|eight|nine|ten|twelve"
_WHEN = r"(?P<o>(?:when|if|before|after|once|until|while|as soon as) [^.,;:()]{4,70}?)"
_WHERE = r"(?P<o>(?:in|on|inside|within|under) (?:an?|the|its|each|every|`)[^.;:()]{2,50}?)"
_HOW_MUCH = (
    rf"(?P<o>(?:at most |up to |no more than |at least |exactly |only |about )?(?:{_NUMBERS}))"
)
_MODALS = "must|should|can|may|cannot|will"
_LIVING = {
    verb.third: verb
    for verb in map(
        grammar.conjugate,
        "run live reside happen occur start stand appear execute begin end lie work stay".split(),
    )
}
_LIVE, _LIVES = "|".join(verb.base for verb in _LIVING.values()), "|".join(_LIVING)
_PUTS = "|".join(
    third
    for third in "stores puts saves writes places keeps collects holds inserts copies moves shows records".split()
    if third in BY_THIRD
)
_ERROR = r"(?:an? |the )?(?P<o>`?\w*(?:Error|Exception|Warning|Interrupt|Iteration)`?)"

_RULES: list[tuple[re.Pattern[str], list[tuple[str, str]]]] = [
    (
        re.compile(rf"^{_SUBJECT} (?P<v>{_THIRDS}) {_OBJECT}{_END}"),
        [
            ("o", "What does {s} {b}?"),
            ("s", "(What|What|Which {k}) {v} {o}?"),
            ("o", "(Please tell me what|Say what|Tell me what it is that) {s} {v}."),
            ("o", "What (is|gets) {bp} by {s}?"),
            ("s", "(What is (responsible for|used for) {bg}|What can {b}|By what is it possible to {b}|What (do I use|is there) to {b}) {o}?"),
        ],
    ),
    (
        re.compile(rf"^(?P<s>`[^`]+`) (?P<o>(?P<v>{_THIRDS}) (?P<rest>[^.;:()]{{5,80}}?))(?:\.$|; |: | \()"),
        [("o", "What does {s} do?"), ("s", "(What|Which {k}|Which {k}) {o}?"), ("o", "What is {s} for?"), ("s", "(Is there {ak} that|What is the {k} that|Which is the {k} that) {o}?"),
         ("s", "How do I {b} {rest}?"), ("s", "(What|Which {k}) do I (use|need|call) to {b} {rest}?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<v>is|are) (?P<o>(?:a|an|the) (?:[^,.;:()]|\.(?=\w)){{3,90}}?)(?:\.$|, |; |: | \()"),
        [
            ("o", "What {v} {s}?"),
            ("s", "(What|Which {k}|Which one) {v} {o}?"),
            ("o", "(How {v} {s} (defined|described)?|What is meant by {s}?|Define {s}.|What kind of thing {v} {s}?)"),
        ],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<v>must|should|can|may|cannot|will) be {_OBJECT}{_END}"),
        [("o", "What {v} {s} be?"), ("o", "How {v} {s} be?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<v>must|should|can|may|cannot|will) (?P<o>(?!be |not )[a-z]+ (?:[^,.;:()]|\.(?=\w)){{3,80}}?){_END}"),
        [("o", "What {v} {s} do?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} defaults to {_OBJECT}{_END}"),
        [("o", "What does {s} default to?"), ("o", "What is the default (of|for) {s}?")],
    ),
    (
        re.compile(rf"(?:^|.* )(?:raises?|throws?|raising) {_ERROR}(?: exception| error)? (?P<c>(?:if|when) [^.;:()]{{5,90}})\.$"),
        [("o", "(Which|What) (error|exception) is raised {c}?"), ("c", "When is {o} raised?"), ("o", "What happens {c}?")],
    ),
    (
        re.compile(rf"^{_ERROR} (?:is|will be|gets) raised (?P<c>(?:if|when) [^.;:()]{{5,90}})\.$"),
        [("o", "(Which|What) (error|exception) is raised {c}?"), ("c", "When is {o} raised?")],
    ),
    (
        re.compile(r"^(?P<w>If|When|Whenever|Unless) (?P<c>[^,.;:]{5,90}), (?:then )?(?P<o>[^;:()]{8,90})\.$"),
        [("o", "What happens (if|when) {c}?"), ("o", "(If|When) {c}, what happens?")],
    ),
    (
        re.compile(r"^(?P<o>[^,;:()]{10,90}) (?P<c>(?:if|when|unless|until) [^.;:,()]{5,80})\.$"),
        [("c", "When is it that {ol}?"), ("o", "What happens {c}?"), ("c", "(Under which condition|When) is it so that {ol}?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<v>is|are|can be) used (?P<o>(?:to|for|as|by|when|in) [^.;:()]{{4,80}}?)(?:\.$|, |; )"),
        [("o", "What (is|are) {s} used for?"), ("o", "How (is|are) {s} used?")],
    ),
    (
        re.compile(r"^(?P<c>[^.;:()]{8,90}) because (?P<o>[^.;:()]{5,90})\.$"),
        [("o", "Why is it that {cl}?"), ("o", "What is the reason that {cl}?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<v>is|are|was|were) (?P<p>{_PARTICIPLES}) (?P<o>(?:when|if|before|after|once|until|at) [^.;:()]{{4,70}}?)(?:\.$|, |; )"),
        [("o", "When {v} {s} {p}?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<v>is|are|was|were) (?P<p>{_PARTICIPLES}) (?P<o>(?:in|on|into|under|from) [^.;:()]{{4,60}}?)(?:\.$|, |; )"),
        [("o", "Where {v} {s} {p}?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<v>is|are|was|were) (?P<p>{_PARTICIPLES}) by (?P<o>(?:[^,.;:()]|\.(?=\w)){{4,60}}?)(?:\.$|, |; )"),
        [("o", "(By what|By whom) {v} {s} {p}?"), ("s", "What {v} {p} by {o}?")],
    ),
    (
        re.compile(rf"^Use (?P<o>`[^`]+`) to (?P<c>(?:{_BASES}) [^.;:()]{{4,70}})\.$"),
        [("o", "What should I use to {c}?"), ("o", "How (do|can) I {c}?"), ("c", "What is {o} for?")],
    ),
    (
        re.compile(rf"^To (?P<c>(?:{_BASES}) [^,.;:()]{{4,70}}), (?:you (?:can|must|should|need to) )?(?P<o>(?:use|set|call|run|specify|pass|add|see|{_BASES}) [^;:()]{{4,90}})\.$"),
        [("o", "How (can|do|should) I {c}?"), ("o", "What (should|must) I do (to|in order to) {c}?"), ("c", "Why (would|should) I {o}?")],
    ),
    (
        re.compile(r"^(?P<c>[^.;:()]{8,90}) (?:so that|in order to) (?P<o>[^.;:()]{5,90})\.$"),
        [("o", "Why is it that {cl}?"), ("o", "To what end is it so that {cl}?")],
    ),
    (
        re.compile(r"^(?P<c>[^.;:()]{8,90}), so (?P<o>[^.;:()]{8,90})\.$"),
        [("o", "What (follows|is the result) from the fact that {cl}?"), ("c", "Why is it that {ol}?"), ("c", "What is the reason that {ol}?")],
    ),
    (
        re.compile(r"^By default, (?P<o>[^;:()]{8,90})\.$"),
        [("o", "What (happens|is the case|is done) by default?"), ("o", "What happens if I change nothing?")],
    ),
    (
        re.compile(rf"^(?:The )?[Dd]efault (?:value )?(?:of|for) {_SUBJECT} is {_OBJECT}{_END}"),
        [("o", "What is the default (of|for|value of) {s}?"), ("o", "What does {s} default to?"), ("o", "Which value does {s} have if I set nothing?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<v>is|are) (?:also )?(?:called|known as|named|referred to as) {_OBJECT}{_END}"),
        [("o", "What {v} {s} called?"), ("o", "What (name|term) (is|are) used for {s}?"), ("s", "What {v} called {o}?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?:allows|lets|enables) (?P<w>you|users|us|callers|applications|programs) (?:to )?(?P<o>(?:{_BASES}) [^.;:()]{{4,80}}?)(?:\.$|, |; )"),
        [("o", "What does {s} (allow|let|enable|permit) {w} [to ]do?"), ("o", "What is {s} (good|used) for?"), ("s", "What (allows|lets) {w} [to ]{o}?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?:{_THIRDS}) (?:(?! and | which | that )[^.;:()]){{3,90}},? and (?P<v>{_THIRDS}) {_OBJECT}{_END}"),
        [("o", "What does {s} {b}?"), ("o", "(Tell me what|Say what) {s} {v}.")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<v>{_LEANING}) (?P<r>{_PREPOSITIONS}) {_OBJECT}{_END}"),
        [("o", "What does {s} {b} {r}?"), ("s", "What {v} {r} {o}?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<v>is|are|was|were) (?P<p>{_PARTICIPLES}) (?P<r>on|of|from|with|into|through|against) {_OBJECT}{_END}"),
        [("o", "What {v} {s} {p} {r}?"), ("o", "{R} what {v} {s} {p}?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<v>{_THIRDS}) (?P<o>{_NUMBERS}) (?P<t>[a-z]+s|[a-z]+ [a-z]+s){_END}"),
        [("o", "How many {t} does {s} {b}?"), ("o", "What number of {t} does {s} {b}?")],
    ),
    (
        re.compile(r"^(?:.* )?(?P<t>(?:[a-z]+ )?[a-z]{4,}s),? (?:such as|for example|like) (?P<o>`[^`]+`)(?:\.$|,| and| or| \()"),
        [("o", "What is an example of {t}?"), ("o", "(Give|Name) an example of {t}."), ("o", "Which {t} are there, for example?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<v>{_THIRDS}) (?P<q>(?! by )[^.;:(),]{{4,60}}?) (?P<o>by [a-z]+ing [^.;:(),]{{3,60}})\.$"),
        [("o", "How does {s} {b} {q}?"), ("o", "In (which|what) way does {s} {b} {q}?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} was (?:added|introduced|removed|deprecated) in (?P<o>(?:version )?\d[\w.]*)"),
        [("o", "In which version was {s} (added|introduced|removed|deprecated)?"), ("o", "Since when does {s} exist?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<v>is|are|was|were) (?:not |always |also |only )?(?P<p>{_PARTICIPLES}) as {_OBJECT}{_END}"),
        [("o", "As what {v} {s} {p}?"), ("o", "How {v} {s} {p}?"), ("o", "What {v} {s} {p} as?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<v>is|are|was|were) (?:always |also |only |usually )?(?P<p>{_PARTICIPLES}) (?P<o>to (?:{_BASES}) [^.;:()]{{4,70}}?)(?:\.$|{_COMMA}|; )"),
        [("o", "Why {v} {s} {p}?"), ("o", "What {v} {s} {p} for?"), ("o", "For what purpose {v} {s} {p}?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<v>is|are|was|were) (?:always |also |only |usually )?(?P<p>{_PARTICIPLES}) (?P<o>(?:by|with|using|through|via) [^.;:()]{{4,70}}?)(?:\.$|{_COMMA}|; )"),
        [("o", "How {v} {s} {p}?"), ("o", "By what means {v} {s} {p}?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<m>{_MODALS}) (?:also |only |not )?be (?P<p>{_PARTICIPLES}) (?P<o>(?:by|with|using|through|via) [^.;:()]{{4,70}}?)(?:\.$|{_COMMA}|; )"),
        [("o", "How {m} {s} be {p}?"), ("o", "With what {m} {s} be {p}?"), ("s", "What {m} be {p} {o}?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<m>{_MODALS}) (?:also |only |not )?be (?P<p>{_PARTICIPLES}) {_WHEN}(?:\.$|{_COMMA}|; )"),
        [("o", "When {m} {s} be {p}?"), ("s", "What {m} be {p} {o}?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<m>{_MODALS}) (?:also |only |not )?be (?P<p>{_PARTICIPLES}) {_WHERE}(?:\.$|{_COMMA}|; )"),
        [("o", "Where {m} {s} be {p}?"), ("s", "(What|Which {k}) {m} be {p} {o}?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<v>{_LIVES}) {_WHERE}(?:\.$|{_COMMA}|; )"),
        [("o", "Where does {s} {b}?"), ("o", "Where is it that {s} {v}?"), ("s", "What {v} {o}?")],
    ),
    (
        re.compile(rf"^{_SUBJECT}(?<=s) (?P<v>{_LIVE}) {_WHERE}(?:\.$|{_COMMA}|; )"),
        [("o", "Where do {s} {v}?"), ("o", "Where is it that {s} {v}?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<v>{_THIRDS}|{_LIVES}) (?P<q>[^.;:(),]{{2,60}}) {_WHEN}\.$"),
        [("o", "When does {s} {b} {q}?"), ("o", "When is it that {s} {v} {q}?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<m>{_MODALS}) (?P<v>{_BASES}|have|be) {_HOW_MUCH} (?P<t>[a-z]+s|[a-z]+ [a-z]+s){_END}"),
        [("o", "How many {t} {m} {s} {v}?"), ("o", "What number of {t} {m} {s} {v}?")],
    ),
    (
        re.compile(rf"^(?P<o>(?:At most|Up to|No more than|At least|Exactly|Only) (?:{_NUMBERS})) (?P<t>[a-z]+s|[a-z]+ [a-z]+s) (?P<v>is|are|can be|may be|must be) (?P<p>{_PARTICIPLES})[^,.;:()]{{0,50}}{_END}"),
        [("o", "How many {t} {v} {p}?"), ("o", "What number of {t} {v} {p}?")],
    ),
    (
        re.compile(rf"^There (?P<v>are|must be|can be|may be) {_HOW_MUCH} (?P<t>[a-z]+s|[a-z]+ [a-z]+s)\b[^,.;:()]{{0,50}}{_END}"),
        [("o", "How many {t} {v} there?"), ("o", "What number of {t} {v} there?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<v>{_THIRDS}) (?P<o>(?:the|an?|its|their) (?:[a-z-]+|`[^`]+`) (?P<n>[a-z]{{3,}}))(?:\.$|{_COMMA}|; | if | when | because | so that )"),
        [("o", "Which {n} does {s} {b}?"), ("o", "(What|Which) {n} is it that {s} {v}?"), ("o", "What {n} does {s} {b}?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<v>{_PUTS}) (?P<q>(?:the|an?|its|their|all) [^.;:(),]{{3,50}}?) (?P<o>(?:in|into|under|on|to) (?:an?|the|its|`)[^.;:(),]{{3,50}}?)(?:\.$|; )"),
        [("o", "Where does {s} {b} {q}?"), ("o", "Where is it that {s} {v} {q}?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<v>{_THIRDS}) (?P<o>[^.;:()]{{3,90}}?,? and [^.;:(),]{{3,40}}?)\.$"),
        [("o", "What does {s} {b}?"), ("o", "What exactly does {s} {b}?")],
    ),
]  # fmt: skip
_COMPILED = [
    (regex, [(slot, grammar.compile_pattern(text)) for slot, text in asks])
    for regex, asks in _RULES
]
_BAD_SUBJECTS = frozenset("this it they there these those he she we you i what".split())
_BAD_ENDS = frozenset(
    "for of in to by with from on at as that and or is are a an the into one if not be than between".split()
)
_BAD_WORDS = frozenset(
    "that which if when who whose while unless since because and but where or".split()
)


@dataclass(frozen=True, slots=True)
class Question:
    """A rule that matched: pattern and slots; rendered anew each time."""

    rule: int
    ask: int
    slots: dict[str, str]
    answer: str

    def render(self, rng: random.Random) -> str:
        """Write the question; at times without what only narrows the thing asked about."""
        kind = rng.choice(_kinds(self.slots.get("s", "")))
        slots = {"k": kind, "ak": grammar.indefinite(kind), **self.slots}
        for name in ("o", "rest"):
            text = slots.get(name, "")
            if text and text != self.answer and rng.random() < 0.4:
                slots[name] = without_tail(text)
        return grammar.capitalize(_COMPILED[self.rule][1][self.ask][1](rng, slots))


def questions(sentence: str) -> list[Question]:
    """Find the questions that a sentence answers by rule."""
    found = []
    for rule, (regex, asks) in enumerate(_COMPILED):
        match = regex.match(sentence)
        if not match:
            continue
        slots = {name: text for name, text in match.groupdict().items() if text}
        subject = slots.get("s", "")
        if subject and _is_vague(subject):
            continue
        if subject[:1].isupper() and subject.split()[0].lower() in VERBS:  # an order, not a subject
            continue
        if not subject and starts_with_verb(slots.get("o", "")):
            continue
        lowered = {name: grammar.uncapitalize(text) for name, text in slots.items() if name != "v"}
        filled = {**slots, **lowered, **_verb_forms(slots.get("v", ""))}
        filled |= {"ol": lowered.get("o", ""), "cl": lowered.get("c", "")}
        filled |= {"R": slots.get("r", "").capitalize()}
        for ask, (slot, _) in enumerate(asks):
            words = slots[slot].split()
            if len(words) <= 13 and slots[slot] in sentence and words[-1] not in _BAD_ENDS:
                found.append(Question(rule, ask, filled, slots[slot].strip()))
    return found


def questions_after(before: str, sentence: str) -> list[Question]:
    """Find the questions that "It ..." answers, when the sentence before names what "it" is."""
    pronoun = _PRONOUN.match(sentence)
    subject = _NAMED.match(before)
    if not pronoun or not subject or _is_vague(subject["s"]):
        return []
    resolved = f"{subject['s']} {sentence[pronoun.end() :]}"
    found = questions(resolved)
    return [item for item in found if item.answer in sentence and item.answer != subject["s"]]


def _kinds(subject: str) -> tuple[str, ...]:
    """What a subject may be called, by the look of its name."""
    if not subject.startswith("`"):
        words = re.findall(r"[a-z]{4,}", subject)
        return (words[-1],) if words and " " in subject else ("one", "thing", "part")
    name = subject.strip("`")
    if name.startswith("-"):
        return ("option", "flag", "switch")
    if name.endswith(("Error", "Exception", "Warning")):
        return ("error", "exception", "class")
    if name.isupper():
        return ("variable", "constant", "setting")
    if name[:1].isupper():
        return ("class", "type", "object")
    return ("function", "method", "call", "option", "setting", "argument", "command", "parameter")


def without_tail(text: str) -> str:
    """``the largest size of the cache in bytes`` -> ``the largest size of the cache``.

    What would be short, and so could be said of others too, stays whole.
    """
    places = [match.start() for match in _TAIL.finditer(text) if match.start() >= _LEAST_REST]
    return text[: places[-1]] if places else text


def _is_vague(subject: str) -> bool:
    words = subject.lower().split()
    return words[0] in _BAD_SUBJECTS or bool(_BAD_WORDS & set(words))


def _verb_forms(third: str) -> dict[str, str]:
    verb = BY_THIRD.get(third) or _LIVING.get(third)
    return {"b": verb.base, "bp": verb.participle, "bg": verb.gerund} if verb else {"b": ""}


_LEAST_REST = 24
_TAIL = re.compile(r" (?:of|for|in|from|with|on|at|by|as|into|through|during|within|using) ")
_PRONOUN = re.compile(r"(?:It|They) (?=[a-z])")
_NAMED = re.compile(rf"^{_SUBJECT} (?:{_THIRDS}|is|are|can|must|should|may|will) ")
