"""Calls at once: one continuous batch, the same answers, a free event loop, one engine."""

import asyncio
import contextlib
import threading
import time
from collections.abc import Iterator

import pytest
from llama_index.core import Document, SummaryIndex
from llama_index.core.query_engine import SubQuestionQueryEngine
from llama_index.core.question_gen.types import BaseQuestionGenerator, SubQuestion
from llama_index.core.response_synthesizers import TreeSummarize
from llama_index.core.tools import QueryEngineTool

from mlx_backends import registry
from mlx_backends.config import EngineConfig
from mlx_backends.langchain import ChatMLX
from mlx_backends.llama_index import MLXLLM, prompt_helper

from .conftest import PORTS, ask_port, right_answer

SERVERS = [f"{first}{second}" for first in ("Al", "Be", "Ce", "Du") for second in ("dor", "mer")]


class RunningWatch:
    """The most sequences of an engine that ran at once."""

    def __init__(self, engine) -> None:
        self.most = 0
        self._engine = engine
        self._is_over = threading.Event()

    @contextlib.contextmanager
    def watching(self) -> Iterator["RunningWatch"]:
        watcher = threading.Thread(target=self._watch)
        watcher.start()
        try:
            yield self
        finally:
            self._is_over.set()
            watcher.join()

    def _watch(self) -> None:
        while not self._is_over.is_set():
            self.most = max(self.most, self._engine.stats().running)
            time.sleep(0.002)


@pytest.fixture
def engine():
    return registry.get_engine(EngineConfig(model="bundled"))


@pytest.fixture
def watch(engine) -> RunningWatch:
    return RunningWatch(engine)


async def test_thirty_two_chats_are_one_batch_with_the_same_answers(llm, watch):
    questions = [ask_port(name) for name in PORTS] * 8
    one_by_one = [(await llm.achat(question)).message.content for question in questions[:4]] * 8
    with watch.watching():
        responses = await asyncio.gather(*map(llm.achat, questions))
    assert [response.message.content for response in responses] == one_by_one
    assert watch.most == 32


async def test_thirty_two_chats_leave_the_loop_free(llm, worst_loop_gap):
    await llm.achat(ask_port("Elm"))  # loads the weights

    async def work() -> None:
        await asyncio.gather(*map(llm.achat, [ask_port(name) for name in PORTS] * 8))

    assert await worst_loop_gap(work) < 0.05


async def test_tree_summarize_is_one_batch(llm, watch):
    """The fan-out of a summary over many chunks."""
    small = MLXLLM(model="bundled", temperature=0, max_tokens=24, max_model_len=256)
    engine = registry.get_engine(EngineConfig(model="bundled", max_model_len=256))
    summarize = TreeSummarize(llm=small, prompt_helper=prompt_helper(small), use_async=True)
    chunks = [f"The default port of {name} is {4000 + i}. " * 12 for i, name in enumerate(SERVERS)]
    watch = RunningWatch(engine)
    with watch.watching():
        summary = await summarize.aget_response("What is the default port of Aldor?", chunks)
    assert summary
    assert watch.most >= 4


class EachServer(BaseQuestionGenerator):
    """A sub-question for every tool."""

    def generate(self, tools, query):
        return [
            SubQuestion(
                sub_question=f"What is the default port of {tool.name}?", tool_name=tool.name
            )
            for tool in tools
        ]

    async def agenerate(self, tools, query):
        return self.generate(tools, query)

    def _get_prompts(self):
        return {}

    def _update_prompts(self, prompts):
        pass


async def test_sub_questions_are_one_batch(llm, watch):
    tools = [
        QueryEngineTool.from_defaults(
            SummaryIndex.from_documents(
                [Document(text=f"The default port of {name} is {4000 + i}.")]
            ).as_query_engine(llm=llm),
            name=name,
            description=f"About {name}.",
        )
        for i, name in enumerate(SERVERS)
    ]
    query_engine = SubQuestionQueryEngine(
        question_gen=EachServer(),
        response_synthesizer=TreeSummarize(llm=llm),
        query_engine_tools=tools,
        verbose=False,
        use_async=True,
    )
    with watch.watching():
        response = await query_engine.aquery("Which ports?")
    answers = {node.node.get_content() for node in response.source_nodes}
    for i, name in enumerate(SERVERS):
        assert any(name in answer and str(4000 + i) in answer for answer in answers)
    assert watch.most >= 4


async def test_two_frameworks_share_one_engine(llm):
    """The same engine object, its weights loaded once, whoever asks."""
    registry.close_all()
    engine = registry.get_engine(EngineConfig(model="bundled"))
    chat = ChatMLX(model="bundled", temperature=0, max_tokens=48)
    assert chat._engine_for(None) is llm._engine() is engine
    before = engine.stats().finished
    turns = [(m.role.value.replace("user", "human"), m.content) for m in ask_port("Cedar")]
    answers = {
        (await chat.ainvoke(turns)).content,
        (await llm.achat(ask_port("Cedar"))).message.content,
        ChatMLX(engine=llm._engine(), max_tokens=48).invoke(turns).content,
        MLXLLM(engine=engine, max_tokens=48).chat(ask_port("Cedar")).message.content,
    }
    assert answers == {right_answer("Cedar")}
    assert engine.stats().finished == before + 4
    assert len(registry._engines) == 1
