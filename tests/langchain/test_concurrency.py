"""Calls at once on the bundled model: one continuous batch, and nothing left behind."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.prompts import ChatPromptTemplate
from langchain_core.runnables import RunnableParallel
from langchain_core.tools import tool

from mlx_backends import Engine, EngineConfig, OverloadedError
from mlx_backends.langchain import MLXLLM, ChatMLX
from mlx_backends.text.grounding import grounded_messages

COUNT = 20  # more than LangChain's own threads on any small machine
PORTS = {f"{first}{last}": 4_000 + i * 10 + j
         for i, first in enumerate(("Al", "Be", "Ce", "Du"))
         for j, last in enumerate(("dor", "mer", "nis", "pa", "rok"))}  # fmt: skip
NAMES = list(PORTS)


def asked_about(name: str) -> list:
    others = [other for other in NAMES if other != name][:2]
    passages = [f"The default port of {n} is {PORTS[n]}." for n in (others[0], name, others[1])]
    return grounded_messages(f"What is the default port of {name}?", passages)


@pytest.fixture
def engine():
    """One of its own, whose statistics begin at nothing."""
    with Engine(EngineConfig(model="bundled")) as engine:
        engine.load()
        yield engine


@pytest.fixture
def llm(engine) -> ChatMLX:
    return ChatMLX(engine=engine, temperature=0, max_tokens=48)


@pytest.fixture
def talkative(llm):
    """Goes on until all have begun."""
    return llm.bind(ignore_eos=True)


PROMPTS = [f"Number {i}" for i in range(COUNT)]
BATCHES = {
    "batch": lambda llm: llm.batch(PROMPTS),
    "batch_as_completed": lambda llm: list(llm.batch_as_completed(PROMPTS)),
    "abatch": lambda llm: asyncio.run(llm.abatch(PROMPTS)),
    "chain": lambda llm: (ChatPromptTemplate.from_messages([("human", "{n}")]) | llm).batch(
        [{"n": prompt} for prompt in PROMPTS]
    ),
    "branches": lambda llm: asyncio.run(
        RunnableParallel(dict.fromkeys(PROMPTS, llm)).ainvoke("Hello")
    ),
}


@pytest.mark.parametrize("way", BATCHES)
@pytest.mark.parametrize("cls", [ChatMLX, MLXLLM])
def test_all_of_a_batch_reaches_the_engine_before_any_has_ended(held_engine, cls, way):
    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(BATCHES[way], cls(engine=held_engine))
        wait_for(lambda: len(held_engine.channels) == COUNT)
        held_engine.finish("upon a time.")
        assert len(answers.result()) == COUNT


@pytest.mark.parametrize("cls", [ChatMLX, MLXLLM])
def test_the_callers_own_limit_counts(held_engine, cls):
    with ThreadPoolExecutor(1) as pool:
        llm = cls(engine=held_engine)
        configs = [{"max_concurrency": 3, "tags": [prompt]} for prompt in PROMPTS[:3]]
        answers = pool.submit(llm.batch, PROMPTS[:3], config=configs)
        wait_for(lambda: len(held_engine.channels) == 3)
        held_engine.finish("upon a time.")
        assert len(answers.result()) == 3
        more = pool.submit(llm.batch, PROMPTS, config={"max_concurrency": 3})
        for count in range(6, 3 + COUNT, 3):
            wait_for(lambda count=count: len(held_engine.channels) == count)
            time.sleep(0.02)
            assert len(held_engine.channels) == count  # no more of them
            held_engine.finish("upon a time.")
        wait_for(lambda: len(held_engine.channels) == 3 + COUNT)
        held_engine.finish("upon a time.")
        assert len(more.result()) == COUNT


def test_the_engine_steps_them_together(engine, talkative, hold_until_submitted):
    hold_until_submitted(engine, COUNT)
    talkative.batch(PROMPTS)
    assert engine.stats().largest_batch == COUNT


def wait_for(condition: Callable[[], bool]) -> None:
    """The test's timeout ends a vain wait."""
    while not condition():
        time.sleep(0.001)


def test_right_answers_come_out_of_a_batch(llm):
    answers = llm.batch([asked_about(name) for name in NAMES])
    wrong = [
        (name, answer.content)
        for name, answer in zip(NAMES, answers, strict=True)
        if answer.content != f"[2] {PORTS[name]}"
    ]
    assert not wrong
    assert [llm.invoke(asked_about(name)).content for name in NAMES[:4]] == [
        answer.content for answer in answers[:4]
    ]


def test_one_error_is_returned_beside_the_answers(llm):
    prompts = ["Hello", "x " * 6_000, "Hello again"]
    answers = llm.batch(prompts, return_exceptions=True)
    assert [type(answer).__name__ for answer in answers] == [
        "AIMessage",
        "ContextLengthError",
        "AIMessage",
    ]


async def test_a_full_queue_is_a_typed_error():
    with Engine(EngineConfig(model="bundled", max_num_seqs=1, max_num_waiting=1)) as engine:
        llm = ChatMLX(engine=engine, max_tokens=16)
        answers = await llm.abatch(["Hello"] * 12, return_exceptions=True)
        assert {type(answer).__name__ for answer in answers} == {"AIMessage", "OverloadedError"}
        with pytest.raises(OverloadedError, match="max_num_waiting"):
            await llm.abatch(["Hello"] * 12)


async def test_cancelling_a_batch_frees_its_blocks(engine, llm):
    endless = llm.bind(max_tokens=2_000, ignore_eos=True)
    task = asyncio.create_task(endless.abatch([f"Number {i}" for i in range(8)]))
    while engine.stats().largest_batch < 8:
        await asyncio.sleep(0.005)
    assert engine.stats().blocks_in_use > 0
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await until_idle(engine)
    assert engine.stats().aborted == 8


@pytest.mark.filterwarnings("ignore:.*is in beta")
@pytest.mark.parametrize("way", ["stream", "astream", "events"])
async def test_leaving_a_stream_frees_its_blocks(engine, llm, way):
    endless = llm.bind(max_tokens=2_000, ignore_eos=True)
    if way == "astream":
        async for _ in endless.astream("Hello"):
            break
    else:
        stream = endless.stream("Hello") if way == "stream" else events_of(endless)
        next(iter(stream))
        del stream
    await until_idle(engine)
    assert engine.stats().aborted == 1


def events_of(llm):
    """Once a text has begun."""
    stream = iter(llm.stream_events("Hello", version="v3"))
    next(event for event in stream if event["event"] == "content-block-delta")
    return stream


async def until_idle(engine) -> None:
    while engine.stats().running:
        await asyncio.sleep(0.005)
    assert engine.stats().blocks_in_use == 0
    assert engine.stats().cache_bytes == 0


async def test_agents_at_once_do_not_mix(engine, llm):
    @tool
    def get_port(name: str) -> str:
        """Return the port of a server."""
        return str(PORTS[name])

    agent = create_agent(llm, [get_port])
    names = NAMES[:8]
    states = await asyncio.gather(
        *(agent.ainvoke({"messages": [HumanMessage(f"What is the port of {n}?")]}) for n in names)
    )
    for name, state in zip(names, states, strict=True):
        _, call, result, answer = state["messages"]
        assert [c["args"] for c in call.tool_calls] == [{"name": name}]
        assert result.content == str(PORTS[name])
        assert str(PORTS[name]) in answer.content
    assert engine.stats().largest_batch >= 2
