"""Finds a kernel function in Metal source and reads its signature.

Source: as in ``signature.py``.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from mlx_backends.errors import ShaderSyntaxError
from mlx_backends.kernels.shaders.cursor import Cursor
from mlx_backends.kernels.shaders.signature import (
    POSITIONS,
    SCALAR_TYPES,
    VECTOR_TYPES,
    Buffer,
    Position,
    Signature,
)
from mlx_backends.kernels.shaders.tokens import Token, blanked, text_of, tokenize, words

_INDICES = (
    "thread_index_in_threadgroup",
    "thread_index_in_simdgroup",
    "simdgroup_index_in_threadgroup",
    "threads_per_simdgroup",
    "simdgroups_per_threadgroup",
)
_POSITION_TYPES = {
    f"{base}{width}": int(width or 1) for base in ("uint", "ushort") for width in ("", "2", "3")
}
_MAX_BUFFERS = 31  # Metal's own limit


@dataclass(frozen=True, slots=True)
class _Function:
    name: str
    line: int
    first: int
    parameters: tuple[Token, ...]
    body: tuple[Token, ...]
    end: int


def parse(source: str, name: str | None = None) -> Signature:
    """Find a kernel function and read its signature.

    Args:
        source: Metal source with one kernel function or more.
        name: Which function; None is the only one.

    Raises:
        ShaderSyntaxError: There is no such function, or a parameter is none that an array or a
            position of the grid can stand for.
    """
    tokens = tokenize(source)
    functions = _kernel_functions(tokens)
    chosen = _choose(functions, name)
    before: list[Token] = []
    start = 0
    for function in functions:
        if function.first >= chosen.first:
            break
        before += tokens[start : function.first]
        skipped = tokens[function.first : function.end]
        before.append(Token("space", blanked(skipped), skipped[0].line))
        start = function.end
    before += tokens[start : chosen.first]
    buffers, positions = _parameters(chosen)
    return Signature(
        name=chosen.name,
        buffers=buffers,
        positions=positions,
        before=tuple(before),
        body=chosen.body,
        body_line=chosen.body[0].line if chosen.body else chosen.line,
    )


def _kernel_functions(tokens: Sequence[Token]) -> list[_Function]:
    """Every ``kernel void name(...) { ... }`` outside of braces."""
    functions: list[_Function] = []
    depth, at = 0, 0
    while at < len(tokens):
        token = tokens[at]
        if token.kind == "mark":
            depth += sum((mark in "([{") - (mark in ")]}") for mark in token.text)
        elif token.text == "kernel" and (depth == 0 or _follows(tokens, at, "[[")):
            function = _function_at(tokens, at, in_attribute=depth > 0)
            functions.append(function)
            at, depth = function.end, 0
            continue
        at += 1
    return functions


def _follows(tokens: Sequence[Token], at: int, text: str) -> bool:
    """Whether the word before a place is this one."""
    before = words(tokens[:at])
    return bool(before) and before[-1].text == text


def _function_at(tokens: Sequence[Token], at: int, *, in_attribute: bool) -> _Function:
    """The function whose word ``kernel`` stands at a place; ``[[kernel]]`` is the other form."""
    first = at
    cursor = Cursor(tokens, at + 1)
    if in_attribute:
        first = max(i for i in range(at) if tokens[i].text == "[[")
        cursor.take("]]")
    line = tokens[at].line
    cursor.take("void", "a kernel function returns void")
    name = cursor.take_name("the kernel function has no name")
    parameters = cursor.enclosed("(", ")", f"kernel {name} has no parameters in parentheses")
    body = cursor.enclosed("{", "}", f"kernel {name} has no body")
    if _follows(tokens, first, ">"):
        raise ShaderSyntaxError(
            f"kernel {name} is a template; write it for one type, or format the type into the text",
            line,
        )
    return _Function(name, line, first, parameters, body, cursor.at)


def _choose(functions: Sequence[_Function], name: str | None) -> _Function:
    names = [function.name for function in functions]
    if not functions:
        raise ShaderSyntaxError("the source holds no function that begins with 'kernel void'")
    if name is None:
        if len(functions) > 1:
            raise ShaderSyntaxError(f"the source holds {', '.join(names)}: say which by name=")
        return functions[0]
    if names.count(name) != 1:
        found = "twice" if name in names else f"not; it holds {', '.join(names)}"
        raise ShaderSyntaxError(f"kernel {name!r:.80} stands in the source {found}")
    return functions[names.index(name)]


def _parameters(function: _Function) -> tuple[tuple[Buffer, ...], tuple[Position, ...]]:
    buffers: dict[int, Buffer] = {}
    positions: list[Position] = []
    names: set[str] = set()
    pending: list[tuple[_Declaration, int | None]] = []
    for part in _split(function.parameters):
        declaration = _declaration(part, function)
        if declaration.name in names:
            raise ShaderSyntaxError(f"two parameters are named {declaration.name!r}", part[0].line)
        names.add(declaration.name)
        if declaration.attribute in POSITIONS or declaration.attribute in _INDICES:
            positions.append(_position(declaration))
        else:
            pending.append((declaration, _buffer_index(declaration)))
    taken = {index for _, index in pending if index is not None}
    for declaration, wanted in pending:
        index = wanted if wanted is not None else min(set(range(_MAX_BUFFERS + 1)) - taken)
        taken.add(index)
        if index in buffers:
            raise ShaderSyntaxError(
                f"{buffers[index].name!r} and {declaration.name!r} both say buffer({index})",
                declaration.line,
            )
        buffers[index] = _buffer(declaration, index)
    ordered = tuple(buffers[index] for index in sorted(buffers))
    if all(buffer.is_const for buffer in ordered):
        raise ShaderSyntaxError(
            f"kernel {function.name} writes nothing: it has no 'device T*' without const",
            function.line,
        )
    return ordered, tuple(positions)


@dataclass(frozen=True, slots=True)
class _Declaration:
    qualifiers: tuple[str, ...]
    type_name: str
    marks: str
    name: str
    attribute: str
    argument: str
    line: int


def _declaration(part: Sequence[Token], function: _Function) -> _Declaration:
    """One parameter, such as ``device const float *in1 [[buffer(0)]]``."""
    cursor, line = Cursor(part), part[0].line
    qualifiers: list[str] = []
    seen: list[str] = []
    marks = ""
    while (word := cursor.peek()) not in ("", "[["):
        token = cursor.next()
        assert token is not None
        if token.kind == "mark" and word in "*&":
            marks += word
        elif token.kind != "name":
            raise ShaderSyntaxError(
                f"parameter {_phrase(part)!r:.80} of kernel {function.name} is not read: "
                f"unexpected {word!r}",
                token.line,
            )
        elif word in ("device", "constant", "threadgroup", "thread", "const", "volatile"):
            qualifiers.append(word)
        elif word not in ("restrict", "__restrict", "metal"):
            seen.append(word)
    if len(seen) != 2:
        raise ShaderSyntaxError(
            f"parameter {_phrase(part)!r:.80} of kernel {function.name} needs a type and a name",
            line,
        )
    attribute, argument = _attribute(cursor, line)
    return _Declaration(tuple(qualifiers), seen[0], marks, seen[1], attribute, argument, line)


def _phrase(part: Sequence[Token]) -> str:
    return " ".join(token.text for token in part)


def _attribute(cursor: Cursor, line: int) -> tuple[str, str]:
    """Name and argument of ``[[name(argument)]]``, empty if there is none."""
    if not cursor.peek():
        return "", ""
    cursor.take("[[")
    name = cursor.take_name("an attribute between [[ and ]] has a name")
    argument = ""
    if cursor.peek() == "(":
        argument = text_of(cursor.enclosed("(", ")", "")).strip()
    cursor.take("]]")
    if cursor.peek():
        raise ShaderSyntaxError(f"unexpected {cursor.peek()!r:.40} after [[{name}]]", line)
    return name, argument


def _position(declaration: _Declaration) -> Position:
    width = _POSITION_TYPES.get(declaration.type_name, 0)
    is_plain = not declaration.marks and set(declaration.qualifiers) <= {"const"}
    if not width or not is_plain or (width > 1 and declaration.attribute in _INDICES):
        allowed = "uint" if declaration.attribute in _INDICES else "uint, uint2 or uint3"
        raise ShaderSyntaxError(
            f"{declaration.name!r} is [[{declaration.attribute}]], which is a {allowed} (or the "
            f"same of ushort), not {declaration.type_name}{declaration.marks}",
            declaration.line,
        )
    return Position(declaration.name, declaration.attribute, declaration.type_name, width)


def _buffer_index(declaration: _Declaration) -> int | None:
    attribute, argument = declaration.attribute, declaration.argument
    if not attribute and "device" not in declaration.qualifiers:
        if "constant" not in declaration.qualifiers:
            raise ShaderSyntaxError(
                f"{declaration.name!r} has no attribute: [[buffer(n)]], or a position such as "
                "[[thread_position_in_grid]]",
                declaration.line,
            )
        return None
    if not attribute:
        return None
    if attribute != "buffer":
        known = ", ".join((*POSITIONS, *_INDICES))
        raise ShaderSyntaxError(
            f"{declaration.name!r} has the attribute [[{attribute}]]; known are buffer and {known}",
            declaration.line,
        )
    if not argument.isdecimal() or not argument.isascii() or int(argument) >= _MAX_BUFFERS:
        raise ShaderSyntaxError(
            f"buffer({argument:.20}) of {declaration.name!r}: the index is 0 to {_MAX_BUFFERS - 1}",
            declaration.line,
        )
    return int(argument)


def _buffer(declaration: _Declaration, index: int) -> Buffer:
    name, line = declaration.name, declaration.line
    spaces = [space for space in declaration.qualifiers if space not in ("const", "volatile")]
    if spaces not in (["device"], ["constant"]) or declaration.marks not in ("*", "&"):
        raise ShaderSyntaxError(
            f"{name!r} is a buffer, so it is 'device const T*', 'device T*', 'constant T*' or "
            f"'constant T&', not {' '.join([*declaration.qualifiers, declaration.type_name])}"
            f"{declaration.marks}",
            line,
        )
    is_constant = spaces == ["constant"]
    is_reference = declaration.marks == "&"
    if is_reference and not is_constant:
        raise ShaderSyntaxError(f"{name!r}: a reference is 'constant T&'; use a pointer", line)
    element, width = VECTOR_TYPES.get(declaration.type_name, (declaration.type_name, 1))
    if element not in SCALAR_TYPES:
        allowed = ", ".join(name for name in SCALAR_TYPES if not name.endswith("_t"))
        raise ShaderSyntaxError(
            f"{name!r} is of type {declaration.type_name!r:.40}; arrays hold {allowed}, or "
            "vectors of 2 and 4 of them",
            line,
        )
    is_const = is_constant or "const" in declaration.qualifiers
    return Buffer(
        name, index, "constant" if is_constant else "device", is_const, is_reference,
        element, width, line,
    )  # fmt: skip


def _split(tokens: Sequence[Token]) -> list[list[Token]]:
    """Parameters between commas."""
    parts: list[list[Token]] = [[]]
    depth = 0
    for token in words(tokens):
        if token.kind == "mark":
            depth += sum((mark in "([{<") - (mark in ")]}>") for mark in token.text)
            if token.text == "," and depth == 0:
                parts.append([])
                continue
        parts[-1].append(token)
    if parts == [[]]:
        return []
    if not all(parts):
        raise ShaderSyntaxError(
            "a comma with no parameter beside it", tokens[0].line if tokens else None
        )
    return parts
