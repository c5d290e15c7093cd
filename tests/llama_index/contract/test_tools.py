"""The tool rows of langchain-tests' integration suite, under their names, for ``MLXLLM``."""

import asyncio
import json

import pytest
from llama_index.core.agent.workflow import AgentWorkflow, FunctionAgent, ToolCallResult
from llama_index.core.base.llms.types import ChatMessage, TextBlock, ToolCallBlock
from llama_index.core.chat_engine.types import AgentChatResponse
from llama_index.core.program import FunctionCallingProgram
from llama_index.core.query_engine import CustomQueryEngine
from llama_index.core.tools import FunctionTool, QueryEngineTool
from pydantic import BaseModel

from mlx_backends.errors import ConfigError, GrammarBudgetError, RequestError

from .conftest import WEATHER as WEATHERS
from .conftest import calls_in, responses_of

METHODS = [
    "chat_with_tools",
    "achat_with_tools",
    "stream_chat_with_tools",
    "astream_chat_with_tools",
]
MAGIC = "Use the magic function on 3."
WEATHER = "What is the weather in Oslo?"
# LlamaIndex's workflows look at every attribute of an agent, those that pydantic deprecates too.
ignore_workflows = pytest.mark.filterwarnings(
    "ignore::pydantic.warnings.PydanticDeprecationWarning"
)


@pytest.mark.parametrize("method", ["chat_with_tools", "stream_chat_with_tools"])
async def test_tool_calling(llm, tools, method):
    await _check_calls(llm, tools, method)


@pytest.mark.parametrize("method", ["achat_with_tools", "astream_chat_with_tools"])
async def test_tool_calling_async(llm, tools, method):
    await _check_calls(llm, tools, method)


async def _check_calls(llm, tools, method):
    """The model chooses the tool; names and values are copied, and typed."""
    *_, magic = await responses_of(llm, method, tools, MAGIC)
    *_, weather = await responses_of(llm, method, tools, WEATHER)
    assert calls_in(llm, magic) == [("magic_function", {"input": 3})]
    assert calls_in(llm, weather) == [("get_weather", {"city": "Oslo"})]


@pytest.mark.parametrize("method", METHODS)
async def test_call_is_a_block_with_an_id(llm, tools, method):
    ids = set()
    for _ in range(2):
        *_, last = await responses_of(llm, method, tools, WEATHER)
        text, call = last.message.blocks
        assert text == TextBlock(text="")
        assert (call.tool_name, call.tool_kwargs) == ("get_weather", {"city": "Oslo"})
        ids.add(call.tool_call_id)
    assert len(ids) == 2
    assert all(ids)


@pytest.mark.parametrize("method", ["stream_chat_with_tools", "astream_chat_with_tools"])
async def test_arguments_are_streamed_as_they_grow(llm, tools, method):
    responses = await responses_of(llm, method, tools, WEATHER)
    seen = [kwargs for response in responses for _, kwargs in calls_in(llm, response)]
    assert seen[0] == {}
    assert seen[-1] == {"city": "Oslo"}
    assert any(0 < len(kwargs.get("city", "")) < 4 for kwargs in seen)
    assert "".join(r.delta for r in responses) == ""


def test_bind_runnables_as_tools(llm):
    """A query engine is a tool."""

    class Echo(CustomQueryEngine):
        def custom_query(self, query_str: str) -> str:
            return f"Found: {query_str}"

    tool = QueryEngineTool.from_defaults(
        Echo(), name="greeting_search", description="Find a greeting by its style."
    )
    response = llm.predict_and_call([tool], "Find a greeting.", tool_required=True)
    [output] = response.sources
    assert output.tool_name == "greeting_search"
    assert output.content == f"Found: {output.raw_input['input']}"


def _history(answer_blocks, result="rain, 12 degrees"):
    return [
        ChatMessage(WEATHER),
        ChatMessage(role="assistant", blocks=answer_blocks),
        ChatMessage(result, role="tool", additional_kwargs={"tool_call_id": "abc123"}),
    ]


CALL = ToolCallBlock(tool_call_id="abc123", tool_name="get_weather", tool_kwargs={"city": "Oslo"})


def test_tool_message_histories_string_content(llm, tools):
    response = llm.chat_with_tools(tools, chat_history=_history([CALL]))
    assert "rain" in response.message.content
    assert calls_in(llm, response) == []


def test_tool_message_histories_list_content(llm, tools):
    """Text beside the call, arguments as JSON text."""
    call = CALL.model_copy(update={"tool_kwargs": '{"city": "Oslo"}'})
    history = _history([TextBlock(text="Let me look."), call])
    response = llm.chat_with_tools(tools, chat_history=history)
    assert "rain" in response.message.content


@pytest.mark.parametrize("method", METHODS)
async def test_tool_choice(llm, tools, method):
    """Enforced on a question that asks for no tool: any, by name, and none."""
    required = await responses_of(llm, method, tools, "Hello!", tool_required=True)
    assert len(calls_in(llm, required[-1])) == 1
    for choice in ("magic_function", {"type": "function", "function": {"name": "magic_function"}}):
        *_, named = await responses_of(llm, method, tools, "Hello!", tool_choice=choice)
        [(name, kwargs)] = calls_in(llm, named)
        assert name == "magic_function"
        assert type(kwargs["input"]) is int
    *_, none = await responses_of(llm, method, tools, WEATHER, tool_choice="none")
    assert calls_in(llm, none) == []
    assert none.message.content


def test_unknown_tool_choice_is_an_error(llm, tools):
    with pytest.raises(ConfigError, match="magic_function, get_weather"):
        llm.chat_with_tools(tools, "Hello!", tool_choice="paint")


def test_parallel_tool_calls_are_allowed_or_not(llm, tools):
    """Forbidden, a second call cannot be written, however much the history asks for it."""
    both = ChatMessage(
        role="assistant",
        blocks=[
            ToolCallBlock(tool_call_id=c, tool_name="get_weather", tool_kwargs={"city": c})
            for c in ("Rome", "Bonn")
        ],
    )
    results = [ChatMessage("It is dry.", role="tool") for _ in range(2)]
    history = [ChatMessage("What is the weather in Rome and Bonn?"), both, *results]
    question = "What is the weather in Oslo and Lima?"
    options = {"chat_history": history, "tool_required": True}
    one = llm.chat_with_tools(tools, question, **options)
    assert len(calls_in(llm, one)) == 1
    several = llm.chat_with_tools(tools, question, allow_parallel_tool_calls=True, **options)
    ids = [b.tool_call_id for b in several.message.blocks if isinstance(b, ToolCallBlock)]
    assert len(set(ids)) == len(ids) >= 1


def test_tool_calling_with_no_arguments(llm):
    tool = FunctionTool.from_defaults(lambda: 5, name="magic_function_no_args", description="Magic")
    question = "What is the value of magic_function_no_args()? Use the tool."
    response = llm.chat_with_tools([tool], question, tool_required=True)
    assert calls_in(llm, response) == [("magic_function_no_args", {})]
    assert llm.predict_and_call([tool], question, tool_required=True).response == "5"


@pytest.mark.parametrize("asynchronous", [False, True])
async def test_tool_message_error_status(llm, asynchronous):
    """A tool that raises becomes an error output, and its message reaches the model."""

    def get_weather(city: str) -> str:
        """Get the weather of a city."""
        raise RuntimeError(f"no station in {city}")

    tools = [FunctionTool.from_defaults(get_weather)]
    if asynchronous:
        called = await llm.apredict_and_call(tools, WEATHER)
    else:
        called = llm.predict_and_call(tools, WEATHER)
    [output] = called.sources
    assert output.is_error
    assert "no station in Oslo" in output.content
    answer = llm.chat_with_tools(tools, chat_history=_history([CALL], output.content))
    assert answer.message.content
    with pytest.raises(ValueError, match="no station in Oslo"):
        llm.predict_and_call(tools, WEATHER, error_on_tool_error=True)


def test_structured_few_shot_examples(llm, tools):
    examples = [
        *_history([CALL]),
        ChatMessage("rain", role="assistant"),
        ChatMessage(MAGIC),
    ]
    response = llm.chat_with_tools(tools, chat_history=examples)
    assert calls_in(llm, response) == [("magic_function", {"input": 3})]


@ignore_workflows
@pytest.mark.parametrize("streaming", [True, False])
async def test_agent_loop(llm, tools, streaming):
    """The model calls the tool, reads its result and answers from it."""
    agent = FunctionAgent(tools=tools, llm=llm, streaming=streaming)
    handler = agent.run(WEATHER)
    results = [e async for e in handler.stream_events() if isinstance(e, ToolCallResult)]
    output = await handler
    assert [(r.tool_name, r.tool_kwargs) for r in results] == [("get_weather", {"city": "Oslo"})]
    assert "rain" in str(output)


@ignore_workflows
async def test_agent_workflow(llm, tools):
    """``AgentWorkflow`` chooses a function agent by the metadata."""
    workflow = AgentWorkflow.from_tools_or_functions(tools, llm=llm)
    output = await workflow.run(WEATHER)
    assert [call.tool_name for call in output.tool_calls] == ["get_weather"]
    assert "rain" in str(output)


@ignore_workflows
async def test_agents_at_once_do_not_mix(llm, tools):
    questions = [f"What is the weather in {city}?" for city in WEATHERS]
    options = {"tools": tools, "llm": llm, "initial_tool_choice": "get_weather"}
    agents = [FunctionAgent(**options) for _ in questions]
    outputs = await asyncio.gather(*(a.run(q) for a, q in zip(agents, questions, strict=True)))
    for (city, weather), output in zip(WEATHERS.items(), outputs, strict=True):
        assert output.tool_calls
        for result in output.tool_calls:
            assert result.tool_kwargs == {"city": city}
            assert result.tool_output.content == f"{weather}, 12 degrees"


def test_unicode_tool_call_integration(llm):
    """Characters of several bytes come whole out of any draw, and are valid JSON."""

    class Customer(BaseModel):
        customer_name: str

    tool = FunctionTool.from_defaults(
        lambda customer_name: customer_name, name="create_customer", fn_schema=Customer
    )
    for seed in range(4):
        response = llm.chat_with_tools(
            [tool],
            "Create a customer named 你好啊集团.",
            tool_required=True,
            temperature=1.5,
            seed=seed,
        )
        [(name, kwargs)] = calls_in(llm, response)
        assert name == "create_customer"
        assert isinstance(kwargs["customer_name"], str)
        assert "\ufffd" not in kwargs["customer_name"]
    options = {"enum": ["你好啊集团", "おはよう"], "type": "string"}
    schema = {"type": "object", "properties": {"name": options}, "required": ["name"]}
    function = {"name": "choose", "description": "Choose.", "parameters": schema}
    response = llm.chat_with_tools(
        [{"type": "function", "function": function}], "你好", tool_required=True
    )
    [(_, kwargs)] = calls_in(llm, response)
    assert kwargs["name"] in options["enum"]


@pytest.mark.parametrize("method", METHODS)
async def test_callers_history_is_left_as_it_was(llm, tools, method):
    history = [ChatMessage("Hello"), ChatMessage("Hello!", role="assistant")]
    before = [message.model_copy(deep=True) for message in history]
    await responses_of(llm, method, tools, ChatMessage(WEATHER), chat_history=history)
    assert history == before


@pytest.mark.parametrize("method", ["predict_and_call", "apredict_and_call"])
async def test_predict_and_call(llm, tools, method):
    [called] = await responses_of(llm, method, tools, MAGIC)
    assert isinstance(called, AgentChatResponse)
    assert called.response == "5"
    assert called.sources[0].raw_output == 5


def test_no_call_is_an_error_or_not(llm, tools):
    with pytest.raises(ValueError, match="tool_required=True"):
        llm.predict_and_call(tools, "Hello!")
    called = llm.predict_and_call(tools, "Hello!", error_on_no_tool_call=False)
    assert called.sources == []
    assert called.response


async def test_function_calling_program(llm):
    """LlamaIndex's own program over tools, whose streams pass no ``tool_required``."""

    class Weather(BaseModel):
        """The weather of a city."""

        city: str

    program = FunctionCallingProgram.from_defaults(
        output_cls=Weather, llm=llm, prompt_template_str="What is the weather in {city}?"
    )
    assert program(city="Oslo") == Weather(city="Oslo")
    assert await program.acall(city="Oslo") == Weather(city="Oslo")
    *_, streamed = program.stream_call(city="Oslo")
    assert streamed == Weather(city="Oslo")


def test_budget_too_small_for_a_call_is_an_error(llm, tools):
    with pytest.raises(GrammarBudgetError) as caught:
        llm.chat_with_tools(tools, WEATHER, tool_required=True, max_tokens=4)
    assert caught.value.max_tokens == 4


def test_malformed_tool_is_an_error(llm):
    for malformed in (["paint"], [{"function": {"name": 5}}], [{"type": "web_search"}]):
        with pytest.raises(ConfigError, match="A tool is"):
            llm.chat([ChatMessage("Hi")], tools=malformed)
    with pytest.raises(ConfigError, match="list of tools"):
        llm.chat([ChatMessage("Hi")], tools=5)
    schema = {"type": "object", "properties": {"a": {"type": "string", "pattern": "("}}}
    function = {"name": "f", "description": "", "parameters": schema | {"required": ["a"]}}
    with pytest.raises(RequestError):
        llm.chat([ChatMessage("Hi")], tools=[{"type": "function", "function": function}])


def test_call_survives_a_json_round_trip(llm, tools):
    """Chat stores keep messages as JSON."""
    message = llm.chat_with_tools(tools, WEATHER).message
    again = ChatMessage.model_validate(json.loads(message.model_dump_json()))
    assert again == message
