"""The models of the contract: the bundled ones, through the real engine."""

import inspect
from collections.abc import Iterator, Sequence
from typing import Any

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.tools import FunctionTool

from mlx_backends import registry
from mlx_backends.llama_index import MLXLLM, MLXEmbedding
from mlx_backends.text.grounding import grounded_messages

PORTS = {name: 8000 + 7 * i for i, name in enumerate(["Alder", "Birch", "Cedar", "Elm"])}
WEATHER = {"Oslo": "rain", "Lima": "fog", "Rome": "sun", "Bonn": "snow"}
PASSAGES = [f"The default port of {name} is {port}." for name, port in PORTS.items()]


def ask_port(name: str) -> list[ChatMessage]:
    """A question over the passages that the bundled model answers with the right port."""
    turns = grounded_messages(f"What is the default port of {name}?", PASSAGES)
    return [ChatMessage(role=turn["role"], content=turn["content"]) for turn in turns]


def right_answer(name: str) -> str:
    return f"[{list(PORTS).index(name) + 1}] {PORTS[name]}"


async def responses_of(llm: MLXLLM, method: str, *args: Any, **options: Any) -> list:
    """All responses of any method; one that does not stream gives one."""
    result = getattr(llm, method)(*args, **options)
    if inspect.iscoroutine(result):
        result = await result
    if hasattr(result, "__aiter__"):
        return [item async for item in result]
    return list(result) if hasattr(result, "__next__") else [result]


def calls_in(llm: MLXLLM, response: Any) -> list[tuple[str, dict]]:
    selections = llm.get_tool_calls_from_response(response, error_on_no_tool_call=False)
    return [(selection.tool_name, selection.tool_kwargs) for selection in selections]


def _get_weather(city: str) -> str:
    """Get the weather of a city."""
    return f"{WEATHER.get(city, 'fog')}, 12 degrees"


def _magic_function(input: int) -> int:
    """Apply a magic function to an input."""
    return input + 2


@pytest.fixture(scope="module", autouse=True)
def _free_models() -> Iterator[None]:
    yield
    registry.close_all()


@pytest.fixture
def llm() -> MLXLLM:
    return MLXLLM(model="bundled", temperature=0, max_tokens=48)


@pytest.fixture
def embed_model() -> MLXEmbedding:
    return MLXEmbedding(model="bundled")


@pytest.fixture
def tools() -> Sequence[FunctionTool]:
    return [
        FunctionTool.from_defaults(_magic_function, name="magic_function"),
        FunctionTool.from_defaults(_get_weather, name="get_weather"),
    ]
