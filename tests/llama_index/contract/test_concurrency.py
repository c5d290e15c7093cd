"""Calls at once: one continuous batch, the same answers, a free event loop, one engine."""

import asyncio

import mlx.core as mx
import numpy as np
import pytest
from langchain_core.documents import Document as LangChainDocument
from llama_index.core import Document, SummaryIndex
from llama_index.core.query_engine import SubQuestionQueryEngine
from llama_index.core.question_gen.types import BaseQuestionGenerator, SubQuestion
from llama_index.core.response_synthesizers import TreeSummarize
from llama_index.core.schema import NodeWithScore, TextNode
from llama_index.core.tools import QueryEngineTool

from mlx_backends import registry
from mlx_backends.config import EngineConfig
from mlx_backends.langchain import ChatMLX, MLXEmbeddings
from mlx_backends.langchain import MLXRerank as LangChainRerank
from mlx_backends.llama_index import MLXLLM, MLXRerank, prompt_helper

from .conftest import PASSAGES, PORTS, ask_port, right_answer

SERVERS = [f"{first}{second}" for first in ("Al", "Be", "Ce", "Du") for second in ("dor", "mer")]


@pytest.fixture
def fresh_engine():
    """Function to the shared engine of a configuration, whose statistics begin at nothing."""
    registry.close_all()
    return lambda **options: registry.get_engine(EngineConfig(model="bundled", **options))


async def test_thirty_two_chats_are_one_batch_with_the_same_answers(
    llm, fresh_engine, hold_until_submitted
):
    engine = fresh_engine()
    questions = [ask_port(name) for name in PORTS] * 8
    one_by_one = [(await llm.achat(question)).message.content for question in questions[:4]] * 8
    hold_until_submitted(engine, 32)
    await asyncio.gather(*(llm.achat(q, ignore_eos=True) for q in questions))
    assert engine.stats().largest_batch == 32
    responses = await asyncio.gather(*map(llm.achat, questions))
    assert [response.message.content for response in responses] == one_by_one


async def test_thirty_two_chats_leave_the_loop_free(llm, worst_loop_gap):
    await llm.achat(ask_port("Elm"))  # loads the weights

    async def work() -> None:
        await asyncio.gather(*map(llm.achat, [ask_port(name) for name in PORTS] * 8))

    assert await worst_loop_gap(work) < 0.05


async def test_tree_summarize_is_one_batch(fresh_engine, hold_until_submitted):
    """The fan-out of a summary over many chunks."""
    engine = fresh_engine(max_model_len=256)
    small = MLXLLM(model="bundled", temperature=0, max_tokens=24, max_model_len=256)
    summarize = TreeSummarize(llm=small, prompt_helper=prompt_helper(small), use_async=True)
    chunks = [f"The default port of {name} is {4000 + i}. " * 12 for i, name in enumerate(SERVERS)]
    hold_until_submitted(engine, 8)
    summary = await summarize.aget_response("What is the default port of Aldor?", chunks)
    assert summary
    assert engine.stats().largest_batch >= 8


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


async def test_sub_questions_are_one_batch(llm, fresh_engine, hold_until_submitted):
    engine = fresh_engine()
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
    hold_until_submitted(engine, len(SERVERS))
    response = await query_engine.aquery("Which ports?")
    answers = {node.node.get_content() for node in response.source_nodes}
    for i, name in enumerate(SERVERS):
        assert any(name in answer and str(4000 + i) in answer for answer in answers)
    assert engine.stats().largest_batch == len(SERVERS)


async def test_two_frameworks_share_one_engine(llm, fresh_engine):
    """The same engine object, its weights loaded once, whoever asks."""
    engine = fresh_engine()
    chat = ChatMLX(model="bundled", temperature=0, max_tokens=48)
    assert chat._engine_for(None) is llm._engine() is engine
    turns = [(m.role.value.replace("user", "human"), m.content) for m in ask_port("Cedar")]
    answers = {
        (await chat.ainvoke(turns)).content,
        (await llm.achat(ask_port("Cedar"))).message.content,
        ChatMLX(engine=llm._engine(), max_tokens=48).invoke(turns).content,
        MLXLLM(engine=engine, max_tokens=48).chat(ask_port("Cedar")).message.content,
    }
    assert answers == {right_answer("Cedar")}
    assert engine.stats().finished == 4
    assert list(registry._engines.values()) == [engine]


def held() -> list[object]:
    """All models of the process."""
    return [
        *registry._engines.values(),
        *registry._embedders.values(),
        *registry._rerankers.values(),
    ]


def test_a_pipeline_changes_frameworks_without_loading_again(llm, embed_model, fresh_engine):
    """Embed, rerank, answer: three models in memory, whichever framework asks."""
    fresh_engine()
    question = ask_port("Elm")
    query = question[1].content.rpartition("Question: ")[2]
    vectors = embed_model.get_text_embedding_batch(PASSAGES)
    nodes = [NodeWithScore(node=TextNode(text=text)) for text in PASSAGES]
    best = MLXRerank(model="bundled", top_n=2).postprocess_nodes(nodes, query_str=query)
    answer = llm.chat(question).message.content
    models, memory = held(), mx.get_active_memory()
    assert len(models) == 3

    np.testing.assert_allclose(
        MLXEmbeddings(model="bundled").embed_documents(PASSAGES), vectors, atol=1e-6
    )
    documents = [LangChainDocument(text) for text in PASSAGES]
    kept = LangChainRerank(model="bundled", top_n=2).compress_documents(documents, query)
    assert [document.page_content for document in kept] == [node.text for node in best]
    turns = [(m.role.value.replace("user", "human"), m.content) for m in question]
    assert ChatMLX(model="bundled", temperature=0, max_tokens=48).invoke(turns).content == answer
    assert held() == models
    # The cache of keys and values may grow; the language model's weights alone are 52 MB.
    assert mx.get_active_memory() < memory + 20_000_000
