"""What LangChain's suites leave open, on the bundled model: formats, tools, schemas, in earnest."""

import functools
import itertools
import operator
import re
from typing import Annotated, Any, Literal, TypedDict

import jsonschema
import pytest
from langchain_core.exceptions import OutputParserException
from langchain_core.messages import AIMessage, HumanMessage, ToolMessage
from langchain_core.tools import tool
from pydantic import BaseModel, Field

from mlx_backends import ConfigError, MockEngine
from mlx_backends.errors import GrammarBudgetError, GrammarError
from mlx_backends.grammar import Grammar
from mlx_backends.grammar.citations import cited_answer
from mlx_backends.langchain import ChatMLX
from mlx_backends.text.grounding import REFUSAL, grounded_messages

METHODS = ["json_schema", "function_calling", "json_mode"]
QUESTION = "Tell me about the engine."


class Engine(BaseModel):
    """An engine."""

    name: str = Field(max_length=20)
    cylinders: int = Field(ge=1, le=16)
    fuel: Literal["petrol", "diesel"]
    notes: list[str] = Field(max_length=2)


class EngineDict(TypedDict):
    """An engine."""

    name: Annotated[str, ..., "What it is called"]
    cylinders: Annotated[int, ..., "How many"]


@tool
def set_speed(speed: int, unit: Literal["mph", "kmh"]) -> str:
    """Set the speed."""
    return f"{speed} {unit}"


@tool
def stop_engine() -> str:
    """Stop the engine."""
    return "stopped"


@pytest.fixture(scope="module")
def llm() -> ChatMLX:
    return ChatMLX(model="bundled", max_tokens=120, temperature=0)


def joined(chunks: list[Any]) -> Any:
    return functools.reduce(operator.add, chunks)


@pytest.mark.parametrize("method", METHODS)
def test_objects_of_a_pydantic_class(llm, method):
    structured = llm.with_structured_output(Engine, method=method, strict=True)
    engine = structured.invoke(QUESTION)
    assert isinstance(engine, Engine)
    chunks = list(structured.stream(QUESTION))
    assert all(isinstance(chunk, Engine) for chunk in chunks)
    assert chunks[-1] == engine


@pytest.mark.parametrize("method", METHODS)
def test_dictionaries_grow_in_a_stream(llm, method):
    schema = {"title": "Engine", **Engine.model_json_schema()}
    structured = llm.with_structured_output(schema, method=method)
    chunks = list(structured.stream(QUESTION))
    assert len(chunks) > 4
    for earlier, later in itertools.pairwise(chunks):
        assert list(earlier) == list(later)[: len(earlier)]
    jsonschema.validate(chunks[-1], schema)
    assert chunks[-1] == structured.invoke(QUESTION)


@pytest.mark.parametrize("method", METHODS)
async def test_a_typed_dict(llm, method):
    structured = llm.with_structured_output(EngineDict, method=method)
    answer = await structured.ainvoke(QUESTION)
    assert answer.keys() == {"name", "cylinders"}
    assert isinstance(answer["cylinders"], int)
    assert [chunk async for chunk in structured.astream(QUESTION)][-1] == answer


@pytest.mark.parametrize("method", METHODS)
def test_raw_messages_come_along(llm, method):
    answer = llm.with_structured_output(Engine, method=method, include_raw=True).invoke(QUESTION)
    assert answer.keys() == {"raw", "parsed", "parsing_error"}
    assert isinstance(answer["raw"], AIMessage)
    assert isinstance(answer["parsed"], Engine)
    assert answer["parsing_error"] is None


def test_a_parsing_error_is_kept_with_the_raw_message():
    llm = ChatMLX(engine=MockEngine(["no JSON"]))
    answer = llm.with_structured_output(Engine, include_raw=True).invoke("Hi")
    assert answer["raw"].content == "no JSON"
    assert answer["parsed"] is None
    assert isinstance(answer["parsing_error"], OutputParserException)


def test_json_mode_without_a_schema(llm):
    answer = llm.with_structured_output(method="json_mode").invoke("Say something as JSON.")
    assert isinstance(answer, dict)


class Tree(BaseModel):
    """A tree of numbers."""

    value: int = Field(ge=0, le=99)
    children: list["Tree"] = Field(max_length=2)


@tool
def plant(tree: Tree) -> str:
    """Plant a tree."""
    return str(tree.value)


@pytest.mark.parametrize("method", METHODS)
def test_a_schema_may_refer_to_itself(llm, method):
    for schema in (Tree, {"title": "Tree", **Tree.model_json_schema()}):
        structured = llm.with_structured_output(schema, method=method)
        for seed in range(3):
            answer = structured.invoke("Grow a tree.", temperature=1.5, seed=seed)
            Tree.model_validate(answer)


def test_so_may_the_arguments_of_a_tool(llm):
    bound = llm.bind_tools([plant], tool_choice="plant", parallel_tool_calls=False)
    for seed in range(4):
        [call] = bound.invoke("Plant it.", temperature=1.5, seed=seed).tool_calls
        Tree.model_validate(call["args"]["tree"])
        assert plant.invoke(call).content.isdigit()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"tools": 5}, "list of tools"),
        ({"tools": "get_port"}, "list of tools"),
        ({"tools": ["get_port"]}, "no tool"),
        ({"tools": [{"type": "web_search_preview"}]}, "no tool that runs here"),
        ({"tools": [{"type": "function", "function": {"description": "x"}}]}, "no tool"),
        ({"tools": [{"type": "object", "properties": {}}]}, "title"),
        ({"response_format": 5}, "does not describe"),
        ({"response_format": {"type": "json_schema"}}, "holds its schema like"),
        ({"response_format": {"type": "json_schema", "json_schema": {}}}, "holds its schema like"),
        ({"template_options": 5}, "template_options must be a mapping"),
        ({"model": 5}, "folder or a Hub id"),
    ],
)
def test_malformed_options_are_typed_errors(llm, options, words):
    with pytest.raises(ConfigError, match=words):
        llm.invoke("Hi", **options)


def test_a_schema_for_a_call_needs_a_name(llm):
    with pytest.raises(ConfigError, match="title"):
        llm.with_structured_output({"type": "object"}, method="function_calling")


def test_methods_and_schemas_are_checked(llm):
    with pytest.raises(ConfigError, match="json_schema, function_calling, json_mode"):
        llm.with_structured_output(Engine, method="yaml")
    with pytest.raises(ConfigError, match="needs a schema"):
        llm.with_structured_output()
    unique = {"title": "S", "type": "array", "items": {}, "uniqueItems": True}
    with pytest.raises(GrammarError, match="uniqueItems"):
        llm.with_structured_output(unique, strict=True).invoke("Hi")


async def test_a_schema_that_cannot_fit_is_an_error_whichever_way_it_is_asked(llm):
    structured = llm.bind(max_tokens=4).with_config() | (lambda message: message)
    options = {"response_format": Engine}
    for call in (
        lambda: structured.invoke(QUESTION, **options),
        lambda: list(structured.stream(QUESTION, **options)),
        lambda: structured.batch([QUESTION], **options),
    ):
        with pytest.raises(GrammarBudgetError, match="within 4 tokens"):
            call()
    with pytest.raises(GrammarBudgetError):
        await structured.ainvoke(QUESTION, **options)


@pytest.mark.parametrize(
    ("grammar", "pattern"),
    [
        (Grammar.regex("[0-9]{3}-[0-9]{4}"), r"\d{3}-\d{4}"),
        ({"regex": "(ab)+c"}, "(ab)+c"),
        ({"choice": ["red", "green"]}, "red|green"),
        ({"lark": 'start: "<" /[a-z]+/ ">"'}, "<[a-z]+>"),
        ({"gbnf": 'root ::= [a-c]+ "!"'}, "[a-c]+!"),
        ({"json_schema": {"enum": ["a", 1]}}, '"a"|1'),
    ],
)
def test_raw_grammars(llm, grammar, pattern):
    bound = llm.bind(grammar=grammar, max_tokens=30)
    text = bound.invoke(QUESTION).content
    assert re.fullmatch(pattern, text)
    assert joined(list(bound.stream(QUESTION))).content == text


def test_grammars_are_checked(llm):
    for grammar in ("[0-9]", {"xml": "<a/>"}, {"regex": "a", "lark": "b"}):
        with pytest.raises(ConfigError, match="grammar must be a Grammar or a mapping"):
            llm.invoke("Hi", grammar=grammar)
    with pytest.raises(ConfigError, match="either grammar or response_format"):
        llm.invoke("Hi", grammar={"regex": "a"}, response_format={"type": "json_object"})


@pytest.mark.parametrize(
    "response_format",
    [
        Engine,
        Engine.model_json_schema(),
        {"type": "json_schema", "json_schema": {"name": "e", "schema": Engine.model_json_schema()}},
    ],
)
def test_response_formats(llm, response_format):
    Engine.model_validate_json(llm.invoke(QUESTION, response_format=response_format).content)


def test_the_text_format_leaves_the_answer_free(llm):
    free = llm.invoke(QUESTION)
    assert llm.invoke(QUESTION, response_format={"type": "text"}).content == free.content


@pytest.mark.parametrize("num_passages", [1, 3])
def test_only_given_passages_are_cited(llm, num_passages):
    passages = [f"The default size of part {i} is {i}0 tokens." for i in range(num_passages)]
    messages = grounded_messages("Who wrote the second symphony?", passages)
    for seed in range(4):
        answer = llm.invoke(
            messages,
            grammar=cited_answer(num_passages),
            temperature=1.5,
            seed=seed,
            max_tokens=40,
        ).text
        cited = {int(number) for number in re.findall(r"\[(\d+)\]", answer)}
        assert answer == REFUSAL or cited
        assert cited <= set(range(1, num_passages + 1))


@pytest.mark.parametrize(
    "choice",
    [
        "any",
        "required",
        True,
        "set_speed",
        {"type": "function", "function": {"name": "set_speed"}},
        {"type": "tool", "name": "set_speed"},
    ],
)
def test_forced_calls_have_typed_arguments(llm, choice):
    bound = llm.bind_tools([set_speed, stop_engine], tool_choice=choice)
    for temperature, seed in ((0.0, 0), (1.5, 1), (1.5, 2)):
        message = bound.invoke("Hello!", temperature=temperature, seed=seed)
        assert message.tool_calls
        assert not message.invalid_tool_calls
        assert message.content == ""
        assert len({call["id"] for call in message.tool_calls}) == len(message.tool_calls)
        for call in message.tool_calls:
            if choice not in ("any", "required", True):
                assert call["name"] == "set_speed"
            if call["name"] == "set_speed":
                assert type(call["args"]["speed"]) is int
                assert call["args"]["unit"] in ("mph", "kmh")
            else:
                assert call["args"] == {}


def test_no_call_if_none_is_wanted(llm):
    question = "Set the speed to 30 kmh. Use the tool."
    message = llm.bind_tools([set_speed], tool_choice="none").invoke(question)
    assert not message.tool_calls
    assert not message.invalid_tool_calls
    assert message.content


def test_one_call_at_most(llm):
    bound = llm.bind_tools([stop_engine], tool_choice="any", parallel_tool_calls=False)
    for seed in range(6):
        assert len(bound.invoke("Stop!", temperature=2.0, seed=seed).tool_calls) == 1


def test_calls_are_streamed_as_they_grow(llm):
    bound = llm.bind_tools([set_speed], tool_choice="set_speed", parallel_tool_calls=False)
    chunks = list(bound.stream("Set the speed to 30 kmh."))
    pieces = [piece for chunk in chunks for piece in chunk.tool_call_chunks]
    assert len(pieces) > 3
    assert [piece["name"] for piece in pieces] == ["set_speed"] + [None] * (len(pieces) - 1)
    whole = joined(chunks)
    (streamed,) = whole.tool_calls
    (called,) = bound.invoke("Set the speed to 30 kmh.").tool_calls
    assert (streamed["name"], streamed["args"]) == (called["name"], called["args"])


def test_an_answer_follows_a_tools_result(llm):
    call = {"name": "stop_engine", "args": {}, "id": "c1", "type": "tool_call"}
    history = [
        HumanMessage("Stop the engine."),
        AIMessage("", tool_calls=[call]),
        ToolMessage("stopped", tool_call_id="c1"),
    ]
    message = llm.bind_tools([stop_engine]).invoke(history)
    assert message.content
    assert message.response_metadata["finish_reason"] == "stop"


def test_a_tool_choice_must_name_a_tool(llm):
    with pytest.raises(ConfigError, match="set_speed, stop_engine"):
        llm.bind_tools([set_speed, stop_engine], tool_choice="fly")


def test_tools_beside_a_response_format(llm):
    """An agent's last step: call a tool, or answer under a schema."""
    bound = llm.bind_tools([stop_engine]).bind(response_format=Engine)
    for seed in range(5):
        message = bound.invoke("Hello!", temperature=1.5, seed=seed)
        if message.tool_calls:
            assert message.content == ""
        else:
            Engine.model_validate_json(message.content)


def test_reasoning_is_apart_from_the_answer(reasoning_lm):
    llm = ChatMLX(model=str(reasoning_lm), temperature=1.0, seed=3, max_tokens=40)
    bound = llm.bind(grammar={"choice": ["yes", "no"]})
    message = bound.invoke("Is it?")
    assert message.content in ("yes", "no")
    reasoning, text = message.content_blocks
    assert reasoning["type"] == "reasoning"
    assert reasoning["reasoning"] == message.additional_kwargs["reasoning_content"]
    assert text == {"type": "text", "text": message.content}
    assert message.usage_metadata is not None
    num_reasoning = message.usage_metadata["output_token_details"]["reasoning"]
    assert 0 < num_reasoning < message.usage_metadata["output_tokens"]
    streamed = joined(list(bound.stream("Is it?")))
    assert streamed.content == message.content
    assert streamed.additional_kwargs == message.additional_kwargs
    for counts in ("output_tokens", "output_token_details"):
        assert streamed.usage_metadata[counts] == message.usage_metadata[counts]
    # The second call finds the prompt that the first one left in the prefix cache.
    created = message.usage_metadata["input_token_details"]["cache_creation"]
    assert streamed.usage_metadata["input_token_details"]["cache_read"] >= created


def test_reasoning_in_content_blocks_of_version_one(reasoning_lm):
    llm = ChatMLX(model=str(reasoning_lm), seed=3, temperature=1.0, output_version="v1")
    message = llm.invoke("Is it?", grammar={"choice": ["yes", "no"]}, max_tokens=40)
    assert [block["type"] for block in message.content] == ["reasoning", "text"]
    streamed = joined(list(llm.stream("Is it?", grammar={"choice": ["yes", "no"]}, max_tokens=40)))
    assert [block["type"] for block in streamed.content] == ["reasoning", "text"]
    assert streamed.text == message.text


def test_a_stop_string_stops(llm):
    free = llm.invoke("Hello").text
    stop = free[4:7]
    message = llm.invoke("Hello", stop=[stop])
    assert message.text == free[: free.index(stop)]
    assert message.response_metadata["stop_reason"] == stop


async def test_a_batch_equals_its_parts(llm):
    questions = ["Hello", "Who are you?", QUESTION, "Thanks!", "Is it?"]
    alone = [llm.invoke(question).content for question in questions]
    assert [message.content for message in llm.batch(questions)] == alone
    assert [message.content for message in await llm.abatch(questions)] == alone


def test_logprobs_under_a_grammar(llm):
    message = llm.invoke(
        "Hello", grammar={"choice": ["red", "green"]}, logprobs=True, top_logprobs=2
    )
    entries = message.response_metadata["logprobs"]["content"]
    assert "".join(entry["token"] for entry in entries).startswith(message.content)
    assert all(entry["logprob"] <= 1e-5 for entry in entries)


def test_profiles_come_from_the_models_files(llm, reasoning_lm):
    assert llm.profile["max_input_tokens"] == 4_096
    assert llm.profile["max_output_tokens"] == 120
    assert llm.profile["tool_calling"]
    assert not llm.profile["reasoning_output"]
    reasoning = ChatMLX(model=str(reasoning_lm)).profile
    assert reasoning["reasoning_output"]
    assert not reasoning["tool_calling"]
    assert ChatMLX(model="some/hub-id").profile is None
