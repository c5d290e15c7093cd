"""Reads what installed packages say of their arguments, options, errors and functions.

Docstrings list arguments in the styles of Google, NumPy and Sphinx; options of commands are calls of
``add_argument`` or ``click.option``. Nothing is imported.
"""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from mlx_backends.bundled.training.prose.sentences import plain

_LEAST, _MOST = 2, 12
_GOOGLE = re.compile(
    r"(?m)^ *(?:Args|Arguments|Parameters|Keyword Args|Attributes): *\n((?: +\S.*\n?|\n)+)"
)
_GOOGLE_ENTRY = re.compile(
    r"(?m)^( +)\*{0,2}`?(\w+)`? *(?:\([^()]*(?:\([^()]*\)[^()]*)*\))? *: *(\S.*(?:\n\1 +\S.*)*)"
)
_NUMPY = re.compile(r"(?m)^(?:Parameters|Attributes)\n-{4,}\n((?:.+\n?|\n(?!\S+\n-{4}))+)")
_NUMPY_ENTRY = re.compile(r"(?m)^\*{0,2}(\w+)(?: *:.*)?\n((?: {2,}\S.*\n?)+)")
_SPHINX = re.compile(r"(?m)^ *:param (?:[\w.\[\]]+ )?(\w+): *(\S.*(?:\n +\S.*)*)")
_DEFAULT = re.compile(
    r"(?:^|[.,;(])\s*(?:[Tt]he )?(?:[Dd]efaults? |[Dd]efaults?[:=]|[Bb]y default).*", re.DOTALL
)
_CLEAN = re.compile(r"[A-Za-z`][\w`'\",./ -]*[\w`)]")
_FIRST_SENTENCE = re.compile(r"(?<=[.!?;]) |[ ,]+\(?e\.g|[ ,]+\(?i\.e|: ?$")
# Names that questions of the evaluation over documentation hold, so that none of them is trained.
_ASKED_IN_EVALUATION = frozenset({"--verbose", "verbose", "truncate", "truncate()"})
_BAD_ENDS = frozenset(
    "for of in to by with from on at as that and or is are a an the into if not be than when which".split()
)


@dataclass(frozen=True, slots=True)
class Entry:
    """A name, what is said of it, and its default, empty where none is known."""

    name: str
    meaning: str
    default: str = ""


@dataclass(frozen=True, slots=True)
class Reference:
    """Entries of one kind that stand together: arguments of a function, options of a command.

    Attributes:
        kind: ``argument``, ``option``, ``error``, ``function`` or ``class``.
        owner: What they belong to, empty for a module.
        entries: At least two.
    """

    kind: str
    owner: str
    entries: list[Entry]


def references(path: Path) -> Iterator[Reference]:
    """Read one module."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (SyntaxError, UnicodeDecodeError, ValueError):
        return
    found = [*_arguments(tree), Reference("option", "", _options(tree)), *_members(tree)]
    for item in found:
        entries = _distinct(item.entries)
        if len(entries) >= _LEAST:
            yield Reference(item.kind, item.owner, entries[:_MOST])


def _arguments(tree: ast.Module) -> Iterator[Reference]:
    """What docstrings list, with the defaults of the signature."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name != "__init__":
            yield _described(node.name, ast.get_docstring(node), _defaults(node))
        elif isinstance(node, ast.ClassDef):
            makers = [item for item in node.body if isinstance(item, ast.FunctionDef)]
            maker = next((item for item in makers if item.name == "__init__"), None)
            defaults = _defaults(maker) if maker else _field_defaults(node)
            text = f"{ast.get_docstring(node) or ''}\n{(maker and ast.get_docstring(maker)) or ''}"
            yield _described(node.name, text, defaults)


def _described(owner: str, docstring: str | None, defaults: dict[str, str]) -> Reference:
    text = f"{docstring or ''}\n"
    pairs: list[tuple[str, str]] = _SPHINX.findall(text)
    for body in _GOOGLE.findall(text):
        margin = min((len(m[1]) for m in re.finditer(r"(?m)^( +)\S", body)), default=0)
        pairs += [
            (name, said)
            for indent, name, said in _GOOGLE_ENTRY.findall(body)
            if len(indent) == margin
        ]
    for body in _NUMPY.findall(text):
        pairs += _NUMPY_ENTRY.findall(body)
    entries = [_entry(name, said, defaults.get(name, "")) for name, said in pairs]
    return Reference("argument", owner, [item for item in entries if item])


def _options(tree: ast.Module) -> list[Entry]:
    """Options of a command: ``add_argument("--size", default=3, help="...")``."""
    entries = []
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or _called(node.func) not in (
            "add_argument",
            "option",
            "addoption",
            "add_option",
        ):
            continue
        flags = [
            arg.value
            for arg in node.args
            if isinstance(arg, ast.Constant) and isinstance(arg.value, str)
        ]
        flag = next((text for text in flags if text.startswith("--")), "")
        words = {item.arg: item.value for item in node.keywords}
        said = words.get("help")
        if flag and isinstance(said, ast.Constant) and isinstance(said.value, str):
            default = _literal(words["default"]) if "default" in words else ""
            entry = _entry(flag.split(" ")[0], said.value, default)
            entries += [entry] if entry else []
    return entries


def _members(tree: ast.Module) -> Iterator[Reference]:
    """Errors, classes and functions of a module, and the methods of a class, by their first lines."""
    classes = [node for node in tree.body if isinstance(node, ast.ClassDef)]
    is_error = re.compile(r"(?:Error|Exception|Warning)$")
    yield Reference(
        "error", "", _summaries([node for node in classes if is_error.search(node.name)])
    )
    yield Reference(
        "class", "", _summaries([node for node in classes if not is_error.search(node.name)])
    )
    yield Reference(
        "function",
        "",
        _summaries([node for node in tree.body if isinstance(node, ast.FunctionDef)]),
    )
    for node in classes:
        yield Reference(
            "function",
            node.name,
            _summaries([item for item in node.body if isinstance(item, ast.FunctionDef)]),
        )


def _summaries(nodes: list[ast.ClassDef] | list[ast.FunctionDef]) -> list[Entry]:
    entries = []
    for node in nodes:
        docstring = ast.get_docstring(node)
        if docstring and not node.name.startswith("_"):
            name = f"{node.name}()" if isinstance(node, ast.FunctionDef) else node.name
            entry = _entry(name, docstring.split("\n\n")[0], "")
            entries += [entry] if entry else []
    return entries


def _entry(name: str, said: str, default: str) -> Entry | None:
    """Keep the first sentence of what is said, if it is prose and says enough."""
    text = plain(_DEFAULT.sub("", said.strip()))
    if not text or name in _ASKED_IN_EVALUATION:
        return None
    text = _FIRST_SENTENCE.split(text)[0].strip().rstrip(".:;, ").strip()
    count = len(text.split())
    if (
        text.split(" ")[-1].lower() in _BAD_ENDS
        or not 3 <= count <= 18
        or not _CLEAN.fullmatch(text)
        or text.count("`") % 2
        or " see " in text.lower()
    ):
        return None
    return Entry(name, text, default)


def _distinct(entries: list[Entry]) -> list[Entry]:
    """Each name and each meaning once."""
    names = {entry.name: entry for entry in entries}
    return list({entry.meaning.lower(): entry for entry in names.values()}.values())


def _defaults(node: ast.FunctionDef | ast.AsyncFunctionDef) -> dict[str, str]:
    arguments = [*node.args.posonlyargs, *node.args.args]
    with_default = arguments[len(arguments) - len(node.args.defaults) :]
    pairs = [*zip(with_default, node.args.defaults, strict=True)]
    pairs += [
        (arg, value)
        for arg, value in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
        if value
    ]
    return {arg.arg: _literal(value) for arg, value in pairs}


def _field_defaults(node: ast.ClassDef) -> dict[str, str]:
    """Defaults of a dataclass or a model."""
    return {
        item.target.id: _literal(item.value)
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name) and item.value
    }


def _literal(node: ast.expr) -> str:
    """A default as the source writes it, if it is a short value."""
    inner = node.operand if isinstance(node, ast.UnaryOp) else node
    text = ast.unparse(node)
    return text if isinstance(inner, ast.Constant) and len(text) <= 24 and text.isascii() else ""


def _called(node: ast.expr) -> str:
    return node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
