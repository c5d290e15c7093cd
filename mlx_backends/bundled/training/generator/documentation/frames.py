"""Frames of questions that users ask of documentation.

Slots: ``w`` what somebody wants to do, ``w3`` and ``wg`` its other forms, ``k`` a kind of name,
``c`` a piece of code, ``n`` what a setting sets, ``s`` a clause, ``q`` the clause as a question.
"""

from mlx_backends.bundled.training.grammar import Pattern, compile_patterns

# For each purpose: frames of training, frames of evaluation.
_FRAMES: dict[str, tuple[list[str], list[str]]] = {
    "name": (
        ["How (do|do|do|can|could|would) I {w}[ with {p}]?", "How (do I|do I|can I|does one|do you) {w}?", "(Which|What) {k} {w3}?", "(Which|What) {k} (lets me|makes it possible to|is there to|is used to|do I need to|should I use to) {w}?",
         "What do I (use|need|do|have to do) to {w}?", "I want to {w}. (How|What do I do|Which {k} is that|Which {k} do I need)?", "(What is|What's) the {k} to {w}?", "Is there a {k} to {w}?", "With (which|what) {k} (can|do) I {w}?",
         "How is it possible to {w}?", "(Tell me how|How) to {w}?", "What {w3}?", "Can I {w}?", "(Which|What) {k} is for {wg}?", "(Which|What) {k} do I (use|need) (for|when) {wg}?", "How do I get {p} to {w}?", "What (must|should) I (do|use|type|set) if I want to {w}?"],
        ["Show me how I can {w}.", "Which {k} should I try in order to {w}?", "By means of which {k} could somebody {w}?", "What is the way to {w}?", "How would a user {w}?", "What helps me {w}?"],
    ),
    "meaning": (
        ["What does {c} do?", "What does {c} do?", "What is {c} (for|good for|used for)?", "What is the (purpose|effect|use|point) of {c}?", "What does the {k} {c} do?", "What does {c} (mean|stand for)?", "Why would I use {c}?", "What happens with {c}?", "(Explain|Describe) {c}."],
        ["What can {c} be used for?", "What do I get from {c}?", "Tell me what {c} does."],
    ),
    "sets": (
        ["(Which|What) {k} (sets|controls|changes|decides|determines|is for) {n}?", "How (do|can) I (set|change|choose|adjust|configure) {n}?", "(Where|How) (do|can) I set {n}?", "What (controls|determines|decides|sets) {n}?", "(Which|What) {k} do I (change|set|use) for {n}?", "With which {k} do I choose {n}?", "Can I change {n}?"],
        ["What has an influence on {n}?", "Which {k} governs {n}?", "What must I edit to get a different value for {n}?"],
    ),
    "set_by": (
        ["What does {c} (set|control|change|mean|decide|determine|configure)?", "What is {c} (for)?", "What is the meaning of {c}?", "What does the {k} {c} (do|set|mean)?", "What can I change with {c}?"],
        ["What is governed by {c}?", "Tell me what {c} controls."],
    ),
    "default": (
        ["What is the default (of|for|value of) {c}?", "What does {c} default to?", "(Which|What) value does {c} have by default?", "What is {c} (by default|if I do not set it|out of the box|unless I change it)?", "{h} by default?", "{h} (if I set nothing|out of the box|unless I change it|if nothing is set)?", "{h}?", "Default of {c}?"],
        ["What value is used if {c} is left out?", "{h} when nothing is configured?", "{h} in a fresh installation?"],
    ),
    "how": (
        ["{h}?", "{h}?", "{h} by default?", "{h} (if I set nothing|out of the box|unless I change it)?"],
        ["{h} in a fresh installation?", "{h} when nothing is configured?"],
    ),
    "error": (
        ["(Which|What) {k} (is raised|do I get|comes|is thrown|appears|is reported) (when|if) {s}?", "What is raised (when|if) {s}?", "(Which|What) {k} (says|means|tells me|shows|signals) that {s}?", "What (happens|error do I see|goes wrong) (when|if) {s}?", "What do I catch in case {s}?", "If {s}, (which|what) {k} is raised?"],
        ["Which {k} should I expect once {s}?", "What is thrown in case {s}?", "How do I notice that {s}?"],
    ),
    "when": (
        ["When (is {c} raised|do I get {c}|do I see {c}|does {c} appear)?", "What does {c} mean?", "When does {c} (occur|happen|come up)?", "What (causes|is the cause of|leads to) {c}?", "Why do I get {c}?", "What is (behind|the reason for) {c}?"],
        ["Under which circumstances does {c} show up?", "What did I do wrong if I see {c}?"],
    ),
    "remedy": (
        ["What (can|do|should) I do (about|against|when I get|after) {c}?", "How (do|can) I (fix|solve|get rid of|avoid) {c}?", "What helps against {c}?", "What is the (remedy|fix|solution|cure) for {c}?"],
        ["How can {c} be repaired?", "I see {c}. What now?"],
    ),
    "happens": (
        ["What happens (if|when|once|in case) {s}?", "What happens (if|when) {s}?", "What does {p} do (if|when) {s}?", "(If|When) {s}, what happens?", "What is done (if|when) {s}?", "Suppose {s}. What then?", "What follows when {s}?", "What if {s}?", "How does {p} (react|behave) (if|when) {s}?", "What can I expect when {s}?"],
        ["What is the consequence when {s}?", "And in case {s}?", "What will I see after {s}?"],
    ),
    "why": (
        ["Why {q}?", "Why {q}?", "Why is it that {s}?", "What is the reason that {s}?", "How come {s}?", "For what reason {q}?", "What is the reason why {s}?"],
        ["What explains that {s}?", "On what grounds {q}?"],
    ),
    "extra": (
        ["(Which|What) {k} (do I need for|brings|adds|gives|is for|provides|includes) {n}?", "What do I install for {n}?", "How do I get support for {n}?", "(Which|What) {k} (supports|enables) {n}?", "What do I need for {n}?", "How do I (add|enable) {n}?", "(Which|What) {k} should I (install|choose) (for|with) {n}?"],
        ["Which {k} makes {n} possible?", "What must be installed to have {n}?"],
    ),
    "install": (
        ["How (do|can) I install {p} (for|with|with support for) {n}?", "(What|Which command) installs {p} (for|with) {n}?", "How do I set {p} up for {n}?", "What do I type to get {p} with {n}?"],
        ["How does one obtain {p} for {n}?", "What is the installation command for {n}?"],
    ),
    "returns": (
        ["What does {c} return?", "What (comes back|do I get) from {c}?", "What is the (result|return value|output) of {c}?", "What does {c} give[ back]?"],
        ["What is handed back by {c}?", "What do I receive when I call {c}?"],
    ),
    "raises": (
        ["(What|Which error|Which exception) does {c} raise?", "What does {c} raise (if|when) {s}?", "What can {c} raise?", "(What|Which error) do I get from {c} (if|when) {s}?"],
        ["Which error comes out of {c}?", "What does {c} throw when {s}?"],
    ),
    "many": (
        ["How many {t} (may|can) (a|one|each) {o} (have|hold|take|contain)?", "How many {t} are (allowed|possible) (per|in one|for a) {o}?", "What is the (most|maximum of|limit of|largest number of) {t} (per|in a|for a) {o}?", "(What is the limit on|Is there a limit on) {t} (per|in a) {o}?"],
        ["Up to how many {t} fit in a {o}?", "What is the upper bound of {t} per {o}?"],
    ),
    "defines": (
        ["What is (a|an|meant by a) {t}?", "What does {t} mean?", "(Define|Explain) {t}.", "What do they call a {t}?", "What is a {t}, in short?"],
        ["What do I have to imagine under {t}?", "How is the term {t} explained?"],
    ),
    "named": (
        ["What is {s} called?", "(What|Which) (term|word|name) is used for {s}?", "What do they call {s}?"],
        ["What is the term for {s}?"],
    ),
    "needs": (
        ["(Which|What) version of {n} (is needed|do I need|is required)?", "(Which|What) {n} version does {p} (need|require)?", "How (new|recent) must {n} be?", "What is the (oldest|lowest) {n} version that works?"],
        ["From which {n} version on does {p} work?"],
    ),
    "object": (
        ["What {do} {s} {b}?", "What {do} {s} {b}?", "What {do} {s} {b}?", "What is it that {s} {sv}?", "(Tell me what|Say what) {s} {sv}.", "What exactly {do} {s} {b}?"],
        ["What, if anything, {do} {s} {b}?", "I wonder what {s} {sv}."],
    ),
    "subject": (
        ["What {v} {o}?", "What {v} {o}?", "Who or what {v} {o}?", "What is it that {v} {o}?", "Is there anything that {v} {o}? What?"],
        ["What could it be that {v} {o}?", "Name what {v} {o}."],
    ),
    "which": (
        ["(Which|What) {k} {v} {o}?", "Which {k} {v} {o}?", "Which is the {k} that {v} {o}?", "Is there a {k} that {v} {o}?", "What is the {k} that {v} {o}?", "With which {k} (can|do) I {b} {o}?"],
        ["Name the {k} that {v} {o}.", "Of all, which {k} {v} {o}?"],
    ),
    "when_done": (
        ["When {be} {o} {p}?", "When {be} {o} {p}?", "At what (time|moment|point) {be} {o} {p}?", "When does it happen that {o} {be} {p}?"],
        ["What is the moment at which {o} {be} {p}?"],
    ),
    "where_done": (
        ["Where {be} {o} {p}?", "Where {be} {o} {p}?", "In which place {be} {o} {p}?", "Where exactly {be} {o} {p}?"],
        ["What is the place where {o} {be} {p}?"],
    ),
    "how_done": (
        ["How {be} {o} {p}?", "How {be} {o} {p}?", "In what way {be} {o} {p}?", "By what means {be} {o} {p}?", "How is it that {o} {be} {p}?"],
        ["What is the method by which {o} {be} {p}?"],
    ),
    "often_done": (
        ["How often {be} {o} {p}?", "How often {be} {o} {p}?", "At what intervals {be} {o} {p}?", "How frequently {be} {o} {p}?"],
        ["What is the interval at which {o} {be} {p}?"],
    ),
    "why_done": (
        ["Why {be} {o} {p}?", "What {be} {o} {p} for?", "To what end {be} {o} {p}?", "For what purpose {be} {o} {p}?"],
        ["What is the aim when {o} {be} {p}?"],
    ),
    "catch": (
        ["(Which|What) (other |)(class|type|{k}) (is|counts as) {c} too?", "As what (else|other {k}) can I (catch|use|treat) {c}?", "What (else|other {k}) is {c}?", "(Which|What) {k} (does|can) {c} (stand for|pass as) too?", "What is {c} besides?"],
        ["Under what other name can {c} be handled?"],
    ),
    "raised": (
        ["What does {m} raise?", "(Which|What) {k} does {m} (raise|cause|give|lead to)?", "(Which|What) {k} do I get (for|from|with) {m}?", "What happens (with|in case of|on) {m}?", "What (comes|follows) from {m}?", "What do I catch for {m}?"],
        ["How is {m} answered?", "Which {k} goes with {m}?"],
    ),
    "role": (
        ["(Which|What) {k} is the {r}?", "What is the {r}?", "(Which|What) {k} (is|do I use|should I use|do I need|is there) (for|as) the {r}?", "What is the {r} called?", "What is the name of the {r}?", "(Which|What) {k} (makes|gives|brings|does|handles) the {r}?", "{r}?"],
        ["Under which name do I find the {r}?", "Who plays the {r}?"],
    ),
    "role_of": (
        ["What is {c}?", "What kind of thing is {c}?", "What role does {c} have?", "What is {c} used as?"],
        ["As what does {c} serve?"],
    ),
    "amount": (
        ["How many {t} {m} {b} {o}?", "How many {t} {m} {b} {o} at (once|the same time)?", "What number of {t} {m} {b} {o}?", "(Is there a limit on how many|How many at most of the) {t} {m} {b} {o}?"],
        ["By how many {t} at most is it possible to {b} {o}?"],
    ),
    "value_means": (
        ["What does {c} {v} mean?", "What does {v} mean (in|for|with) {c}?", "What (happens|is the effect) (if|when) {c} is {v}?", "What does (a|the) {c} of {v} (mean|do)?", "What is the (meaning|effect) of {v} (in|for) {c}?", "What does it mean if {c} is {v}?"],
        ["How is {v} understood in {c}?", "What do I get with {v} for {c}?"],
    ),
    "takes": (
        ["How long (may|can|does) {g} {o} take?", "How long may it take to finish {g} {o}?", "(After what time|When) does it stop {g} {o}?", "What is the time limit (for|of) {g} {o}?", "How much time is there for {g} {o}?"],
        ["For how long does it go on {g} {o}?"],
    ),
    "size": (
        ["(Up to|To) (what|which) size are {t} {p}?", "How (large|big) may {t} be to be {p}?", "From which size on are {t} not {p}?", "What is the (size limit|limit) for {t}?", "Which {t} are {p}?"],
        ["What is the largest size at which {t} are {p}?"],
    ),
    "ratio": (
        ["How much {d} is {a} than {b}?", "How much {d} is {a}?", "By what factor is {a} {d} than {b}?", "How many times {d} is {a} than {b}?", "Compared with {b}, how much {d} is {a}?"],
        ["To what extent is {a} {d} than {b}?"],
    ),
    "made": (
        ["How much {d} does {a} make {b}?", "How much {d} (is|gets) {b} (with|through|by) {a}?", "By what factor does {a} make {b} {d}?", "What does {a} gain?", "How many times {d} is {b} with {a}?"],
        ["To what extent does {a} make {b} {d}?"],
    ),
    "without": (
        ["What happens (without|if there is no|if I have no|when there is no|if I do not have a) {t}?", "What if (there is no|I have no) {t}?", "What (is the case|is done|applies) without {a}?", "What do I get without {a}?"],
        ["What does the lack of {a} lead to?", "And without {a}?"],
    ),
    "because": (
        ["Why {do} {s} {b} {o}?", "Why {do} {s} {b} {o}?", "Why {be} {o} {p}?", "What is the reason that {s} {sv} {o}?", "For what reason {do} {s} {b} {o}?", "What makes it necessary that {o} {be} {p}?"],
        ["What explains why {s} {sv} {o}?"],
    ),
    "case": (
        ["What is the {t} {l} {o}?", "What is the {t} {l} {o}?", "(Which|What) {t} (is there|do I get|is used|applies) {l} {o}?", "Which {t} does it have {l} {o}?"],
        ["What {t} should I expect {l} {o}?", "And {l} {o}, what is the {t}?"],
    ),
    "goes": (
        ["Where do {t} (go|belong|stand)?", "Where (do|can|should) I (put|pass|give|set|specify) {t}?", "Where do I (find|see) {t}?", "How do I (pass|give) {t}?", "What (takes|holds|has|contains|receives) {t}?", "Where are {t}?"],
        ["What is the place for {t}?", "In what do {t} end up?"],
    ),
    "held": (
        ["Where {do} {s} {b} {o}?", "Where {do} {s} {b} {o}?", "In (what|which field|which attribute|which part) {do} {s} {b} {o}?", "Where (do I find|can I see|do I get|do I read) {o} of {s}?", "(Which|What) (field|part|attribute) of {s} has {o}?", "Where does {o} stand?"],
        ["At which place {do} {s} {b} {o}?", "Under what name do I find {o}?"],
    ),
    "phrased": (
        ["{h}?", "{h}?", "{h} exactly?", "{h}, in short?"],
        ["{h}, to be exact?"],
    ),
    "treated": (
        ["How are {t} {p}?", "How are {t} {p}?", "As what are {t} {p}?", "What are {t} {p} as?", "In (what|which) form are {t} {p}?", "What becomes of {t} (when|if) they are {p}?"],
        ["What do {t} count as when they are {p}?", "In which shape are {t} {p}?"],
    ),
    "lives": (
        ["Where do {t} {v}?", "Where do {t} {v}?", "Where exactly do {t} {v}?", "In (what|which place) do {t} {v}?", "Where is it that {t} {v}?"],
        ["What is the place where {t} {v}?", "Say where {t} {v}."],
    ),
    "sort": (
        ["(Which|What) {t} {do} {s} {b}?", "(Which|What) {t} {do} {s} {b}?", "(Which|What) {t} is it that {s} {v}?", "(Which|What) kind of {t} {do} {s} {b}?", "(Which|What) {t} comes with {s}?"],
        ["What sort of {t} {do} {s} {b}?", "Name the {t} that {s} {v}."],
    ),
    "values": (
        ["(Which|What) values (can|may) {c} have?", "What can {c} be?", "(Which|What) (choices|values) (are there for {c}|does {c} take|does {c} allow)?", "What (may|can) I (give|pass|set) for {c}?", "What are the (possible|allowed) values of {c}?"],
        ["Between what does {c} choose?", "What is {c} allowed to be?"],
    ),
    "decides": (
        ["(Which|What) {k} (decides|sets|says|controls|determines) {h}?", "How (do|can) I (change|set|choose|control) {h}?", "Where (do|can) I set {h}?", "What (decides|determines|controls) {h}?", "I want to change {h}. Which {k} is that?"],
        ["What has an influence on {h}?", "Which {k} governs {h}?"],
    ),
    "gap": (
        ["What {v} {o}?", "What {v} {o}?", "(Which|What) {k} {v} {o}?", "(Which|What) {k} (do I use|is there) to {b} {o}?", "How (do|can) I {b} {o}?"],
        ["Where do I look to {b} {o}?", "Name the {k} that {v} {o}."],
    ),
}  # fmt: skip

FRAMES: dict[str, tuple[list[Pattern], list[Pattern]]] = {
    purpose: (compile_patterns(trained), compile_patterns(held_out))
    for purpose, (trained, held_out) in _FRAMES.items()
}
