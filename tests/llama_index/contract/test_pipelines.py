"""LlamaIndex's engines, agents aside, on the bundled models: each answers a question rightly."""

import pytest
from llama_index.core import Document, SummaryIndex, VectorStoreIndex
from llama_index.core.base.llms.types import (
    ChatMessage,
    CitableBlock,
    CitationBlock,
    TextBlock,
)
from llama_index.core.chat_engine import ContextChatEngine, SimpleChatEngine
from llama_index.core.ingestion import IngestionCache, IngestionPipeline
from llama_index.core.memory import ChatMemoryBuffer
from llama_index.core.query_engine import CitationQueryEngine, RouterQueryEngine
from llama_index.core.selectors import PydanticMultiSelector, PydanticSingleSelector
from llama_index.core.tools import QueryEngineTool

from mlx_backends.llama_index import splitter_for

from .conftest import PASSAGES, PORTS, right_answer

DOCUMENTS = [Document(text=text) for text in PASSAGES]
QUESTION = "What is the default port of Cedar?"
MANUAL = [
    "The default port of the server is 8080. It can be changed in the file server.toml.",
    "Log files are kept for 14 days. After that they are removed.",
    "The command `status` prints the load of every worker.",
]

pytestmark = pytest.mark.usefixtures("event_loop_of_blocking_calls")


@pytest.fixture
def index(embed_model) -> VectorStoreIndex:
    return VectorStoreIndex.from_documents(
        DOCUMENTS, embed_model=embed_model, transformations=[splitter_for(embed_model)]
    )


async def test_citable_blocks_come_back_as_citations(llm):
    """LlamaIndex's blocks for models with citations of their own."""
    passages = [
        CitableBlock(title=name, source=f"{name.lower()}.md", content=text)
        for name, text in zip(PORTS, PASSAGES, strict=True)
    ]
    response = await llm.achat([ChatMessage(blocks=[*passages, TextBlock(text=QUESTION)])])
    text, citation = response.message.blocks
    assert text == TextBlock(text=right_answer("Cedar"))
    assert citation == CitationBlock(
        cited_content=PASSAGES[2],
        source="cedar.md",
        title="Cedar",
        additional_location_info={"index": 3, "start_line": 1, "end_line": 1},
    )


def test_citation_query_engine(llm, index):
    engine = CitationQueryEngine.from_args(index, llm=llm, similarity_top_k=2)
    response = engine.query(QUESTION)
    assert str(PORTS["Cedar"]) in str(response)
    assert any(node.node.get_content().startswith("Source ") for node in response.source_nodes)


@pytest.mark.parametrize("streaming", [False, True])
def test_query_engine(llm, embed_model, streaming):
    index = VectorStoreIndex.from_documents(
        [Document(text=text) for text in MANUAL],
        embed_model=embed_model,
        transformations=[splitter_for(embed_model)],
    )
    engine = index.as_query_engine(llm=llm, similarity_top_k=2, streaming=streaming)
    assert "8080" in str(engine.query("What is the default port of the server?"))


@pytest.mark.parametrize("selector", [PydanticSingleSelector, PydanticMultiSelector])
async def test_router(llm, selector):
    """The choice is constrained, and so always one that the selector can read."""
    tools = [
        QueryEngineTool.from_defaults(
            SummaryIndex.from_documents([document]).as_query_engine(llm=llm),
            name=name,
            description=f"The default port of {name}.",
        )
        for name, document in zip(PORTS, DOCUMENTS, strict=True)
    ]
    chosen = selector.from_defaults(llm=llm).select([t.metadata for t in tools], QUESTION)
    assert chosen.selections or selector is PydanticMultiSelector  # which may choose none
    for selection in chosen.selections:
        assert type(selection.index) is int
        assert type(selection.reason) is str


async def test_router_query_engine(llm):
    document = Document(text=PASSAGES[0])
    tool = QueryEngineTool.from_defaults(
        SummaryIndex.from_documents([document]).as_query_engine(llm=llm),
        description="The default port of Alder.",
    )

    class First(PydanticSingleSelector):
        def _select(self, choices, query):
            selected = super()._select(choices, query)
            selected.selections[0].index = 0  # which of them is no matter of the format
            return selected

        async def _aselect(self, choices, query):
            return self._select(choices, query)

    engine = RouterQueryEngine(
        selector=First.from_defaults(llm=llm), query_engine_tools=[tool], llm=llm
    )
    assert "8000" in str(await engine.aquery("What is the default port of Alder?"))


async def test_chat_engine_with_memory(llm):
    memory = ChatMemoryBuffer.from_defaults(token_limit=1_000, tokenizer_fn=llm.tokenize)
    engine = SimpleChatEngine.from_defaults(llm=llm, memory=memory)
    assert str(engine.chat("Hello"))
    stream = await engine.astream_chat("Hello again")
    assert "".join([text async for text in stream.async_response_gen()])
    roles = [message.role.value for message in memory.get_all()]
    assert roles == ["user", "assistant"] * 2


async def test_context_chat_engine(llm, index):
    engine = ContextChatEngine.from_defaults(
        index.as_retriever(similarity_top_k=2),
        llm=llm,
        memory=ChatMemoryBuffer.from_defaults(token_limit=1_000, tokenizer_fn=llm.tokenize),
    )
    assert str(PORTS["Cedar"]) in str(await engine.achat(QUESTION))


def test_ingestion_pipeline_with_cache(embed_model):
    """What was embedded once is not embedded again."""
    pipeline = IngestionPipeline(
        transformations=[splitter_for(embed_model), embed_model], cache=IngestionCache()
    )
    first = pipeline.run(documents=DOCUMENTS)
    asked = []
    object.__setattr__(embed_model, "_get_text_embeddings", asked.append)
    second = pipeline.run(documents=DOCUMENTS)
    assert asked == []
    assert [node.embedding for node in first] == [node.embedding for node in second]
    assert all(len(node.embedding) == len(first[0].embedding) > 8 for node in first)


@pytest.mark.slow
def test_ingestion_pipeline_with_workers(embed_model):
    """Workers are processes, each with an embedder of its own."""
    pipeline = IngestionPipeline(transformations=[splitter_for(embed_model), embed_model])
    alone = {node.text: node.embedding for node in pipeline.run(documents=DOCUMENTS)}
    nodes = pipeline.run(documents=DOCUMENTS, num_workers=2)
    assert {node.text for node in nodes} == alone.keys()
    for node in nodes:
        assert node.embedding == pytest.approx(alone[node.text], abs=1e-5)


async def test_async_workers_and_progress(embed_model, capsys):
    embed_model.num_workers, embed_model.embed_batch_size = 2, 1
    vectors = await embed_model.aget_text_embedding_batch(PASSAGES, show_progress=True)
    assert vectors == [
        pytest.approx(v, abs=1e-5) for v in map(embed_model.get_text_embedding, PASSAGES)
    ]
    embed_model.get_text_embedding_batch(PASSAGES, show_progress=True)
    assert "Generating embeddings" in capsys.readouterr().err
