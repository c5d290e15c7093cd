"""LlamaIndex's own engines over this adapter, end to end and without a network."""

import pytest
from llama_index.core import VectorStoreIndex
from llama_index.core.chat_engine import CondensePlusContextChatEngine, SimpleChatEngine
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.schema import Document
from llama_index.core.utils import get_tokenizer

from mlx_backends.engine.mock import MockEngine
from mlx_backends.llama_index import MLXLLM, MLXEmbedding

DOCUMENTS = [
    Document(text="The boat in the harbour is made of cedar."),
    Document(text="The engine in the cellar is made of copper."),
    Document(text="The roof of the mill is made of slate."),
]
QUESTION = "What is the engine made of?"


def answer(prompt: str) -> str:
    """Recite a passage that was retrieved, else how many questions there are."""
    if "engine in the cellar" in prompt or "It is copper" in prompt:
        return "It is copper."
    return f"{prompt.count('user: ')} questions so far."


pytestmark = pytest.mark.usefixtures("event_loop_of_blocking_calls")


@pytest.fixture
def reader(settings) -> MLXLLM:
    return MLXLLM(engine=MockEngine(answer))


@pytest.fixture
def index(settings, embed_model) -> VectorStoreIndex:
    return VectorStoreIndex.from_documents(DOCUMENTS, embed_model=embed_model)


def test_query_engine(index, reader, embedder):
    response = index.as_query_engine(llm=reader, similarity_top_k=1).query(QUESTION)
    assert str(response) == "It is copper."
    assert response.source_nodes[0].text == DOCUMENTS[1].text
    assert [kind for kind, _ in embedder.calls] == ["document", "query"]


async def test_query_engine_async(index, reader):
    response = await index.as_query_engine(llm=reader, similarity_top_k=1).aquery(QUESTION)
    assert str(response) == "It is copper."


async def test_query_engine_streaming(index, reader):
    engine = index.as_query_engine(llm=reader, similarity_top_k=1, streaming=True)
    assert list(engine.query(QUESTION).response_gen) == ["It ", "is ", "copper.", ""]
    response = await engine.aquery(QUESTION)
    assert [token async for token in response.async_response_gen()] == ["It ", "is ", "copper.", ""]


@pytest.mark.parametrize("mode", ["refine", "compact", "tree_summarize", "accumulate"])
async def test_response_modes(index, reader, mode):
    engine = index.as_query_engine(llm=reader, similarity_top_k=3, response_mode=mode)
    assert "It is copper." in str(engine.query(QUESTION))
    assert "It is copper." in str(await engine.aquery(QUESTION))


async def test_chat_engine_with_memory(reader):
    memory = ChatMemoryBuffer.from_defaults(token_limit=1000, tokenizer_fn=reader.tokenize)
    engine = SimpleChatEngine.from_defaults(llm=reader, memory=memory, system_prompt="Be brief.")
    assert str(engine.chat("One?")) == "1 questions so far."
    assert str(await engine.achat("Two?")) == "2 questions so far."
    stream = engine.stream_chat("Three?")
    assert "".join(stream.response_gen) == "3 questions so far."
    astream = await engine.astream_chat("Four?")
    assert "".join([t async for t in astream.async_response_gen()]) == "4 questions so far."
    assert len(memory.get_all()) == 8


async def test_chat_engine_over_an_index(index, reader):
    engine = CondensePlusContextChatEngine.from_defaults(
        index.as_retriever(similarity_top_k=1),
        llm=reader,
        memory=ChatMemoryBuffer.from_defaults(token_limit=1000, tokenizer_fn=reader.tokenize),
    )
    assert str(engine.chat(QUESTION)) == "It is copper."
    assert "".join(engine.stream_chat(QUESTION).response_gen) == "It is copper."
    assert str(await engine.achat(QUESTION)) == "It is copper."


def test_global_settings(settings, reader, embed_model):
    settings.llm = reader
    settings.embed_model = embed_model
    settings.tokenizer = reader.tokenize
    assert settings.llm is reader
    assert settings.embed_model is embed_model
    assert get_tokenizer() == reader.tokenize
    index = VectorStoreIndex.from_documents(DOCUMENTS)
    assert str(index.as_query_engine(similarity_top_k=1).query(QUESTION)) == "It is copper."


def test_splitter_counts_with_the_models_tokenizer(reader):
    splitter = SentenceSplitter(chunk_size=42, chunk_overlap=0, tokenizer=reader.tokenize)
    text = "The boat is cedar. The engine is copper. The roof of the mill is slate."
    chunks = splitter.split_text(text)
    assert chunks == [
        "The boat is cedar. The engine is copper.",
        "The roof of the mill is slate.",
    ]
    assert all(len(reader.tokenize(chunk)) <= 42 for chunk in chunks)


def test_tokenizer_of_llama_index_needs_no_network(settings, monkeypatch):
    """Its tiktoken files are shipped with it; a cache folder of one's own would hide them."""
    monkeypatch.delenv("TIKTOKEN_CACHE_DIR", raising=False)
    assert len(get_tokenizer()("A copper engine.")) == 4


def test_embedding_is_shared_between_index_and_retriever(settings, embedder):
    embed_model = MLXEmbedding(embedder=embedder)
    index = VectorStoreIndex.from_documents(DOCUMENTS, embed_model=embed_model)
    [found] = index.as_retriever(similarity_top_k=1).retrieve("the roof of the mill")
    assert found.text == DOCUMENTS[2].text
    assert found.score == pytest.approx(embed_model.similarity(
        embed_model.get_query_embedding("the roof of the mill"),
        embed_model.get_text_embedding(DOCUMENTS[2].text),
    ))  # fmt: skip
