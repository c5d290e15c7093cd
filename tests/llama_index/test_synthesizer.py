"""``GroundedSynthesizer``: one prompt, numbered passages, citations of nothing else."""

import re

import pytest
from llama_index.core import Settings, VectorStoreIndex
from llama_index.core.base.response.schema import AsyncStreamingResponse, StreamingResponse
from llama_index.core.llms import MockLLM
from llama_index.core.query_engine import RetrieverQueryEngine
from llama_index.core.schema import NodeWithScore, TextNode

from mlx_backends import ConfigError, ContextLengthError, MockEngine, registry
from mlx_backends.llama_index import MLXLLM, GroundedSynthesizer, MLXEmbedding
from mlx_backends.text.grounding import GROUNDED_SYSTEM_PROMPT, REFUSAL

PASSAGES = [
    "The default port of Alder is 8000.",
    "Log files are kept for 14 days.",
    "The command `status` prints the load of every worker.",
]
QUESTION = "How long are log files kept?"


@pytest.fixture(scope="module", autouse=True)
def _free_models():
    yield
    registry.close_all()


@pytest.fixture
def llm() -> MLXLLM:
    return MLXLLM(model="bundled", temperature=0, max_tokens=48)


def nodes() -> list[NodeWithScore]:
    return [NodeWithScore(node=TextNode(text=text), score=1.0) for text in PASSAGES]


def test_the_model_sees_all_passages_and_the_question_in_one_prompt():
    engine = MockEngine(["[2] 14 days"])
    llm = MLXLLM(engine=engine, system_prompt="Be brief.")
    response = GroundedSynthesizer(llm).synthesize(QUESTION, nodes())
    assert str(response) == "[2] 14 days"
    assert response.source_nodes[1].text == PASSAGES[1]
    [call] = engine.calls
    assert "Be brief." in call.prompt
    assert GROUNDED_SYSTEM_PROMPT in call.prompt
    for number, text in enumerate(PASSAGES, start=1):
        assert f"[{number}] {text}" in call.prompt
    assert call.grammar is not None


async def test_every_way_gives_the_same_answer(llm):
    plain, streaming = GroundedSynthesizer(llm), GroundedSynthesizer(llm, streaming=True)
    answer = str(plain.synthesize(QUESTION, nodes()))
    assert answer == "[2] 14 days"
    assert str(await plain.asynthesize(QUESTION, nodes())) == answer
    streamed = streaming.synthesize(QUESTION, nodes())
    assert isinstance(streamed, StreamingResponse)
    pieces = list(streamed.response_gen)
    assert len(pieces) > 3
    assert "".join(pieces) == answer
    awaited = await streaming.asynthesize(QUESTION, nodes())
    assert isinstance(awaited, AsyncStreamingResponse)
    assert "".join([piece async for piece in awaited.response_gen]) == answer


def test_whatever_is_drawn_only_given_passages_are_cited(tiny_lm):
    """From a model of random weights."""
    llm = MLXLLM(model=str(tiny_lm), temperature=2.0, max_tokens=24)
    for seed in range(6):
        llm.seed = seed
        answer = str(GroundedSynthesizer(llm).synthesize(QUESTION, nodes()))
        cited = {int(number) for number in re.findall(r"\[(\d+)\]", answer)}
        assert answer == REFUSAL or cited
        assert cited <= {1, 2, 3}


def test_without_enforcement_the_model_writes_as_it_likes(tiny_lm):
    engine = MockEngine(["Whatever [9]."])
    synthesizer = GroundedSynthesizer(MLXLLM(engine=engine), cites_only_given=False)
    assert str(synthesizer.synthesize(QUESTION, nodes())) == "Whatever [9]."
    assert engine.calls[0].grammar is None


def test_passages_that_do_not_fit_are_an_error():
    llm = MLXLLM(engine=MockEngine(context_window=200))
    with pytest.raises(ContextLengthError, match="200"):
        GroundedSynthesizer(llm).synthesize(QUESTION, nodes())


def test_another_kind_of_model_is_refused():
    with pytest.raises(ConfigError, match="MockLLM"):
        GroundedSynthesizer(MockLLM())


def test_the_settings_model_is_the_default(llm):
    before = Settings._llm
    Settings.llm = llm
    try:
        assert str(GroundedSynthesizer().synthesize(QUESTION, nodes())) == "[2] 14 days"
    finally:
        Settings._llm = before


@pytest.mark.usefixtures("event_loop_of_blocking_calls")
def test_in_a_query_engine(llm):
    index = VectorStoreIndex(
        [TextNode(text=text) for text in PASSAGES], embed_model=MLXEmbedding(model="bundled")
    )
    engine = RetrieverQueryEngine(
        retriever=index.as_retriever(similarity_top_k=2),
        response_synthesizer=GroundedSynthesizer(llm),
    )
    response = engine.query(QUESTION)
    number = int(re.findall(r"\[(\d)\]", str(response))[0])
    assert response.source_nodes[number - 1].text == PASSAGES[1]
    assert "14 days" in str(response)
