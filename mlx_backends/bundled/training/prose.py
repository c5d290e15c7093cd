"""Real English technical prose: collected from docstrings, with questions made by rules.

Reads source files without importing them. Every package in `SOURCES` is permissively licensed; one
module in ten is kept for evaluation. `python -m mlx_backends.bundled.training.prose OUT.json.gz`
writes the collection that training reads.
"""

import ast
import gzip
import json
import re
import sys
import sysconfig
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from mlx_backends.bundled.training import grammar

SOURCES = {
    "stdlib": "PSF-2.0",
    "aiohttp": "Apache-2.0",
    "attr": "MIT",
    "bm25s": "MIT",
    "click": "BSD-3-Clause",
    "fsspec": "BSD-3-Clause",
    "griffe": "ISC",
    "httpx": "BSD-3-Clause",
    "huggingface_hub": "Apache-2.0",
    "jinja2": "BSD-3-Clause",
    "joblib": "BSD-3-Clause",
    "langchain_core": "MIT",
    "llama_index": "MIT",
    "markdown_it": "MIT",
    "marshmallow": "MIT",
    "mlx": "MIT",
    "mlx_lm": "MIT",
    "networkx": "BSD-3-Clause",
    "nltk": "Apache-2.0",
    "numpy": "BSD-3-Clause",
    "packaging": "Apache-2.0 or BSD-2-Clause",
    "pip": "MIT",
    "pydantic": "MIT",
    "pygments": "BSD-2-Clause",
    "_pytest": "MIT",
    "requests": "Apache-2.0",
    "rich": "MIT",
    "setuptools": "MIT",
    "sqlalchemy": "MIT",
    "tenacity": "Apache-2.0",
    "tokenizers": "Apache-2.0",
    "transformers": "Apache-2.0",
    "typer": "MIT",
    "urllib3": "MIT",
    "websockets": "BSD-3-Clause",
    "yarl": "Apache-2.0",
}
_MAX_CHARS_PER_SOURCE = 1_200_000
_SKIPPED_PARTS = {"test", "tests", "idlelib", "lib2to3", "site-packages", "turtledemo", "_vendor"}
_HELD_OUT_SHARE = 26  # of 256


@dataclass(frozen=True, slots=True)
class Document:
    """The prose of one module.

    Attributes:
        source: The package.
        held_out: Kept for evaluation.
        paragraphs: Lists of sentences.
    """

    source: str
    held_out: bool
    paragraphs: list[list[str]]


def collect() -> list[Document]:
    """Read the docstrings of all sources that are installed here."""
    documents = []
    for source in SOURCES:
        size = 0
        for path in _modules(source):
            paragraphs = list(_paragraphs(path))
            if not paragraphs or size > _MAX_CHARS_PER_SOURCE:
                continue
            size += sum(len(sentence) for paragraph in paragraphs for sentence in paragraph)
            key = f"{source}/{path.parent.name}/{path.name}".encode()
            held_out = zlib.crc32(key) % 256 < _HELD_OUT_SHARE
            documents.append(Document(source, held_out, paragraphs))
    return _without_leaks(documents)


def _without_leaks(documents: list[Document]) -> list[Document]:
    """Drop evaluation sentences that occur in training documents too, and repeated paragraphs."""
    seen: set[str] = set()
    result = []
    for document in sorted(documents, key=lambda item: item.held_out):
        kept = []
        for paragraph in document.paragraphs:
            fresh = [sentence for sentence in paragraph if sentence not in seen]
            if fresh and (len(fresh) == len(paragraph) or not document.held_out):
                kept.append(fresh)
            seen.update(paragraph)
        if kept:
            result.append(Document(document.source, document.held_out, kept))
    return result


def _modules(source: str) -> list[Path]:
    paths = sysconfig.get_paths()
    root = Path(paths["stdlib"]) if source == "stdlib" else Path(paths["purelib"]) / source
    files = root.rglob("*.py") if root.is_dir() else root.parent.glob(f"{source}.py")
    return sorted(
        path for path in files if not _SKIPPED_PARTS & set(path.relative_to(root.parent).parts[:-1])
    )


def _paragraphs(path: Path) -> Iterator[list[str]]:
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return
    for node in ast.walk(tree):
        if not isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        docstring = ast.get_docstring(node)
        if not docstring:
            continue
        name = "" if isinstance(node, ast.Module) else node.name
        yield from _clean(docstring, name, is_class=isinstance(node, ast.ClassDef))


def _clean(docstring: str, name: str, *, is_class: bool) -> Iterator[list[str]]:
    for index, block in enumerate(re.split(r"\n\s*\n", docstring)):
        text = _plain(block)
        if text is None:
            continue
        sentences = [sentence for sentence in _sentences(text) if _is_prose(sentence)]
        if index == 0 and sentences and name and not name.startswith("_"):
            sentences[0] = _with_subject(sentences[0], name, is_class=is_class)
        if sentences:
            yield sentences


def _plain(block: str) -> str | None:
    if ">>>" in block or re.search(r"^\s*(\.\.|@|\$|#|\||---|===|```|<)", block, re.MULTILINE):
        return None
    block = re.sub(r":\w+(?::\w+)?:`~?\.?([^`<]+?)(?:\s*<[^`]*>)?`", r"`\1`", block)
    block = re.sub(r"``([^`]+)``", r"`\1`", block)
    block = re.sub(r"\[`([^`\]]+)`\](?:\[[^\]]*\]|\([^)]*\))?", r"`\1`", block)
    block = re.sub(r"(?<![\w*])\*(\w+)\*(?![\w*])", r"`\1`", block)
    return re.sub(r"\s+", " ", block).strip().removesuffix("::")


def _sentences(text: str) -> list[str]:
    return re.split(r"(?<=[.!?])\s+(?=[A-Z`\"'(])", text)


def _is_prose(sentence: str) -> bool:
    if not 20 <= len(sentence) <= 320 or sentence[-1] not in ".!?" or "http" in sentence:
        return False
    if ":param" in sentence or ":type" in sentence or ":return" in sentence:
        return False
    letters = sum(char.isalpha() or char == " " for char in sentence)
    return letters > 0.8 * len(sentence) and sentence.isascii() and "{" not in sentence


_VERBS = {verb.base: verb for group in grammar.VERB_GROUPS for verb in group}
for _base in (
    "return get call use apply append extend iterate construct produce raise emit wrap enable disable perform "
    "execute insert extract provide determine generate change handle yield process register retrieve "
    "represent implement render parse specify expand increase yield attempt ensure invoke"
).split():
    _VERBS.setdefault(_base, grammar.conjugate(_base))
_BY_THIRD = {verb.third: verb for verb in _VERBS.values()}


def _with_subject(sentence: str, name: str, *, is_class: bool) -> str:
    """Name the subject of a summary line: "Return the size." -> "`f` returns the size."."""
    first, _, rest = sentence.partition(" ")
    verb = _VERBS.get(first.lower()) or _BY_THIRD.get(first.lower())
    if verb and rest:
        return f"`{name}` {verb.third} {rest}"
    if is_class and first in {"A", "An", "The"}:
        return f"`{name}` is {first.lower()} {rest}"
    return sentence


# ---------------------------------------------------------------- questions by rules

_SUBJECT = r"(?P<s>(?:(?:The|A|An|This|Each|Every|All|Both|These) )?(?:`[^`]+`|[\w-]+)(?: (?:`[^`]+`|[\w-]+)){0,4}?)"
_OBJECT = r"(?P<o>(?:[^,.;:()]|\.(?=\w)){3,90}?)"
_END = r"(?:\.$|, |; |: | \(| if | when | unless | because | so that | in order to | which | while | and then )"
_THIRDS = "|".join(sorted(_BY_THIRD))
_BASES = "|".join(sorted(_VERBS))
_PARTICIPLES = "|".join(sorted({verb.participle for verb in _VERBS.values()}))
_ERROR = r"(?:an? |the )?(?P<o>`?\w*(?:Error|Exception|Warning|Interrupt|Iteration)`?)"

_RULES: list[tuple[re.Pattern[str], list[tuple[str, str]]]] = [
    (
        re.compile(rf"^{_SUBJECT} (?P<v>{_THIRDS}) {_OBJECT}{_END}"),
        [("o", "What does {s} {b}?"), ("s", "(What|Which one) {v} {o}?"), ("o", "(Please tell me what|Say what) {s} {v}.")],
    ),
    (
        re.compile(rf"^(?P<s>`[^`]+`) (?P<o>(?P<v>{_THIRDS}) [^.;:()]{{5,80}}?)(?:\.$|; |: | \()"),
        [("o", "What does {s} do?"), ("s", "(What|Which function|Which call) {o}?")],
    ),
    (
        re.compile(rf"^{_SUBJECT} (?P<v>is|are) (?P<o>(?:a|an|the) (?:[^,.;:()]|\.(?=\w)){{3,90}}?)(?:\.$|, |; |: | \()"),
        [("o", "What {v} {s}?"), ("s", "(What|Which one) {v} {o}?")],
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

    def render(self, rng) -> str:  # noqa: ANN001
        """Write the question."""
        return grammar.capitalize(_COMPILED[self.rule][1][self.ask][1](rng, self.slots))


def questions(sentence: str) -> list[Question]:
    """Find the questions that a sentence answers by rule."""
    found = []
    for rule, (regex, asks) in enumerate(_COMPILED):
        match = regex.match(sentence)
        if not match:
            continue
        slots = {name: text for name, text in match.groupdict().items() if text}
        subject = slots.get("s", "")
        words = subject.lower().split()
        if words and (words[0] in _BAD_SUBJECTS or _BAD_WORDS & set(words)):
            continue
        if not subject and _starts_with_verb(slots.get("o", "")):
            continue
        lowered = {name: grammar.uncapitalize(text) for name, text in slots.items() if name != "v"}
        verb = _BY_THIRD.get(slots.get("v", ""))
        filled = {**slots, **lowered, "b": verb.base if verb else ""}
        filled |= {"ol": lowered.get("o", ""), "cl": lowered.get("c", "")}
        for ask, (slot, _) in enumerate(asks):
            words = slots[slot].split()
            if len(words) <= 13 and slots[slot] in sentence and words[-1] not in _BAD_ENDS:
                found.append(Question(rule, ask, filled, slots[slot].strip()))
    return found


def _starts_with_verb(text: str) -> bool:
    first = text.split(" ", 1)[0].lower()
    return first in _BY_THIRD or first in _VERBS


def save(documents: list[Document], path: Path) -> None:
    """Write a collection with its questions, as compressed JSON."""
    sentences = {
        s for document in documents for paragraph in document.paragraphs for s in paragraph
    }
    asked = {
        s: [asdict(item) for item in found] for s in sorted(sentences) if (found := questions(s))
    }
    text = json.dumps({"documents": [asdict(item) for item in documents], "questions": asked})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def load(path: Path) -> tuple[list[Document], dict[str, list[Question]]]:
    """Read a collection that `save` wrote."""
    data = json.loads(gzip.decompress(path.read_bytes()))
    asked = {
        text: [Question(**item) for item in found] for text, found in data["questions"].items()
    }
    return [Document(**item) for item in data["documents"]], asked


_NOUN = re.compile(
    r"\b(?:the|a|an) (?:([a-z]{3,14}) )?([a-z]{3,14})"
    r"(?= (?:is|are|of|to|in|for|from|with|and|or|that|which|by|has|can|will|must)\b|[.,;:)])"
)


def vocabulary(documents: list[list[list[str]]], *, least: int = 3) -> tuple[list[str], list[str]]:
    """Find nouns and the words before them in real text."""
    nouns: Counter[str] = Counter()
    modifiers: Counter[str] = Counter()
    for document in documents:
        for paragraph in document:
            for sentence in paragraph:
                for modifier, noun in _NOUN.findall(sentence):
                    nouns[noun] += 1
                    modifiers[modifier] += bool(modifier)
    known_verbs = {*_VERBS, *_BY_THIRD}
    return (
        sorted(
            word
            for word, count in nouns.items()
            if count >= least and not word.endswith(("s", "ed", "ly"))
        ),
        sorted(
            w
            for w, n in modifiers.items()
            if n >= least and w not in known_verbs and not w.endswith("ly")
        ),
    )


def main() -> None:
    """Write the collection and print its size by source."""
    save(collect(), Path(sys.argv[1]))
    documents, asked = load(Path(sys.argv[1]))
    for source, licence in SOURCES.items():
        sentences = [s for d in documents if d.source == source for p in d.paragraphs for s in p]
        count = sum(len(asked.get(sentence, ())) for sentence in sentences)
        print(f"{source:18} {licence:26} {len(sentences):7} sentences {count:7} questions")


if __name__ == "__main__":
    main()
