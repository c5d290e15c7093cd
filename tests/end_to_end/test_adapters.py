"""Both frameworks on the bundled models through the real engine."""

import asyncio

import numpy as np
import pytest
from langchain_core.documents import Document
from langchain_core.messages import convert_to_messages
from langchain_core.runnables import RunnableLambda
from langchain_core.vectorstores import InMemoryVectorStore
from llama_index.core import VectorStoreIndex
from llama_index.core.llms import ChatMessage
from llama_index.core.schema import TextNode

from mlx_backends import registry
from mlx_backends.config import EngineConfig
from mlx_backends.langchain import MLXLLM as LangChainLLM
from mlx_backends.langchain import ChatMLX, MLXEmbeddings
from mlx_backends.langchain import MLXRerank as LangChainRerank
from mlx_backends.llama_index import MLXLLM, MLXEmbedding, MLXRerank
from mlx_backends.text.grounding import grounded_messages

PORTS = {name: 8000 + 7 * i for i, name in enumerate(["Alder", "Birch", "Cedar", "Elm"])}
PASSAGES = [f"The default port of {name} is {port}." for name, port in PORTS.items()]
OPTIONS = {"model": "bundled", "temperature": 0, "max_tokens": 32}


def grounded(name: str) -> list[dict]:
    return grounded_messages(f"What is the default port of {name}?", PASSAGES)


def llama_index_messages(name: str) -> list[ChatMessage]:
    return [ChatMessage(role=turn["role"], content=turn["content"]) for turn in grounded(name)]


@pytest.fixture(scope="module", autouse=True)
def _free_models():
    yield
    registry.close_all()


@pytest.fixture
def chat():
    return ChatMLX(**OPTIONS)


@pytest.fixture
def llm():
    return MLXLLM(**OPTIONS)


@pytest.mark.parametrize("name", PORTS)
async def test_every_face_of_both_frameworks_gives_the_same_right_answer(chat, llm, name):
    """Eight ways to ask, one answer, with the citation of the right passage."""
    turns, messages = grounded(name), llama_index_messages(name)
    answers = {
        chat.invoke(turns).content,
        "".join(chunk.content for chunk in chat.stream(turns)),
        (await chat.ainvoke(turns)).content,
        "".join([chunk.content async for chunk in chat.astream(turns)]),
        llm.chat(messages).message.content,
        list(llm.stream_chat(messages))[-1].message.content,
        (await llm.achat(messages)).message.content,
        "".join([response.delta async for response in await llm.astream_chat(messages)]),
    }
    assert answers == {f"[{list(PORTS).index(name) + 1}] {PORTS[name]}"}


async def test_a_batch_is_what_its_parts_are(chat):
    conversations = [grounded(name) for name in PORTS]
    one_by_one = [chat.invoke(turns).content for turns in conversations]
    assert [m.content for m in chat.batch(conversations)] == one_by_one
    assert [m.content for m in await chat.abatch(conversations)] == one_by_one


def test_usage_counts_what_the_tokenizer_counts(chat):
    messages = convert_to_messages(grounded("Elm"))
    message = chat.invoke(messages)
    counted = chat.get_num_tokens_from_messages(messages)
    assert message.usage_metadata["input_tokens"] == counted
    assert message.response_metadata["finish_reason"] == "stop"
    assert message.response_metadata["timings"]["time_to_first_token_s"] > 0


def test_a_stop_string_stops_and_is_not_in_the_text(chat):
    whole = chat.invoke(grounded("Cedar")).content
    assert chat.invoke(grounded("Cedar"), stop=["14"]).content == whole.partition("14")[0]


def test_completion_continues_raw_text():
    llm = LangChainLLM(model="bundled", max_tokens=4, temperature=0)
    both = llm.generate(["The default port is", "The default port is"])
    first, second = (generations[0].text for generations in both.generations)
    assert first == second
    assert both.llm_output["token_usage"]["completion_tokens"] == 8


def test_both_frameworks_use_one_engine(chat, llm):
    engine = registry.get_engine(EngineConfig(model="bundled"))
    before = engine.stats().finished
    chat.invoke("Hello")
    llm.complete("Hello")
    assert engine.stats().finished == before + 2


def test_both_frameworks_give_the_same_vectors():
    texts = ["The default port is 8080.", "Logs are kept for 14 days.", "x"]
    one = np.array(MLXEmbeddings(model="bundled").embed_documents(texts))
    other = np.array(MLXEmbedding(model_name="bundled").get_text_embedding_batch(texts))
    np.testing.assert_allclose(one, other, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-5)


def test_a_question_is_nearer_to_its_passage_than_to_others():
    embeddings = MLXEmbeddings(model="bundled")
    vectors = np.array(embeddings.embed_documents(PASSAGES))
    for index, name in enumerate(PORTS):
        query = np.array(embeddings.embed_query(f"What is the default port of {name}?"))
        assert int((vectors @ query).argmax()) == index


def test_a_langchain_retriever_is_reranked(chat):
    """Retrieve all, keep the best one, answer from it."""
    store = InMemoryVectorStore(MLXEmbeddings(model="bundled"))
    store.add_documents([Document(text) for text in PASSAGES])
    rerank = LangChainRerank(model="bundled", top_n=1)
    retriever = store.as_retriever(search_kwargs={"k": len(PASSAGES)})
    chain = RunnableLambda(
        lambda query: rerank.compress_documents(retriever.invoke(query), query)
    ) | RunnableLambda(lambda best: [document.page_content for document in best])
    for index, name in enumerate(PORTS):
        question = f"What is the default port of {name}?"
        kept = chain.invoke(question)
        assert kept == [PASSAGES[index]]
        assert chat.invoke(grounded_messages(question, kept)).content == f"[1] {PORTS[name]}"


@pytest.mark.usefixtures("event_loop_of_blocking_calls")
def test_a_llama_index_query_engine_reranks(llm):
    index = VectorStoreIndex(
        [TextNode(text=text) for text in PASSAGES], embed_model=MLXEmbedding(model="bundled")
    )
    engine = index.as_query_engine(
        llm=llm,
        similarity_top_k=len(PASSAGES),
        node_postprocessors=[MLXRerank(model="bundled", top_n=1)],
    )
    for position, name in enumerate(PORTS):
        response = engine.query(f"What is the default port of {name}?")
        assert [node.text for node in response.source_nodes] == [PASSAGES[position]]
        assert str(PORTS[name]) in str(response)


@pytest.mark.parametrize("framework", ["langchain", "llama-index"])
async def test_four_streams_leave_the_event_loop_free(chat, llm, framework, worst_loop_gap):
    async def read(name):
        if framework == "langchain":
            return [chunk async for chunk in chat.astream(grounded(name))]
        return [r async for r in await llm.astream_chat(llama_index_messages(name))]

    assert len(await read("Elm")) > 1  # imports and loads, which is not what is measured
    assert await worst_loop_gap(lambda: asyncio.gather(*map(read, PORTS))) < 0.05
