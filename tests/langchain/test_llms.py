import asyncio

import pytest
from langchain_core.callbacks import BaseCallbackHandler

from mlx_backends import MockEngine, OverloadedError
from mlx_backends.langchain import MLXLLM

REPLY = "once upon a time."


def test_a_prompt_is_not_put_into_a_template():
    engine = MockEngine([REPLY])
    assert MLXLLM(engine=engine).invoke("This happened") == REPLY
    assert engine.calls[0].prompt == "This happened"


async def test_every_face_says_the_same():
    llm = MLXLLM(engine=MockEngine([REPLY]))
    assert "".join(llm.stream("Hi")) == REPLY
    assert await llm.ainvoke("Hi") == REPLY
    assert [text async for text in llm.astream("Hi")] == list(llm.stream("Hi"))
    assert llm.batch(["a", "b"]) == await llm.abatch(["a", "b"]) == [REPLY] * 2


async def test_prompts_of_one_call_run_together(held_engine):
    call = asyncio.create_task(MLXLLM(engine=held_engine).agenerate(["a", "b", "c"]))
    while len(held_engine.channels) < 3:
        await asyncio.sleep(0.001)
    held_engine.finish("more.")
    result = await call
    assert [generation[0].text for generation in result.generations] == ["Once more."] * 3


def test_a_result_says_what_it_cost():
    result = MLXLLM(engine=MockEngine([REPLY])).generate(["ab", "abcd"])
    assert result.llm_output == {
        "model_name": "mock",
        "token_usage": {"prompt_tokens": 6, "completion_tokens": 8, "total_tokens": 14},
    }
    infos = [generation[0].generation_info for generation in result.generations]
    assert [info["usage_metadata"]["input_tokens"] for info in infos] == [2, 4]
    assert {info["finish_reason"] for info in infos} == {"stop"}


async def test_callbacks_hear_every_token_of_a_stream():
    class Listener(BaseCallbackHandler):
        def __init__(self) -> None:
            self.heard: list[str] = []

        def on_llm_new_token(self, token, **kwargs):
            self.heard.append(token)

    llm = MLXLLM(engine=MockEngine([REPLY]))
    listener = Listener()
    list(llm.stream("Hi", config={"callbacks": [listener]}))
    async for _ in llm.astream("Hi", config={"callbacks": [listener]}):
        pass
    assert "".join(listener.heard) == REPLY * 2


def test_one_bad_prompt_aborts_its_companions(held_engine):
    held_engine.capacity = 2
    with pytest.raises(OverloadedError):
        MLXLLM(engine=held_engine).generate(["a", "b", "c"])
    assert [channel.is_abandoned for channel in held_engine.channels] == [True, True]


async def test_cancelling_the_task_aborts_all(held_engine):
    call = asyncio.create_task(MLXLLM(engine=held_engine).agenerate(["a", "b"]))
    while len(held_engine.channels) < 2:
        await asyncio.sleep(0.001)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert all(channel.is_abandoned for channel in held_engine.channels)


def test_leaving_a_stream_aborts(held_engine):
    stream = MLXLLM(engine=held_engine).stream("Hi")
    assert next(stream) == "Once "
    stream.close()
    assert held_engine.channels[0].is_abandoned
