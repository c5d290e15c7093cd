"""The suite that LangChain has for chat models, mirrored for completion models.

Runs on the bundled model through the real engine; the edges of ``MLXLLM`` are in test_llms.py.
"""

import asyncio
import re
from collections.abc import Iterator
from typing import Any

import pytest
from langchain_core.caches import InMemoryCache
from langchain_core.callbacks import BaseCallbackHandler
from langchain_core.language_models.llms import BaseLLM
from langchain_core.load import dumpd, load
from langchain_core.output_parsers import StrOutputParser
from langchain_core.outputs import GenerationChunk
from langchain_core.prompts import PromptTemplate
from langchain_core.runnables import RunnableParallel

from mlx_backends import ConfigError, ContextLengthError, bundled, registry
from mlx_backends.errors import GrammarBudgetError
from mlx_backends.langchain import MLXLLM

PROMPT = "The default port of the server is"
PROMPTS = [PROMPT, "Log files are kept for", "A command that prints", "Hello", "1 2 3 4"]


@pytest.fixture(scope="module")
def llm() -> Iterator[MLXLLM]:
    yield MLXLLM(model="bundled", temperature=0, max_tokens=12)
    registry.close_all()


def test_invoke(llm):
    text = llm.invoke(PROMPT)
    assert isinstance(text, str)
    assert text
    assert llm.get_num_tokens(text) <= 12


async def test_every_face_says_the_same(llm):
    text = llm.invoke(PROMPT)
    chunks = list(llm.stream(PROMPT))
    assert len(chunks) > 3
    assert "".join(chunks) == text
    assert await llm.ainvoke(PROMPT) == text
    assert "".join([chunk async for chunk in llm.astream(PROMPT)]) == text


async def test_a_batch_equals_its_parts(llm):
    alone = [llm.invoke(prompt) for prompt in PROMPTS]
    assert llm.batch(PROMPTS) == alone
    assert await llm.abatch(PROMPTS) == alone
    assert [g[0].text for g in llm.generate(PROMPTS).generations] == alone
    by_index = dict(llm.batch_as_completed(PROMPTS))
    assert [by_index[index] for index in range(len(PROMPTS))] == alone


async def test_a_batch_runs_together(llm):
    engine = registry.get_engine(llm._engine_config(llm.model))
    call = asyncio.create_task(llm.bind(max_tokens=40, ignore_eos=True).abatch(PROMPTS))
    most = 0
    while not call.done():
        most = max(most, engine.stats().running)
        await asyncio.sleep(0.001)
    assert most == len(PROMPTS)


async def test_parallel_runnables_run_together(llm):
    engine = registry.get_engine(llm._engine_config(llm.model))
    bound = llm.bind(max_tokens=40, ignore_eos=True)
    call = asyncio.create_task(RunnableParallel(a=bound, b=bound, c=bound).ainvoke(PROMPT))
    most = 0
    while not call.done():
        most = max(most, engine.stats().running)
        await asyncio.sleep(0.001)
    assert most == 3
    assert len(set((await call).values())) == 1


def test_results_say_what_they_cost(llm):
    result = llm.generate([PROMPT])
    assert result.llm_output is not None
    usage = result.llm_output["token_usage"]
    assert usage["prompt_tokens"] == llm.get_num_tokens(PROMPT)
    assert 0 < usage["completion_tokens"] <= 12
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    info = result.generations[0][0].generation_info
    assert info is not None
    assert info["model_name"] == "bundled"
    assert info["finish_reason"] in ("stop", "length")
    assert info["timings"]["decode_tokens_per_s"] > 0
    assert info["usage_metadata"]["input_token_details"].keys() == {"cache_read", "cache_creation"}


def test_the_last_chunk_of_a_stream_says_what_it_cost(llm):
    chunks = list(llm._stream(PROMPT))
    assert all(isinstance(chunk, GenerationChunk) for chunk in chunks)
    told = [c.generation_info for c in chunks if "usage_metadata" in (c.generation_info or {})]
    assert told == [chunks[-1].generation_info]


@pytest.mark.parametrize("where", ["constructor", "call"])
def test_a_stop_string_stops(where, llm):
    free = llm.invoke(PROMPT)
    stop = free[2:5]
    if where == "call":
        text = llm.invoke(PROMPT, stop=[stop])
    else:
        text = MLXLLM(model="bundled", max_tokens=12, stop=[stop]).invoke(PROMPT)
    assert text == free[: free.index(stop)]


def test_options_of_a_call_win(llm):
    assert llm.get_num_tokens(llm.invoke(PROMPT, max_tokens=3)) <= 3
    drawn = [llm.invoke(PROMPT, temperature=1.5, seed=seed) for seed in (1, 1, 2, 3, 4)]
    assert drawn[0] == drawn[1]
    assert len(set(drawn)) > 2
    assert llm.bind(max_tokens=2).invoke(PROMPT) == llm.invoke(PROMPT, max_tokens=2)


async def test_the_model_of_a_call_wins(llm, tiny_lm):
    other = str(tiny_lm)
    for result in (
        llm.generate([PROMPT], model=other),
        await llm.agenerate([PROMPT], model=other),
    ):
        info = result.generations[0][0].generation_info
        assert info is not None
        assert info["model_name"] == other


def test_unknown_options_are_errors(llm):
    with pytest.raises(ConfigError, match="temperatur"):
        llm.invoke(PROMPT, temperatur=1)
    with pytest.raises(ValueError, match="temperatur"):
        MLXLLM(temperatur=1)


def test_a_prompt_that_is_too_long_is_an_error(llm):
    with pytest.raises(ContextLengthError, match="4,096"):
        llm.invoke("word " * 5_000)


async def test_grammars(llm):
    bound = llm.bind(grammar={"regex": "[0-9]{4}"})
    assert re.fullmatch("[0-9]{4}", bound.invoke(PROMPT))
    assert "".join(bound.stream(PROMPT)) == bound.invoke(PROMPT) == await bound.ainvoke(PROMPT)
    assert all(re.fullmatch("[0-9]{4}", text) for text in bound.batch(PROMPTS))
    with pytest.raises(GrammarBudgetError):
        bound.invoke(PROMPT, max_tokens=1, grammar={"regex": "[0-9]{40}"})


def test_callbacks_and_tracing(llm):
    class Listener(BaseCallbackHandler):
        def __init__(self) -> None:
            self.starts: list[dict[str, Any]] = []
            self.ends = 0

        def on_llm_start(self, serialized, prompts, *, invocation_params=None, **kwargs) -> None:
            self.starts.append({"prompts": prompts, "options": invocation_params})

        def on_llm_end(self, response, **kwargs) -> None:
            self.ends += 1

    listener = Listener()
    llm.invoke(PROMPT, config={"callbacks": [listener]}, top_k=5)
    assert listener.starts[0]["prompts"] == [PROMPT]
    assert listener.starts[0]["options"]["model"] == "bundled"
    assert listener.ends == 1
    assert llm._get_ls_params()["ls_model_type"] == "llm"


async def test_events(llm):
    events = [event async for event in llm.astream_events(PROMPT, version="v2")]
    assert events[0]["event"] == "on_llm_start"
    assert events[-1]["event"] == "on_llm_end"
    text = "".join(e["data"]["chunk"] for e in events if e["event"] == "on_llm_stream")
    assert text == llm.invoke(PROMPT)


def test_answers_are_cached(llm):
    cached = MLXLLM(model="bundled", temperature=0, max_tokens=12, cache=InMemoryCache())
    engine = registry.get_engine(llm._engine_config(llm.model))
    first = cached.invoke(PROMPT)
    submitted = engine.stats().submitted
    assert cached.invoke(PROMPT) == first
    assert engine.stats().submitted == submitted
    assert cached.invoke(PROMPT, max_tokens=2) != first


def test_templates_parsers_and_fallbacks(llm):
    chain = PromptTemplate.from_template("The {thing} is") | llm | StrOutputParser()
    assert chain.invoke({"thing": "default port of the server"}) == llm.invoke(
        "The default port of the server is"
    )
    broken = MLXLLM(model="/no/such/folder")
    assert broken.with_fallbacks([llm]).invoke(PROMPT) == llm.invoke(PROMPT)


async def test_cancelling_frees_the_engine(llm):
    engine = registry.get_engine(llm._engine_config(llm.model))
    long = llm.bind(max_tokens=2_000, ignore_eos=True)
    task = asyncio.create_task(long.ainvoke(PROMPT))
    while not engine.stats().running:
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    for chunk in long.stream(PROMPT):
        assert isinstance(chunk, str)
        break
    while engine.stats().running:
        await asyncio.sleep(0.001)
    assert llm.invoke(PROMPT)


@pytest.mark.filterwarnings("ignore:The function `load` is in beta")
def test_serialisation(llm):
    path = str(bundled.path("lm"))
    model = MLXLLM(model=path, top_k=3, stop=["x"])
    revived = load(dumpd(model), allowed_objects=[MLXLLM], valid_namespaces=["mlx_backends"])
    assert revived == model
    assert issubclass(MLXLLM, BaseLLM)


def test_the_environment_names_the_model(monkeypatch):
    monkeypatch.setenv("MLX_BACKENDS_MODEL", "from/env")
    assert MLXLLM().model == "from/env"
