import asyncio
import contextlib
import functools
import operator
import threading
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.messages import AIMessageChunk, HumanMessage, SystemMessage, trim_messages
from langchain_core.output_parsers import StrOutputParser
from langchain_core.prompts import ChatPromptTemplate

from mlx_backends import ContextLengthError, MockEngine, RequestError
from mlx_backends.engine.mock import MockTokenizer
from mlx_backends.langchain import ChatMLX

REPLY = "The sky is blue, and the sea too."


def chat(*replies: Any, **options: Any) -> ChatMLX:
    return ChatMLX(engine=MockEngine(replies or [REPLY]), **options)


def comparable(message: Any) -> dict[str, Any]:
    return message.model_dump(exclude={"id", "type", "tool_call_chunks", "chunk_position"})


@pytest.mark.parametrize("options", [{}, {"logprobs": True, "top_logprobs": 1}, {"max_tokens": 2}])
def test_a_stream_adds_up_to_the_answer(options):
    llm = chat(**options)
    chunks = list(llm.stream("Hi"))
    assert len(chunks) > 2
    assert all(isinstance(chunk, AIMessageChunk) for chunk in chunks)
    whole = functools.reduce(operator.add, chunks)
    assert comparable(whole) == comparable(llm.invoke("Hi"))


async def test_async_answers_are_the_same():
    llm = chat(logprobs=True)
    expected = comparable(llm.invoke("Hi"))
    assert comparable(await llm.ainvoke("Hi")) == expected
    chunks = [chunk async for chunk in llm.astream("Hi")]
    assert comparable(functools.reduce(operator.add, chunks)) == expected
    assert [chunk.content for chunk in chunks] == [chunk.content for chunk in llm.stream("Hi")]


def test_one_chunk_carries_usage_and_the_model():
    chunks = list(chat().stream("Hi"))
    assert [chunk.usage_metadata is not None for chunk in chunks] == [False] * 8 + [True]
    assert ["model_name" in chunk.response_metadata for chunk in chunks] == [False] * 8 + [True]
    assert [chunk.chunk_position for chunk in chunks] == [None] * 8 + ["last"]


def test_an_answer_says_what_it_cost():
    answer = chat().invoke("Hi")
    assert answer.content == REPLY
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] == 8
    assert answer.usage_metadata["input_token_details"] == {"cache_read": 0, "cache_creation": 0}
    assert answer.response_metadata["model_name"] == "mock"
    assert answer.response_metadata["model_provider"] == "mlx"
    assert answer.response_metadata["finish_reason"] == "stop"
    assert answer.response_metadata["timings"]["total_s"] > 0


def test_content_blocks_of_version_one():
    answer = chat(output_version="v1").invoke("Hi")
    assert answer.content == [{"type": "text", "text": REPLY}]


def test_chains_and_templates():
    engine = MockEngine(lambda prompt: prompt.upper())
    prompt = ChatPromptTemplate.from_messages([("system", "Be brief."), ("human", "{question}")])
    chain = prompt | ChatMLX(engine=engine) | StrOutputParser()
    assert chain.invoke({"question": "Why?"}) == "SYSTEM: BE BRIEF.\nUSER: WHY?\nASSISTANT: "


@pytest.mark.parametrize(
    ("constructed", "called", "expected"),
    [
        (None, None, REPLY),
        (["sea"], None, "The sky is blue, and the "),
        (None, ["blue"], "The sky is "),
        (["sky"], ["blue"], "The sky is "),
        (["sky"], [], REPLY),
    ],
)
def test_stop_in_a_call_replaces_the_constructors(constructed, called, expected):
    llm = chat(stop=constructed)
    assert llm.invoke("Hi", stop=called).content == expected
    assert "".join(chunk.text for chunk in llm.stream("Hi", stop=called)) == expected


def test_a_stop_string_is_named():
    assert chat().invoke("Hi", stop=["blue"]).response_metadata["stop_reason"] == "blue"


async def test_many_conversations():
    engine = MockEngine(lambda prompt: prompt)
    llm = ChatMLX(engine=engine)
    prompts = [f"Number {i}" for i in range(20)]
    expected = [f"user: {prompt}\nassistant: " for prompt in prompts]
    assert [answer.content for answer in llm.batch(prompts)] == expected
    assert [answer.content for answer in await llm.abatch(prompts)] == expected
    lists = [[HumanMessage(prompt)] for prompt in prompts]
    assert [g[0].text for g in llm.generate(lists).generations] == expected
    assert [g[0].text for g in (await llm.agenerate(lists)).generations] == expected


async def test_concurrent_calls_reach_the_engine_together(held_engine):
    answers = asyncio.gather(*(ChatMLX(engine=held_engine).ainvoke(f"{i}") for i in range(5)))
    await until(lambda: len(held_engine.channels) == 5)
    held_engine.finish("upon a time.")
    assert {answer.content for answer in await answers} == {"Once upon a time."}


async def test_reading_does_not_block_the_event_loop(held_engine):
    answer = asyncio.create_task(ChatMLX(engine=held_engine).ainvoke("Hi"))
    await until(lambda: held_engine.channels)
    await asyncio.sleep(0.01)
    assert not answer.done()
    held_engine.finish("upon a time.")  # runs on the loop that the answer awaits on
    assert (await answer).content == "Once upon a time."


async def test_making_the_prompt_does_not_block_the_event_loop():
    threads: list[threading.Thread] = []

    class Tokenizer(MockTokenizer):
        def encode_chat(self, *args: Any, **options: Any) -> list[int]:
            threads.append(threading.current_thread())
            return super().encode_chat(*args, **options)

    llm = chat()
    llm.engine.tokenizer = Tokenizer()
    await llm.ainvoke("Hi")
    assert [chunk async for chunk in llm.astream("Hi")]
    assert len(threads) == 2
    assert threading.main_thread() not in threads


def test_leaving_a_stream_aborts(held_engine):
    stream = ChatMLX(engine=held_engine).stream("Hi")
    assert next(stream).content == "Once "
    assert not held_engine.channels[0].is_abandoned
    stream.close()
    assert held_engine.channels[0].is_abandoned


async def test_leaving_an_async_stream_aborts(held_engine):
    stream = ChatMLX(engine=held_engine)._astream([HumanMessage("Hi")])
    async with contextlib.aclosing(stream):
        assert (await anext(stream)).text == "Once "
        assert not held_engine.channels[0].is_abandoned
    assert held_engine.channels[0].is_abandoned


async def test_breaking_out_of_an_async_stream_aborts(held_engine):
    async for _ in ChatMLX(engine=held_engine).astream("Hi"):
        break
    await until(lambda: held_engine.channels[0].is_abandoned)


@pytest.mark.parametrize("method", ["ainvoke", "astream"])
async def test_cancelling_the_task_aborts(method, held_engine):
    llm = ChatMLX(engine=held_engine)

    async def call() -> None:
        if method == "ainvoke":
            await llm.ainvoke("Hi")
        else:
            async for _ in llm.astream("Hi"):
                pass

    task = asyncio.create_task(call())
    await until(lambda: held_engine.channels)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert held_engine.channels[0].is_abandoned


def test_a_callback_that_raises_aborts(held_engine):
    class Stopper(BaseCallbackHandler):
        raise_error = True

        def on_llm_new_token(self, *args: Any, **kwargs: Any) -> None:
            raise RuntimeError("enough")

    with pytest.raises(RuntimeError, match="enough"):
        ChatMLX(engine=held_engine, streaming=True).invoke("Hi", config={"callbacks": [Stopper()]})
    assert held_engine.channels[0].is_abandoned


@pytest.mark.parametrize("streaming", [None, True])
async def test_callbacks_hear_every_token_of_a_stream(streaming):
    class Listener(BaseCallbackHandler):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def on_llm_new_token(self, token: str, **kwargs: Any) -> None:
            self.heard.append(token)

    llm = chat(streaming=streaming)
    listener = Listener()
    config = {"callbacks": [listener]}
    list(llm.stream("Hi", config=config))
    assert "".join(listener.heard) == REPLY
    async for _ in llm.astream("Hi", config=config):
        pass
    assert "".join(listener.heard) == REPLY * 2
    llm.invoke("Hi", config=config)
    await llm.ainvoke("Hi", config=config)
    assert "".join(listener.heard) == REPLY * (4 if streaming else 2)


async def test_errors_arrive_in_every_face():
    llm = chat(RuntimeError("broken"))
    with pytest.raises(RuntimeError, match="broken"):
        llm.invoke("Hi")
    with pytest.raises(RuntimeError, match="broken"):
        list(llm.stream("Hi"))
    with pytest.raises(RuntimeError, match="broken"):
        await llm.ainvoke("Hi")
    with pytest.raises(RuntimeError, match="broken"):
        [chunk async for chunk in llm.astream("Hi")]


def test_a_prompt_that_is_too_long_is_an_error():
    llm = ChatMLX(engine=MockEngine(context_window=20))
    with pytest.raises(ContextLengthError, match="20"):
        llm.invoke("This does not fit into it.")


def test_an_empty_conversation_is_an_error():
    with pytest.raises(RequestError):
        chat().invoke([])


def test_tokens_are_counted_as_a_call_counts_them():
    llm = chat()
    messages = [SystemMessage("Be brief."), HumanMessage("Why?")]
    answer = llm.invoke(messages)
    assert answer.usage_metadata is not None
    assert llm.get_num_tokens_from_messages(messages) == answer.usage_metadata["input_tokens"]
    assert llm.get_num_tokens_from_messages([]) == 0
    assert llm.get_token_ids("né") == [110, 195, 169]
    assert llm.get_num_tokens("né") == 3


def test_own_token_counting_wins():
    assert chat(custom_get_token_ids=lambda text: [1] * 5).get_num_tokens("x") == 5


def test_history_is_trimmed_by_the_models_tokens():
    llm = chat()
    history = [HumanMessage(f"Question number {i}?") for i in range(10)]
    kept = trim_messages(history, max_tokens=60, token_counter=llm, strategy="last")
    assert 0 < len(kept) < 10
    assert llm.get_num_tokens_from_messages(kept) <= 60


def test_template_options_of_the_call_are_added():
    seen: list[dict[str, Any]] = []

    class Tokenizer(MockTokenizer):
        def encode_chat(self, messages: Any, **options: Any) -> list[int]:
            seen.append({name: value for name, value in options.items() if name != "tools"})
            return [1]

    llm = chat(template_options={"enable_thinking": False, "effort": "low"})
    llm.engine.tokenizer = Tokenizer()
    llm.invoke("Hi", template_options={"effort": "high"})
    llm.invoke("Hi")
    assert seen == [
        {"enable_thinking": False, "effort": "high"},
        {"enable_thinking": False, "effort": "low"},
    ]


def test_answers_are_cached_by_model():
    cache = InMemoryCache()
    first = ChatMLX(engine=MockEngine(["one", "two"], model_name="first"), cache=cache)
    second = ChatMLX(engine=MockEngine(["three"], model_name="second"), cache=cache)
    assert [first.invoke("Hi").content, first.invoke("Hi").content] == ["one", "one"]
    assert first.invoke("Hi", temperature=1.0).content == "two"
    assert second.invoke("Hi").content == "three"


async def until(condition: Any) -> None:
    """Let the event loop run until the condition holds; the test's timeout ends a vain wait."""
    while not condition():
        await asyncio.sleep(0.001)
