"""What generated tool conversations promise: calls fit their schema, requests say every value."""

import ast
import json
import random

import pytest

from mlx_backends.bundled.training import chatml
from mlx_backends.bundled.training.generator import NO_TOOL
from mlx_backends.bundled.training.generator.code_call import asked_as_code, code_of
from mlx_backends.bundled.training.generator.everyday import EverydayTool
from mlx_backends.bundled.training.generator.invented_tool import InventedTool
from mlx_backends.bundled.training.generator.parameter import Parameter
from mlx_backends.bundled.training.generator.tools import Tools
from mlx_backends.bundled.training.lexicon import Names


@pytest.fixture
def names():
    return Names(random.Random(5), pool=300)


def fits(value, schema) -> bool:
    kinds = {"integer": int, "number": (int, float), "string": str, "boolean": bool, "array": list}
    if "anyOf" in schema:
        return any(fits(value, option) for option in schema["anyOf"])
    kind = schema.get("type", "string")
    if kind == "null" or not isinstance(value, kinds[kind]):
        return False
    if kind == "integer":
        low = max(schema.get("minimum", value), schema.get("exclusiveMinimum", value - 1) + 1)
        high = min(schema.get("maximum", value), schema.get("exclusiveMaximum", value + 1) - 1)
        return low <= value <= high
    return value in schema.get("enum", [value])


@pytest.mark.parametrize("make", [EverydayTool, InventedTool])
def test_a_call_fits_the_schema_of_its_tool(names, make):
    for _ in range(400):
        tool = make(names)
        parameters = tool.schema["function"]["parameters"]
        _, arguments, _, _ = tool.call()
        assert tool.schema["function"]["name"] == tool.name
        assert {*parameters.get("required", [])} <= {*arguments} <= {*parameters["properties"]}
        for key, value in arguments.items():
            assert fits(value, parameters["properties"][key]), (key, value, parameters)


def test_a_request_says_every_value_of_an_everyday_call(names):
    for _ in range(400):
        question, arguments, _, _ = EverydayTool(names).call()
        for value in arguments.values():
            topic = str(value).rpartition(" about ")[2]  # texts to order are about something
            assert topic in question, (question, arguments)


def test_tools_of_a_conversation_cannot_be_confused(names):
    for _ in range(200):
        conversation = Tools(names).conversation()
        functions = [tool["function"]["name"] for tool in conversation.tools]
        assert len({*functions}) == len(functions)
        for message in conversation.messages:
            text = message["content"]
            if text.startswith(chatml.TOOL_CALL_START):
                call = json.loads(text.split("\n")[1])
                assert call["name"] in functions
            elif message["role"] == "assistant":
                assert NO_TOOL not in text or text == NO_TOOL


@pytest.mark.parametrize("by_name", [True, False])
def test_a_call_in_code_form_is_python(by_name):
    rng = random.Random(0)
    arguments = {"size": 3, "name": "blue box", "depth": -2.5}
    call = ast.parse(code_of(rng, "find_box", arguments, by_name=by_name)).body[0].value
    values = [ast.literal_eval(node) for node in call.args]
    assert call.func.id == "find_box"
    assert values + [ast.literal_eval(item.value) for item in call.keywords] == [
        *arguments.values()
    ]
    assert [item.arg for item in call.keywords] == (list(arguments) if by_name else [])
    assert "find_box(" in asked_as_code(rng, "find_box", arguments)


def tool_taking(names, *types):
    """A tool with parameters of these types; a question mark makes one optional."""
    tool = InventedTool(names)
    tool.is_lookup = False
    tool.parameters = [Parameter(names) for _ in types]
    for parameter, kind in zip(tool.parameters, types, strict=True):
        parameter.required = not kind.endswith("?")
        parameter.type, _, items = kind.rstrip("?").partition(" of ")
        parameter.items = items
        parameter.options = ["red", "blue"]
    return tool


@pytest.mark.parametrize(
    ("types", "values", "readings"),
    [
        (["integer", "string"], [5, "Zor"], 1),
        (["integer", "string"], ["Zor", 5], 0),
        (["string", "integer"], [7, 5], 1),
        (["boolean"], [5], 0),
        (["number"], [5], 1),
        (["integer"], [5.5], 0),
        (["enum"], ["red"], 1),
        (["enum"], ["green"], 0),
        (["string?", "string"], ["Zor"], 1),
        (["string?", "string?"], ["Zor"], 2),
        (["string", "array of string"], ["a", "b", "c"], 1),
        (["array of string", "array of string"], ["a", "b", "c"], 2),
        (["string?", "array of integer"], [64, 47], 2),
        (["array of integer", "string"], [64, 47, "Zor"], 1),
        ([], [5], 0),
    ],
)
def test_how_values_without_names_can_be_read(names, types, values, readings):
    assert tool_taking(names, *types).readings(values) == readings


def test_values_alone_are_given_only_where_they_tell_the_tool(names):
    clear, blurred = tool_taking(names, "integer"), tool_taking(names, "integer")
    blurred.verb, blurred.thing = clear.verb, "other thing"
    named = clear.parameters[0].spoken
    name = clear.name
    alone = [clear.call()[0] for _ in range(200)]
    beside = [clear.call([clear, blurred])[0] for _ in range(200)]
    says_which = [clear.thing.lower(), named.lower(), name.lower()]
    assert not all(any(word in text.lower() for word in says_which) for text in alone)
    assert all(any(word in text.lower() for word in says_which) for text in beside)
