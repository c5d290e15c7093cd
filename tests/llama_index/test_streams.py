"""Leaving a stream early, not blocking the event loop, and what observers see."""

import asyncio
import contextlib
import threading
import time

import pytest
from llama_index.core.callbacks import CallbackManager, TokenCountingHandler
from llama_index.core.llms import ChatMessage

from mlx_backends.engine.mock import MockEngine
from mlx_backends.errors import ConfigError
from mlx_backends.llama_index import MLXLLM

HISTORY = [ChatMessage(content="Hi")]
STREAMS = [("stream_chat", HISTORY), ("stream_complete", "Hi")]


@pytest.mark.parametrize(("method", "given"), STREAMS)
def test_closing_a_stream_aborts_the_request(endless, events, method, given):
    stream = getattr(MLXLLM(engine=endless), method)(given)
    assert next(stream).delta == "one "
    assert endless.aborted == [False]
    stream.close()
    assert endless.aborted == [True]
    assert events.names[-1] == "ExceptionEvent"  # its frames are kept here, and do not matter


@pytest.mark.parametrize(("method", "given"), STREAMS)
async def test_closing_an_async_stream_aborts_the_request(endless, events, method, given):
    stream = await getattr(MLXLLM(engine=endless), f"a{method}")(given)
    assert (await anext(stream)).delta == "one "
    assert endless.aborted == [False]
    await stream.aclose()
    assert endless.aborted == [True]
    assert events.names[-1] == "ExceptionEvent"


@pytest.mark.parametrize(("method", "given"), STREAMS)
async def test_cancelling_the_reader_aborts_the_request(endless, method, given):
    llm = MLXLLM(engine=endless)
    read = []

    async def read_stream() -> None:
        async for response in await getattr(llm, f"a{method}")(given):
            read.append(response.delta)

    reader = asyncio.create_task(read_stream())
    while len(read) < 3:
        await asyncio.sleep(0.001)
    reader.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reader
    assert endless.aborted == [True]


@pytest.mark.parametrize(("method", "given"), [("achat", HISTORY), ("acomplete", "Hi")])
async def test_cancelling_a_whole_answer_aborts_the_request(endless, method, given):
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(getattr(MLXLLM(engine=endless), method)(given), 0.1)
    assert endless.aborted == [True]


def test_stream_that_is_never_read_aborts_when_dropped():
    channels = []

    class Engine(MockEngine):
        def submit(self, *args, **kwargs):
            handle = super().submit(*args, **kwargs)
            channels.append(handle._channel)
            return handle

    stream = MLXLLM(engine=Engine()).stream_chat(HISTORY)
    assert not channels[0].is_abandoned
    del stream
    assert channels[0].is_abandoned


async def test_tokenizing_does_not_block_the_event_loop(monkeypatch):
    engine = MockEngine()
    threads = []

    def slow_encode(*_, **__):
        threads.append(threading.current_thread())
        time.sleep(0.3)
        return [104, 105]

    monkeypatch.setattr(engine.tokenizer, "encode_chat", slow_encode)
    beats = 0

    async def heartbeat() -> None:
        nonlocal beats
        while True:
            await asyncio.sleep(0.01)
            beats += 1

    llm = MLXLLM(engine=engine)
    heart = asyncio.create_task(heartbeat())
    await asyncio.gather(llm.achat(HISTORY), llm.acomplete("Hi"))
    async for _ in await llm.astream_chat(HISTORY):
        pass
    heart.cancel()
    assert beats >= 30
    assert threading.main_thread() not in threads


async def test_async_call_asks_for_no_metadata(monkeypatch):
    """LlamaIndex's payload would read the model's files on the event loop."""

    def fail(_self):
        raise AssertionError("metadata was read")

    monkeypatch.setattr(MLXLLM, "metadata", property(fail))
    assert (await MLXLLM(engine=MockEngine()).achat(HISTORY)).message.content == "Hello."


async def test_many_async_calls_run_beside_each_other():
    llm = MLXLLM(engine=MockEngine(lambda prompt: prompt.split("user: ")[1].split("\n")[0]))
    texts = [str(n) for n in range(50)]
    responses = await asyncio.gather(*(llm.acomplete(text) for text in texts))
    assert [response.text for response in responses] == texts


@pytest.mark.parametrize(
    ("method", "given", "kind"),
    [("chat", HISTORY, "Chat"), ("complete", "Hi", "Completion")],
)
@pytest.mark.parametrize("prefix", ["", "stream_", "a", "astream_"])
async def test_instrumentation_events_fire(llm, events, prefix, method, given, kind):
    response = getattr(llm, prefix + method)(given, temperature=0.5)
    if prefix.startswith("a"):
        response = await response
    if prefix == "stream_":
        response = list(response)[-1]
    elif prefix == "astream_":
        response = [item async for item in response][-1]
    progress = [f"LLM{kind}InProgressEvent"] * (6 if "stream" in prefix else 0)
    assert events.names == [f"LLM{kind}StartEvent", *progress, f"LLM{kind}EndEvent"]
    start, end = events.events[0], events.events[-1]
    assert start.model_dict["class_name"] == "MLXLLM"
    assert start.additional_kwargs == {"temperature": 0.5}
    assert end.response == response
    assert end.span_id == start.span_id is not None


def test_failed_call_fires_an_end(endless, events):
    counter = TokenCountingHandler(tokenizer=str.split)
    llm = MLXLLM(engine=endless, callback_manager=CallbackManager([counter]))
    with pytest.raises(ConfigError):
        llm.stream_chat(HISTORY, unknown=1)
    assert events.names[0] == "LLMChatStartEvent"
    assert endless.handles == []


@pytest.mark.parametrize("prefix", ["", "stream_", "a", "astream_"])
@pytest.mark.parametrize(("method", "given"), [("chat", HISTORY), ("complete", "Hi")])
async def test_token_counter_counts_the_engines_tokens_once(engine, prefix, method, given):
    def no_guess(text: str) -> list[str]:
        raise AssertionError("the counter fell back to its own tokenizer")

    counter = TokenCountingHandler(tokenizer=no_guess)
    llm = MLXLLM(engine=engine, callback_manager=CallbackManager([counter]))
    response = getattr(llm, prefix + method)(given)
    if prefix.startswith("a"):
        response = await response
    if "stream" in prefix:
        with contextlib.suppress(TypeError):
            list(response)
        if prefix.startswith("a"):
            [item async for item in response]
    assert counter.prompt_llm_token_count == len(engine.calls[0].prompt)
    assert counter.completion_llm_token_count == 5
