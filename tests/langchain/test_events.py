"""What LangChain's observers see of ``ChatMLX``: events of every version, limits, caches."""

import functools
import operator
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import AsyncCallbackHandler, BaseCallbackHandler
from langchain_core.globals import set_llm_cache
from langchain_core.rate_limiters import BaseRateLimiter
from langchain_core.tools import tool

from mlx_backends import MockEngine
from mlx_backends.langchain import ChatMLX

pytestmark = pytest.mark.filterwarnings("ignore:.*is in beta")  # of LangChain's third version
REPLY = "The sky is blue, and the sea too."


def chat(*replies: Any, **options: Any) -> ChatMLX:
    return ChatMLX(engine=MockEngine(replies or [REPLY]), **options)


@tool
def get_port(name: str) -> str:
    """Return the port of a server."""
    return name


@pytest.fixture(scope="module")
def bundled() -> ChatMLX:
    return ChatMLX(model="bundled", temperature=0, max_tokens=64)


def names_of(events: list[Any]) -> list[str]:
    return [event["event"] for event in events]


def deltas_of(events: list[Any], field: str) -> str:
    deltas = [event["delta"] for event in events if event["event"] == "content-block-delta"]
    return "".join(delta.get(field) or "" for delta in deltas)


async def test_version_three_of_a_text():
    stream = chat().stream_events("Hi", version="v3")
    events = list(stream)
    assert names_of(events) == [
        "message-start",
        "content-block-start",
        *["content-block-delta"] * 8,
        "content-block-finish",
        "message-finish",
    ]
    assert deltas_of(events, "text") == REPLY
    assert events[-2]["content"] == {"type": "text", "text": REPLY}
    assert events[-1]["usage"]["output_tokens"] == 8
    assert stream.output.text == REPLY
    assert stream.output.response_metadata["finish_reason"] == "stop"
    awaited = await chat().astream_events("Hi", version="v3")
    assert names_of([event async for event in awaited]) == names_of(events)


def test_version_three_of_a_call(bundled):
    bound = bundled.bind_tools([get_port])
    stream = bound.stream_events("What is the port of Harlow?", version="v3")
    events = list(stream)
    [begun] = [e["content"] for e in events if e["event"] == "content-block-start"]
    [finished] = [e["content"] for e in events if e["event"] == "content-block-finish"]
    assert (begun["type"], begun["name"], begun["args"]) == ("tool_call_chunk", "get_port", "")
    assert (finished["type"], finished["args"]) == ("tool_call", {"name": "Harlow"})
    assert begun["id"] == finished["id"]
    assert names_of(events).count("content-block-delta") > 3
    assert deltas_of(events, "args") == '{"name": "Harlow"}'
    assert [call["args"] for call in stream.output.tool_calls] == [{"name": "Harlow"}]


def test_version_three_of_reasoning(reasoning_lm):
    llm = ChatMLX(model=str(reasoning_lm), temperature=1.0, seed=3, max_tokens=40)
    stream = llm.stream_events("Is it?", version="v3", grammar={"choice": ["yes", "no"]})
    events = list(stream)
    finished = [e["content"] for e in events if e["event"] == "content-block-finish"]
    assert [block["type"] for block in finished] == ["reasoning", "text"]
    assert deltas_of(events, "reasoning") == finished[0]["reasoning"]
    assert deltas_of(events, "text") == finished[1]["text"] in ("yes", "no")
    usage = events[-1]["usage"]
    assert 0 < usage["output_token_details"]["reasoning"] < usage["output_tokens"]
    assert str(stream.reasoning) == finished[0]["reasoning"]


async def test_version_two():
    events = [event async for event in chat().astream_events("Hi", version="v2")]
    assert events[0]["event"] == "on_chat_model_start"
    assert events[-1]["event"] == "on_chat_model_end"
    chunks = [e["data"]["chunk"] for e in events if e["event"] == "on_chat_model_stream"]
    assert functools.reduce(operator.add, chunks).content == REPLY


async def test_async_callbacks_hear_every_token():
    class Listener(AsyncCallbackHandler):
        def __init__(self) -> None:
            self.heard: list[str] = []
            self.ends = 0

        async def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
            self.heard.append(token)

        async def on_llm_end(self, response: Any, **kwargs: Any) -> None:
            self.ends += 1

    listener = Listener()
    async for _ in chat().astream("Hi", config={"callbacks": [listener]}):
        pass
    assert "".join(listener.heard) == REPLY
    assert listener.ends == 1


def test_observers_hear_of_errors():
    class Listener(BaseCallbackHandler):
        errors: list[BaseException] = []  # noqa: RUF012

        def on_llm_error(self, error: BaseException, **kwargs: Any) -> None:
            self.errors.append(error)

    with pytest.raises(RuntimeError, match="broken"):
        chat(RuntimeError("broken")).invoke("Hi", config={"callbacks": [Listener()]})
    assert [str(error) for error in Listener.errors] == ["broken"]


async def test_a_rate_limiter_is_asked_once_a_call():
    class Limiter(BaseRateLimiter):
        def __init__(self) -> None:
            self.asked: list[str] = []

        def acquire(self, *, blocking: bool = True) -> bool:
            self.asked.append("sync")
            return True

        async def aacquire(self, *, blocking: bool = True) -> bool:
            self.asked.append("async")
            return True

    limiter = Limiter()
    llm = chat(rate_limiter=limiter)
    llm.invoke("Hi")
    list(llm.stream("Hi"))
    list(llm.stream_events("Hi", version="v3"))
    assert limiter.asked == ["sync"] * 3
    await llm.ainvoke("Hi")
    assert [chunk async for chunk in llm.astream("Hi")]
    assert limiter.asked[3:] == ["async"] * 2


@pytest.fixture
def global_cache():
    cache = InMemoryCache()
    set_llm_cache(cache)
    yield cache
    set_llm_cache(None)


async def test_the_global_cache_is_used(global_cache):
    llm = chat("one", "two", "three")
    assert [llm.invoke("Hi").content, (await llm.ainvoke("Hi")).content] == ["one", "one"]
    assert llm.invoke("Hi", grammar={"choice": ["a"]}).content == "two"
    assert chat("four", cache=False).invoke("Hi").content == "four"
    cached = llm.invoke("Hi")
    assert cached.usage_metadata is not None
