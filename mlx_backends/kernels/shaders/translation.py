"""Metal text as C++ for a host that has no address spaces: the emulator, and CUDA.

Only declarations change; expressions stay as they are, and so does every line's number.

| Metal | emulator | CUDA |
| --- | --- | --- |
| ``device const float* p`` | ``Pointer<const float> p`` | ``const float* p`` |
| ``constant float* p`` | ``Pointer<const float> p`` | ``const float* p`` |
| ``threadgroup float s[64]`` | ``THREADGROUP_ARRAY(float, s, 64)`` | ``__shared__ float s[64]`` |
| ``threadgroup float* p`` | ``ThreadgroupPointer<float> p`` | ``float* p`` |
| ``constant float pi = 3`` outside of functions | ``static const float`` | ``__device__ const`` |
| a function beside the kernel | as it is | ``__device__`` |
"""

import re
from collections.abc import Sequence
from typing import Literal

from mlx_backends.errors import ShaderSyntaxError
from mlx_backends.kernels.shaders.tokens import Token, blanked, text_of, words

CppHost = Literal["emulator", "cuda"]

_SPACES = ("device", "constant", "threadgroup", "thread")
_QUALIFIERS = (*_SPACES, "const", "volatile")
_ALLOWED_INCLUDE = re.compile(r"#\s*include\s*<(metal_\w+|simd/simd\.h)>\s*$")
_REFUSED_WORDS = {
    "asm": "assembly is not Metal",
    "__asm__": "assembly is not Metal",
    "texture2d": "textures are not supported; pass a buffer",
    "sampler": "textures are not supported; pass a buffer",
    "simdgroup_float8x8": "simdgroup matrices run on Metal only",
    "simdgroup_half8x8": "simdgroup matrices run on Metal only",
    "atomic_int": "atomics are not supported; reduce in threadgroup memory",
    "atomic_uint": "atomics are not supported; reduce in threadgroup memory",
    "atomic_float": "atomics are not supported; reduce in threadgroup memory",
    "atomic": "atomics are not supported; reduce in threadgroup memory",
}


def translate(tokens: Sequence[Token], host: CppHost, *, is_body: bool) -> str:
    """A piece of Metal source as C++.

    Args:
        tokens: A function's body, or everything before the function.
        host: For whom.
        is_body: Which of the two.

    Raises:
        ShaderSyntaxError: It includes a file that is not Metal's, or uses what only Metal has.
    """
    return _Translation(tokens, host, is_body=is_body).text()


def check_words(tokens: Sequence[Token]) -> None:
    """Refuse, on every host alike, what this package cannot launch.

    Raises:
        ShaderSyntaxError: As in ``translate``.
    """
    for token in tokens:
        if token.kind == "directive":
            _check_directive(token)
        elif token.kind == "name" and token.text in _REFUSED_WORDS:
            raise ShaderSyntaxError(f"{token.text}: {_REFUSED_WORDS[token.text]}", token.line)


def _check_directive(token: Token) -> None:
    text = token.text.strip()
    is_include = re.match(r"#\s*(include|import|embed)", text)
    if is_include and not _ALLOWED_INCLUDE.match(text):
        raise ShaderSyntaxError(
            f"{text!r:.80}: only Metal's own headers, such as <metal_stdlib>, are included",
            token.line,
        )
    if re.match(r"#\s*line\b", text):
        raise ShaderSyntaxError("#line would hide the line of a mistake", token.line)


class _Translation:
    def __init__(self, tokens: Sequence[Token], host: CppHost, *, is_body: bool) -> None:
        self._tokens = list(tokens)
        self._host = host
        self._is_body = is_body
        self._at = 0
        self._depth = 0
        self._out: list[str] = []
        self._statement = 0  # where in the output the current statement begins

    def text(self) -> str:
        while self._at < len(self._tokens):
            self._step()
        return "".join(self._out)

    def _step(self) -> None:
        token = self._tokens[self._at]
        if token.kind == "directive":
            self._out.append("" if "include" in token.text else token.text)
            self._at += 1
            self._statement = len(self._out)
        elif self._declaration(token):
            pass  # rewritten
        elif token.text == "reinterpret_cast" and self._host == "emulator":
            self._replace(self._at + 1, "emulator::cast")
        else:
            self._mark(token)
            self._out.append(token.text)
            self._at += 1
            if token.text in (";", "}") or (token.text == "{" and self._depth > 0):
                self._statement = len(self._out)

    def _declaration(self, token: Token) -> bool:
        """Rewrite a declaration that begins here, if it has to be."""
        if token.kind != "name":
            return False
        if token.text in _QUALIFIERS:
            return self._qualified()
        return token.text == "auto" and self._auto()

    def _mark(self, token: Token) -> None:
        """Keep the depth, and give functions of CUDA their place."""
        if token.text == "{":
            opens_function = self._depth == 0 and not self._is_body and self._ends_with(")")
            if opens_function and self._host == "cuda":
                self._out.insert(self._start_of_function(), "__device__ ")
            self._depth += 1
        elif token.text == "}":
            self._depth -= 1

    def _ends_with(self, mark: str) -> bool:
        return "".join(self._out[self._statement :]).rstrip().endswith(mark)

    def _start_of_function(self) -> int:
        """After blank space and ``template <...>``."""
        place = self._statement
        while place < len(self._out) and not self._out[place].strip():
            place += 1
        if place < len(self._out) and self._out[place] == "template":
            depth = 0
            while place < len(self._out):
                depth += (self._out[place] == "<") - (self._out[place] == ">")
                place += 1
                if depth == 0 and self._out[place - 1] == ">":
                    break
            self._out.insert(place, " ")
            place += 1
        return place

    def _qualified(self) -> bool:
        """Rewrite a declaration that begins with qualifiers; False leaves the word as it is."""
        run, at = self._run_of_qualifiers(self._at)
        spaces = [word for word in run if word in _SPACES]
        type_words, at = self._type_at(at)
        if not type_words:
            return False
        late, at = self._run_of_qualifiers(at)  # float const device*
        spaces += [word for word in late if word in _SPACES]
        if not spaces:
            return False
        is_const = "const" in (*run, *late) or spaces[0] == "constant"
        mark = self._word_at(at)
        lines = blanked(self._tokens[self._at : at])
        if mark in ("*", "&"):
            return self._pointer(spaces[0], type_words, mark, at, lines, is_const=is_const)
        if spaces[0] == "threadgroup":
            return self._threadgroup_array(type_words, at, lines)
        if spaces[0] == "constant":
            prefix = "static const" if self._host == "emulator" else "__device__ const"
            self._replace(at, f"{prefix} {type_words} {lines}")
            return True
        self._replace(at, f"{'const ' if is_const else ''}{type_words} {lines}")
        return True

    def _pointer(
        self, space: str, type_words: str, mark: str, at: int, lines: str, *, is_const: bool
    ) -> bool:
        at = self._index_of_word(at) + 1
        late, after = self._run_of_qualifiers(at)
        const = "const " if is_const else ""
        own_const = " const" if "const" in late else ""
        after = after if late else at
        if self._host == "cuda" or space == "thread" or mark == "&":
            self._replace(after, f"{const}{type_words}{mark}{own_const} {lines}")
            return True
        kind = "ThreadgroupPointer" if space == "threadgroup" else "Pointer"
        self._replace(after, f"emulator::{kind}<{const}{type_words}>{own_const} {lines}")
        return True

    def _threadgroup_array(self, type_words: str, at: int, lines: str) -> bool:
        """Rewrite ``threadgroup float a[4], b[4][5];`` from its names on."""
        if self._host == "cuda":
            self._replace(at, f"__shared__ {type_words} {lines}")
            return True
        line = self._tokens[self._at].line
        end = next((i for i in range(at, len(self._tokens)) if self._tokens[i].text == ";"), None)
        if end is None:
            return False
        declared = []
        for part in text_of(self._tokens[at:end]).split(","):
            found = re.fullmatch(r"\s*(\w+)\s*(\[.*\])?\s*", part, re.DOTALL)
            if found is None:
                raise ShaderSyntaxError(
                    f"threadgroup {type_words} {part.strip()!r:.60}: an array of a fixed size is "
                    "declared as 'threadgroup float name[64];' and has no first value",
                    line,
                )
            name, sizes = found[1], re.findall(r"\[([^\]]*)\]", found[2] or "[1]")
            if len(sizes) > 2 or not all(size.strip() for size in sizes):
                raise ShaderSyntaxError(
                    f"threadgroup array {name!r} has one or two dimensions of a fixed size", line
                )
            kind = "SCALAR" if found[2] is None else "ARRAY" if len(sizes) == 1 else "MATRIX"
            arguments = "" if found[2] is None else "".join(f", ({size})" for size in sizes)
            declared.append(f"THREADGROUP_{kind}({type_words}, {name}{arguments});")
        self._replace(end + 1, " ".join(declared) + blanked(self._tokens[self._at : end + 1]))
        self._statement = len(self._out)
        return True

    def _auto(self) -> bool:
        """``auto x = f(s[i]);`` must hold the value, not the emulator's view of the place."""
        if self._host != "emulator":
            return False
        name_at = self._index_of_word(self._at + 1)
        equals_at = self._index_of_word(name_at + 1)
        if equals_at >= len(self._tokens) or self._tokens[equals_at].text != "=":
            return False
        depth, end = 0, equals_at + 1
        while end < len(self._tokens):
            token = self._tokens[end]
            if token.kind == "mark":
                depth += sum((m in "([{") - (m in ")]}") for m in token.text)
                if depth < 0 or (depth == 0 and token.text in (";", ",")):
                    break
            end += 1
        inner = _Translation(self._tokens[equals_at + 1 : end], self._host, is_body=True).text()
        declared = text_of(self._tokens[self._at : equals_at])
        self._replace(end, f"{declared}= emulator::plain({inner})")
        return True

    def _replace(self, until: int, text: str) -> None:
        self._out.append(text)
        self._at = until

    def _index_of_word(self, at: int) -> int:
        while at < len(self._tokens) and self._tokens[at].kind in ("space", "directive"):
            at += 1
        return at

    def _word_at(self, at: int) -> str:
        at = self._index_of_word(at)
        return self._tokens[at].text if at < len(self._tokens) else ""

    def _run_of_qualifiers(self, at: int) -> tuple[list[str], int]:
        found: list[str] = []
        while self._word_at(at) in _QUALIFIERS:
            found.append(self._word_at(at))
            at = self._index_of_word(at) + 1
        return found, at

    def _type_at(self, at: int) -> tuple[str, int]:
        """A type's name: ``float``, ``metal::half4``, ``packed<float>``, ``unsigned int``."""
        first = self._index_of_word(at)
        if first >= len(self._tokens) or self._tokens[first].kind != "name":
            return "", at
        parts, at = [self._tokens[first].text], first + 1
        while True:
            word = self._word_at(at)
            index = self._index_of_word(at)
            if word == "::" and index + 1 < len(self._tokens):
                following = self._index_of_word(index + 1)
                parts += ["::", self._tokens[following].text]
                at = following + 1
            elif parts[-1] in ("unsigned", "struct") and word.isidentifier():
                parts += [" ", word]
                at = index + 1
            elif word == "<" and (end := self._closing_angle(index)) is not None:
                parts.append(text_of(words(self._tokens[index:end])))
                at = end
            else:
                return "".join(parts), at

    def _closing_angle(self, at: int) -> int | None:
        depth = 0
        for end in range(at, min(len(self._tokens), at + 40)):
            text = self._tokens[end].text
            depth += (text == "<") - (text == ">")
            if depth == 0:
                return end + 1
            if text in (";", "{", "}"):
                return None
        return None
