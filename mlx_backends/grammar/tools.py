"""Tool calls as a grammar: names and typed arguments that cannot be wrong.

Writes the layout of a model's family (``text.tool_formats``) as Lark. Arguments come in the order
of the schema. A string that the family writes without quotes can be any text, or one of its
``enum``; every other value is JSON of its schema.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from mlx_backends.errors import GrammarError, UnsupportedModelError
from mlx_backends.grammar.control_tokens import ControlTokens, TokenSource, control_tokens
from mlx_backends.grammar.json_schema import enforceable
from mlx_backends.grammar.spec import MAX_GRAMMAR_BYTES, Grammar
from mlx_backends.text.tool_formats import INDEX, KEY, NAME, TYPE, ArgumentFormat, ToolFormat

if TYPE_CHECKING:
    from mlx_backends.grammar.constraint import GrammarConstraint
    from mlx_backends.text.tokenizer import Tokenizer

AUTO, ANY, NONE = "auto", "any", "none"
_TEXT = r"TEXT: /(.|\n)+/"
_TEXT_ONLY = f"start: TEXT\n{_TEXT}"


def tool_constraint(
    tokenizer: "Tokenizer",
    tools: Sequence[Mapping[str, Any]],
    tool_choice: str = AUTO,
    *,
    max_tokens: int,
    prompt_token_ids: Sequence[int] = (),
) -> "GrammarConstraint | None":
    """``tool_grammar``, compiled for one completion; None if nothing is to be enforced."""
    from mlx_backends.grammar.constraint import compile_grammar

    grammar = tool_grammar(tokenizer, tools, tool_choice)
    if grammar is None:
        return None
    return compile_grammar(
        grammar, tokenizer, max_tokens=max_tokens, prompt_token_ids=prompt_token_ids
    )


def tool_grammar(
    tokenizer: TokenSource,
    tools: Sequence[Mapping[str, Any]],
    tool_choice: str = AUTO,
    *,
    parallel: bool = True,
    strict: bool = False,
    answer: Mapping[str, Any] | None = None,
) -> Grammar | None:
    """What an answer that may or must call tools looks like.

    Args:
        tokenizer: The model's, which knows the format of its calls.
        tools: Functions in OpenAI's form: ``{"type": "function", "function": {"name": ...}}``.
        tool_choice: ``none``, ``auto`` (text, calls, or text and then calls), ``any`` (calls only)
            or the name of the one tool to call.
        parallel: Whether there may be several calls.
        strict: Refuse schemas that cannot be enforced in full.
        answer: JSON schema of an answer that calls no tool; None for any text.

    Returns:
        None for ``auto`` and ``none`` if the model's mark of a call is mere text, so that a text
        and a call cannot be told apart.

    Raises:
        GrammarError: There is no such tool, or a schema is malformed.
        UnsupportedModelError: A call is asked for, and the model was not trained on tools.
    """
    functions = [tool["function"] for tool in tools]
    called = [f for f in functions if tool_choice in (f["name"], ANY, AUTO)]
    if tool_choice not in (NONE, AUTO) and not called:
        names = ", ".join(function["name"] for function in functions)
        raise GrammarError(f"tool_choice is {tool_choice!r:.80}; the tools are: {names or 'none'}.")
    tool_format, control = tokenizer.tool_format, control_tokens(tokenizer)
    marks = control.split(tool_format.start) if tool_format else []
    is_marked = bool(marks) and isinstance(marks[0], int)
    if tool_choice in (NONE, AUTO) and not (called and is_marked):
        if answer is not None:
            return Grammar.json_schema(answer, strict=strict)
        return Grammar.lark(_TEXT_ONLY) if is_marked else None
    _check_sizes(called)
    if tool_format is None:
        raise UnsupportedModelError(
            "The model's chat template has no known format of tool calls, so that no call can be "
            "enforced. Use a model that was trained on tools, or with_structured_output with "
            "method='json_schema'."
        )
    writer = _Writer(tool_format, control, strict=strict)
    rules = [*_start(tool_choice, writer, answer), *writer.rules(called, parallel=parallel)]
    return Grammar("tools", "\n".join(rules), closers=tuple(_closers(tool_format)))


def _check_sizes(functions: Sequence[Mapping[str, Any]]) -> None:
    """Bound the time to compile, which grows with the square of each schema's size."""
    sizes = {f["name"]: len(json.dumps(f.get("parameters"))) for f in functions}
    if sum(size * size for size in sizes.values()) > MAX_GRAMMAR_BYTES**2:
        largest = max(sizes, key=sizes.__getitem__)
        raise GrammarError(
            f"The schemas of the {len(sizes):,} tools are too large to be enforced; that of "
            f"{largest!r:.80} alone has {sizes[largest]:,} bytes. Make it smaller, or give fewer "
            "tools."
        )


def _start(tool_choice: str, writer: "_Writer", answer: Mapping[str, Any] | None) -> list[str]:
    if tool_choice != AUTO:
        return ["start: calls", _TEXT]
    if answer is None:
        return ["start: TEXT | TEXT? calls", _TEXT]
    return ["start: answer | calls", f"answer: {writer.json(answer)}", _TEXT]


def _closers(tool_format: ToolFormat) -> Iterator[str]:
    """What ends an argument, a call and the calls, inner parts first."""
    argument = tool_format.argument
    if argument is not None:
        yield from filter(None, [(argument.quote or "") + argument.end])
        yield from filter(None, [tool_format.call_end, tool_format.closing + tool_format.end])


class _Writer:
    """Writes the rules of one format."""

    def __init__(self, tool_format: ToolFormat, control: ControlTokens, *, strict: bool) -> None:
        self._format = tool_format
        self._control = control
        self._strict = strict
        self._rules: list[str] = []

    def rules(self, functions: Sequence[Mapping[str, Any]], *, parallel: bool) -> list[str]:
        """Rules of ``calls``, one or several of these functions."""
        layout = self._format
        head = self._literal(layout.start + layout.opening)
        tail = self._literal(layout.closing + layout.end)
        separator = self._literal(layout.separator)
        section = f"{head} call {tail}" if layout.one_call_a_section else "call"
        several = f"{section} ({separator} {section})*" if parallel else section
        self._add("calls", several if layout.one_call_a_section else f"{head} {several} {tail}")
        self._add("call", " | ".join(f"call_{i}" for i in range(len(functions))))
        for index, function in enumerate(functions):
            self._add_call(f"call_{index}", function)
        return self._rules

    def _add(self, name: str, body: str) -> None:
        self._rules.append(f"{name}: {body}")

    def _add_call(self, rule: str, function: Mapping[str, Any]) -> None:
        layout = self._format
        # Names stand inside JSON in some formats; a name that JSON escapes is none elsewhere.
        name = json.dumps(function["name"], ensure_ascii=False)[1:-1]
        before, number, after = layout.call_start.replace(NAME, name).partition(INDEX)
        start = f"{self._literal(before)} {'/[0-9]{1,2}/' if number else ''} {self._literal(after)}"
        schema = dict(function.get("parameters") or {"type": "object"})
        if layout.argument is None:
            self._add(f"{rule}_arguments", self.json({"type": "object", **schema}))
        else:
            self._add_arguments(f"{rule}_arguments", schema, layout.argument)
        self._add(rule, f"{start} {rule}_arguments {self._literal(layout.call_end)}")

    def _add_arguments(self, rule: str, schema: dict[str, Any], layout: ArgumentFormat) -> None:
        """One rule for each place in the list of arguments, with and without one before it."""
        properties = schema.get("properties") or {}
        definitions = {key: schema[key] for key in ("$defs", "definitions") if key in schema}
        required = set(schema.get("required") or ())
        separator = self._literal(layout.separator)
        for index, (key, value) in enumerate(properties.items()):
            self._add(f"{rule}_{index}", self._argument(key, {**value, **definitions}, layout))
            rests = [f"{rule}_{index} {rule}_after_{index + 1}"]
            for place, lead in (("from", ""), ("after", separator)):
                options = [f"{lead} {rests[0]}"]
                if key not in required:
                    options.append(f"{rule}_{place}_{index + 1}")
                self._add(f"{rule}_{place}_{index}", " | ".join(options))
        for place in ("from", "after"):
            self._add(f"{rule}_{place}_{len(properties)}", '""')
        self._add(rule, f"{rule}_from_0")

    def _argument(self, key: str, schema: dict[str, Any], layout: ArgumentFormat) -> str:
        start = layout.start.replace(KEY, key).replace(TYPE, str(schema.get("type", "object")))
        if layout.quote is None or schema.get("type") != "string":
            return f"{self._literal(start)} {self.json(schema)} {self._literal(layout.end)}"
        end = layout.quote + layout.end
        if "enum" in schema:
            texts = " | ".join(self._literal(str(choice)) for choice in schema["enum"])
            return f"{self._literal(start + layout.quote)} ({texts}) {self._literal(end)}"
        return f"{self._literal(start + layout.quote)} {self._text_until(end)}"

    def _text_until(self, end: str) -> str:
        """Any text up to the first place where ``end`` stands."""
        first = self._control.split(end)[0]
        if isinstance(first, int):
            return f"TEXT? {self._literal(end)}"
        name = f"until_{len(self._rules)}"
        self._rules.append(f"{name}[suffix={json.dumps(end)}]: /(.|\\n)*/")
        return name

    def json(self, schema: Mapping[str, Any]) -> str:
        """JSON of a schema, as Lark."""
        return f"%json {json.dumps(enforceable(dict(schema), strict=self._strict))}"

    def _literal(self, text: str) -> str:
        return " ".join(
            f"<[{piece}]>" if isinstance(piece, int) else json.dumps(piece, ensure_ascii=False)
            for piece in self._control.split(text)
        )
