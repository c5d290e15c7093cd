import functools
import importlib
import json
import random
from typing import Any

import pytest

from mlx_backends.text import tool_formats
from mlx_backends.text.tool_calls import ToolCallReader, joined_calls
from mlx_backends.text.tool_formats import JSON_TOOLS, ToolFormat, tool_format

FORMATS = {
    name.strip("_").lower(): value
    for name, value in vars(tool_formats).items()
    if isinstance(value, ToolFormat)
}
PROPERTIES = {
    "text": {"type": "string"},
    "count": {"type": "integer"},
    "flags": {"type": "array", "items": {"type": "boolean"}},
}
TOOLS = [
    {
        "type": "function",
        "function": {"name": name, "parameters": {"type": "object", "properties": PROPERTIES}},
    }
    for name in ("search", "stop_all")
]
CALLS: list[tuple[str, dict[str, Any]]] = [
    ("search", {"text": 'a "b" é 日本', "count": -3, "flags": [True, False]}),
    ("stop_all", {}),
    ("search", {"text": "null"}),
]


def written(layout: ToolFormat, calls: list[tuple[str, dict[str, Any]]]) -> str:
    """The calls as the format says, made plainly."""
    texts = []
    for index, (name, arguments) in enumerate(calls):
        start = layout.call_start.replace("{name}", name).replace("{index}", str(index))
        texts.append(start + written_arguments(layout, arguments) + layout.call_end)
    if layout.one_call_a_section:
        sections = [layout.start + layout.opening + t + layout.closing + layout.end for t in texts]
        return layout.separator.join(sections)
    inside = layout.separator.join(texts)
    return layout.start + layout.opening + inside + layout.closing + layout.end


def written_arguments(layout: ToolFormat, arguments: dict[str, Any]) -> str:
    if layout.argument is None:
        return json.dumps(arguments, ensure_ascii=False)
    return layout.argument.separator.join(
        layout.argument.start.replace("{key}", key).replace("{type}", PROPERTIES[key]["type"])
        + written_value(value, layout.argument.quote)
        + layout.argument.end
        for key, value in arguments.items()
    )


def written_value(value: Any, quote: str | None) -> str:
    if quote is not None and isinstance(value, str):
        return quote + value + quote
    return json.dumps(value, ensure_ascii=False)


def read(text: str, layout: ToolFormat, seed: int = 0, **options: Any):
    """Text and calls of a completion that comes in random pieces."""
    rng = random.Random(seed)
    reader = ToolCallReader(layout, TOOLS, **options)
    pieces = []
    while text:
        cut = rng.randint(1, 7)
        pieces += reader.feed(text[:cut])
        text = text[cut:]
    pieces += reader.finish()
    calls = joined_calls(piece for piece in pieces if not isinstance(piece, str))
    return "".join(piece for piece in pieces if isinstance(piece, str)), calls


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("name", FORMATS)
def test_calls_come_back_as_they_were_written(name, seed):
    layout = FORMATS[name]
    text, calls = read("I ask. " + written(layout, CALLS), layout, seed)
    assert text.strip() == "I ask."
    assert [(call.name, json.loads(call.arguments)) for call in calls] == CALLS
    assert [call.index for call in calls] == [0, 1, 2]
    assert len({call.id for call in calls}) == 3


@pytest.mark.parametrize("name", FORMATS)
def test_the_layout_is_one_that_the_familys_parser_reads(name):
    """One plain call, for some of mlx-lm's parsers change strings such as ``null``."""
    layout = FORMATS[name]
    parse = importlib.import_module(f"mlx_lm.tool_parsers.{layout.name}").parse_tool_call
    call = ("search", {"text": "blue sea", "count": 3})
    section = written(layout, [call]).removeprefix(layout.start)
    parsed = parse(section.removesuffix(layout.end) if layout.end else section, TOOLS)
    parsed = parsed[0] if isinstance(parsed, list) else parsed
    assert (parsed["name"], parsed["arguments"]) == call


def test_arguments_are_handed_on_while_they_grow():
    reader = ToolCallReader(JSON_TOOLS, TOOLS)
    pieces = [
        [*reader.feed(text)]
        for text in ('<tool_call>\n{"name": "search", "argu', 'ments": {"text": "bl', 'ue}"', "}}")
    ]
    assert pieces[0] == []
    assert [piece.name for piece in pieces[1]] == ["search", None]
    assert [piece.arguments for group in pieces[1:] for piece in group] == [
        "",
        '{"text": "bl',
        'ue}"',
        "}",
    ]


@pytest.mark.parametrize(
    "body",
    [
        '{"arguments": {"count": 1}, "name": "search"}',
        '{"name":"search","arguments":{"count":1}}',
        '{\n  "name": "search",\n  "arguments": {\n    "count": 1\n  }\n}',
        '{"name": "search", "parameters": {"count": 1}}',
        '{"name": "search", "arguments": "{\\"count\\": 1}"}',
    ],
)
def test_json_calls_in_other_shapes(body):
    _, calls = read(f"<tool_call>{body}</tool_call>", JSON_TOOLS)
    assert [(call.name, json.loads(call.arguments)) for call in calls] == [("search", {"count": 1})]


@pytest.mark.parametrize("body", ["", "   "])
def test_an_empty_section_is_no_call(body):
    assert read(f"<tool_call>{body}</tool_call>", JSON_TOOLS) == ("", [])


@pytest.mark.parametrize("body", ["not JSON", '{"name": 3}', "[" * 3_000])
def test_a_section_that_cannot_be_read_is_kept(body):
    _, (call,) = read(f"<tool_call>{body}</tool_call>", JSON_TOOLS)
    assert call.name is None
    assert call.arguments == body


def test_a_call_that_was_cut_off_keeps_its_beginning():
    text = '<tool_call>\n{"name": "search", "arguments": {"text": "bl'
    _, (call,) = read(text, JSON_TOOLS)
    assert (call.name, call.arguments) == ("search", '{"text": "bl')


def test_other_shapes_go_to_the_familys_parser():
    layout = FORMATS["glm47"]
    seen = []

    def parse(text: str, tools: Any) -> Any:
        seen.append((text, tools))
        return {"name": "search", "arguments": {"count": 1}}

    _, (call,) = read("<tool_call>search count=1</tool_call>", layout, parse=parse)
    assert (call.name, call.arguments) == ("search", '{"count": 1}')
    assert seen == [("search count=1", TOOLS)]


def test_a_parser_that_raises_makes_an_unreadable_call():
    def parse(text: str, tools: Any) -> Any:
        raise KeyError(text)

    _, (call,) = read("<tool_call>?</tool_call>", FORMATS["glm47"], parse=parse)
    assert (call.name, call.arguments) == (None, "?")


def test_text_without_calls_passes_at_once():
    reader = ToolCallReader(JSON_TOOLS, TOOLS)
    assert [*reader.feed("2 < 3")] == ["2 < 3"]
    assert [*reader.feed(" and <tool")] == [" and "]
    assert [*reader.feed("s>")] == ["<tools>"]


def test_without_a_format_all_is_text():
    reader = ToolCallReader(None)
    assert [*reader.feed("<tool_call>{}</tool_call>"), *reader.finish()] == [
        "<tool_call>{}</tool_call>"
    ]


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ('"<tool_call>\\n" + tool_call.name', "json_tools"),
        ('"<tool_call>\\n<function=" + tool_call.name', "qwen3_coder"),
        ("<tool_call>{{ tc.name }}<arg_key>", "glm47"),
        ("[TOOL_CALLS]{{ name }}[ARGS]", "mistral"),
        ("<minimax:tool_call>", "minimax_m2"),
        ("<|tool_call>call:{{ name }}<tool_call|>", "gemma4"),
        ("{{ messages }}", None),
    ],
)
def test_families_are_known_by_their_templates(template, name):
    found = tool_format(template, lambda _: False)
    assert (found.name if found else None) == name


def test_families_are_known_by_their_tokens():
    tokens = {"<|tool_call_start|>", "<|tool_call_end|>"}
    found = tool_format("", tokens.__contains__)
    assert found is not None
    assert found.name == "pythonic"


@functools.cache
def inferred_by_mlx_lm(template: str) -> str | None:
    from mlx_lm.tokenizer_utils import _infer_tool_parser

    class FakeTokenizer:
        chat_template = template

        def get_vocab(self) -> dict[str, int]:
            return {}

    return _infer_tool_parser(FakeTokenizer())


@pytest.mark.parametrize("name", FORMATS)
def test_the_inference_agrees_with_mlx_lm(name):
    layout = FORMATS[name]
    template = "".join(layout.literals()) + "tool_call.name"
    found = tool_format(template, lambda _: False)
    assert (found.name if found else None) == inferred_by_mlx_lm(template)
