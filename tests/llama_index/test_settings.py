"""``configure``, the prompt helpers, the splitter and the packer: what they make always fits."""

from pathlib import Path

import pytest
from llama_index.core import Document, VectorStoreIndex
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.node_parser import SentenceSplitter
from llama_index.core.prompts import PromptTemplate
from llama_index.core.prompts.default_prompt_selectors import (
    DEFAULT_TEXT_QA_PROMPT_SEL,
    DEFAULT_TREE_SUMMARIZE_PROMPT_SEL,
)
from llama_index.core.schema import MetadataMode, NodeWithScore, QueryBundle, TextNode
from llama_index.core.utils import get_tokenizer
from pydantic import ValidationError

from mlx_backends import registry
from mlx_backends.engine.mock import MockEngine
from mlx_backends.errors import ConfigError, ContextLengthError
from mlx_backends.llama_index import (
    MLXLLM,
    ContextPacker,
    MLXEmbedding,
    configure,
    prompt_helper,
    splitter_for,
)

DOCS = sorted((Path(__file__).parents[2] / "docs").glob("*.md"))
TEXT = "\n\n".join(path.read_text(encoding="utf-8") for path in DOCS)
# By how much LlamaIndex counts a prompt as longer than it is: roles, padding, the template.
SLACK = 48
QUERY = QueryBundle("What is the default port?")


@pytest.fixture(scope="module", autouse=True)
def _free_models():
    yield
    registry.close_all()


def qa_messages(llm: MLXLLM, context: str, query: str = QUERY.query_str) -> list[ChatMessage]:
    messages = DEFAULT_TEXT_QA_PROMPT_SEL.format_messages(
        llm=llm, context_str=context, query_str=query
    )
    return llm._extend_messages(messages)


@pytest.mark.usefixtures("event_loop_of_blocking_calls")
def test_configure_sets_all_that_depends_on_the_models(settings):
    configure(model="bundled", embed_model="bundled", temperature=0, max_tokens=32)
    assert isinstance(settings.llm, MLXLLM)
    assert isinstance(settings.embed_model, MLXEmbedding)
    assert settings.llm.max_tokens == settings.prompt_helper.num_output == 32
    assert get_tokenizer()(TEXT) == settings.llm.tokenize(TEXT)
    assert settings.chat_prompt_helper.context_window == settings.prompt_helper.context_window
    index = VectorStoreIndex.from_documents([Document(text=TEXT[:8_000])])
    response = index.as_query_engine(similarity_top_k=2).query("How are the adapters installed?")
    assert str(response)


def test_configure_takes_models_and_changes_nothing_if_one_is_bad(settings, llm, embed_model):
    configure(llm, embed_model)
    assert settings.llm is llm
    assert settings.embed_model is embed_model
    with pytest.raises(ValidationError, match="temprature"):
        configure(temprature=0)
    assert settings.llm is llm


@pytest.mark.parametrize("window", [256, 600])
@pytest.mark.parametrize("system_prompt", [None, "You answer in one short sentence."])
def test_prompts_of_the_helper_fit_the_window(window, system_prompt):
    """With its own counts LlamaIndex knows nothing of the chat template."""
    llm = MLXLLM(model="bundled", max_model_len=window, max_tokens=32, system_prompt=system_prompt)
    helper = prompt_helper(llm)
    prompt = PromptTemplate("Context:\n{context_str}\n\nQuestion: {query_str}")
    asked = prompt.partial_format(query_str=QUERY.query_str)
    packed = helper.repack(asked, [TEXT[:12_000]], llm=llm)
    assert len(packed) > 3
    lengths = []
    for context in packed:
        messages = asked.format_messages(llm=llm, context_str=context)
        lengths.append(llm.count_tokens(llm._extend_messages(messages)))
    assert max(lengths) <= window - 32
    assert max(lengths) > 0.8 * (window - 32)  # and it is used


def test_chunks_fit_the_embedding_model():
    embed_model = MLXEmbedding(model="bundled", max_length=64)
    splitter = splitter_for(embed_model)
    document = Document(text=TEXT[:12_000], metadata={"file": "docs/index.md"})
    nodes = splitter.get_nodes_from_documents([document])
    lengths = [embed_model.count_tokens(n.get_content(MetadataMode.EMBED)) for n in nodes]
    assert len(nodes) > 20
    assert max(lengths) <= 64
    assert sorted(lengths)[len(lengths) // 2] > 32
    embed_model.get_text_embedding_batch([n.get_content(MetadataMode.EMBED) for n in nodes])
    assert splitter_for(MLXEmbedding(model="bundled"), chunk_size=100).chunk_size < 100


def nodes_of(size: int, count: int = 40) -> list[NodeWithScore]:
    splitter = SentenceSplitter(chunk_size=size, chunk_overlap=0)
    texts = splitter.split_text(TEXT)[:count]
    assert len(texts) == count
    return [NodeWithScore(node=TextNode(text=t), score=1 - i / 100) for i, t in enumerate(texts)]


@pytest.mark.parametrize("window", [400, 1_000, 4_096])
def test_packer_keeps_as_many_nodes_as_fit_and_no_fewer(window):
    """The next node would not fit, but for the slack."""
    llm = MLXLLM(model="bundled", max_model_len=window, system_prompt="Be brief.")
    nodes = nodes_of(60)
    packer = ContextPacker(llm=llm, num_output=64)
    kept = packer.postprocess_nodes(nodes, QUERY)
    assert kept == nodes[: len(kept)]

    def length(count: int) -> int:
        texts = [scored.node.get_content(MetadataMode.LLM) for scored in nodes[:count]]
        return llm.count_tokens(qa_messages(llm, "\n\n".join(texts)))

    assert 0 < length(len(kept)) <= window - 64
    assert len(kept) == len(nodes) or length(len(kept) + 1) > window - 64 - SLACK


async def test_packer_awaits(llm):
    packer = ContextPacker(llm=llm)
    nodes = nodes_of(60, 4)
    assert await packer.apostprocess_nodes(nodes, QUERY) == nodes
    assert packer.postprocess_nodes([], QUERY) == []


def test_packer_says_what_cannot_fit(engine):
    llm = MLXLLM(engine=MockEngine(context_window=700))
    with pytest.raises(ContextLengthError) as caught:
        ContextPacker(llm=llm, num_output=100).postprocess_nodes(nodes_of(100, 3), QUERY)
    assert caught.value.context_window == 700
    with pytest.raises(ConfigError, match="num_output is 700"):
        ContextPacker(llm=llm, num_output=700).postprocess_nodes(nodes_of(100, 3), QUERY)
    with pytest.raises(ValidationError, match="context_str"):
        ContextPacker(llm=llm, prompt=PromptTemplate("{query_str}"))


@pytest.mark.usefixtures("event_loop_of_blocking_calls")
def test_packed_query_engine_makes_one_call(settings, embed_model):
    engine = MockEngine(["It is 8080."], context_window=4_000)
    llm = MLXLLM(engine=engine, max_tokens=200)
    nodes = [scored.node for scored in nodes_of(60)]
    configure(llm, embed_model)
    index = VectorStoreIndex(nodes)
    packer = ContextPacker(llm=llm, prompt=DEFAULT_TREE_SUMMARIZE_PROMPT_SEL)
    query_engine = index.as_query_engine(
        similarity_top_k=40, node_postprocessors=[packer], response_mode="tree_summarize"
    )
    response = query_engine.query(QUERY.query_str)
    assert str(response) == "It is 8080."
    assert len(engine.calls) == 1
    assert len(engine.calls[0].prompt) <= 4_000 - 200
    assert 1 < len(response.source_nodes) < 40
    for scored in response.source_nodes:
        assert scored.node.get_content(MetadataMode.LLM) in engine.calls[0].prompt
