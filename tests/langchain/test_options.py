"""What ``ChatMLX`` and ``MLXLLM`` share: options, engines, traces, serialisation."""

import dataclasses
from typing import Any

import pytest
from langchain_core.load import dumpd, load
from langchain_core.runnables import ConfigurableField
from pydantic import ValidationError

from mlx_backends import ConfigError, EngineConfig, MockEngine, SamplingParams
from mlx_backends.langchain import MLXLLM, ChatMLX

both = pytest.mark.parametrize("cls", [ChatMLX, MLXLLM])
load_is_beta = pytest.mark.filterwarnings("ignore:The function `load` is in beta")
EVERY_OPTION: dict[str, Any] = {
    "max_tokens": 5,
    "temperature": 0.5,
    "top_p": 0.9,
    "top_k": 40,
    "min_p": 0.1,
    "seed": 7,
    "repetition_penalty": 1.1,
    "presence_penalty": 0.2,
    "frequency_penalty": 0.3,
    "stop": ["x"],
    "logprobs": True,
    "top_logprobs": 2,
}


@both
def test_options_reach_the_engine(cls):
    engine = MockEngine()
    cls(engine=engine, **EVERY_OPTION).invoke("Hi")
    cls(engine=engine).invoke("Hi", **EVERY_OPTION)
    cls(engine=engine).invoke("Hi")
    expected = SamplingParams.from_options(**EVERY_OPTION)
    assert [c.sampling_params for c in engine.calls] == [expected, expected, SamplingParams()]


@both
def test_a_calls_options_win(cls):
    engine = MockEngine()
    llm = cls(engine=engine, temperature=0.5, top_k=3)
    llm.invoke("Hi", temperature=0, min_tokens=2, top_k=None)
    llm.bind(temperature=1.0).invoke("Hi")
    first, second = (call.sampling_params for call in engine.calls)
    assert (first.temperature, first.min_tokens, first.top_k) == (0, 2, 3)
    assert second.temperature == 1.0


@both
@pytest.mark.parametrize(
    "options",
    [
        {"temprature": 0.5},
        {"temperature": -1},
        {"stop": [""]},
        {"device": "tpu"},
        {"max_model_len": 0},
        {"base_url": "http://x"},
    ],
)
def test_a_bad_option_of_the_constructor_is_an_error(cls, options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        cls(**options)


@both
@pytest.mark.parametrize("options", [{"num_predict": 5}, {"temperature": "hot"}, {"n": 2}])
async def test_a_bad_option_of_a_call_is_an_error(cls, options):
    engine = MockEngine()
    llm = cls(engine=engine)
    with pytest.raises(ConfigError, match=next(iter(options))):
        llm.invoke("Hi", **options)
    with pytest.raises(ConfigError, match=next(iter(options))):
        [chunk async for chunk in llm.astream("Hi", **options)]
    assert engine.calls == []


def test_what_langchain_passes_on_is_not_the_users_error():
    llm = ChatMLX(engine=MockEngine())
    assert llm.invoke("Hi", stream=False).content == "Hello."
    assert llm.invoke("Hi", stream=True).content == "Hello."
    structured = {"kwargs": {}, "schema": {"title": "A", "type": "object", "properties": {}}}
    assert llm.invoke("Hi", ls_structured_output_format=structured).content == "Hello."


@both
def test_equal_options_share_an_engine(cls, shared_engines):
    cls(model="a", temperature=1.0).invoke("Hi")
    cls(model="a", device="cpu").invoke("Hi")
    cls(model="a").invoke("Hi")
    assert list(shared_engines) == [EngineConfig(model="a"), EngineConfig(model="a", device="cpu")]


@both
def test_a_model_from_the_environment(cls, monkeypatch, shared_engines):
    monkeypatch.setenv("MLX_BACKENDS_MODEL", "from/env")
    assert cls().model == "from/env"
    assert cls(model="named").model == "named"
    assert cls(engine=MockEngine()).model is None


@both
def test_an_engine_has_its_own_options(cls):
    with pytest.raises(ValidationError, match="model, dtype cannot be set together with engine"):
        cls(engine=MockEngine(), model="a", dtype="float32")


async def test_a_call_can_name_another_model(shared_engines):
    llm = ChatMLX(model="a", revision="v1", max_model_len=100)
    answers = [
        llm.invoke("Hi"),
        llm.invoke("Hi", model="b"),
        await llm.ainvoke("Hi", model="b"),
        list(llm.stream("Hi", model="b"))[-1],
        [chunk async for chunk in llm.astream("Hi", model="b")][-1],
        llm.invoke("Hi", model="a"),
    ]
    names = [answer.response_metadata["model_name"] for answer in answers]
    assert names == ["a", "b", "b", "b", "b", "a"]
    assert list(shared_engines) == [
        EngineConfig(model="a", revision="v1", max_model_len=100),
        EngineConfig(model="b", max_model_len=100),
    ]


def test_a_call_can_leave_and_name_a_passed_engine(shared_engines):
    own = MockEngine(["Mine."], model_name="own")
    llm = ChatMLX(engine=own)
    assert llm.invoke("Hi", model="own").content == "Mine."
    assert llm.invoke("Hi", model="b").content == "I am b."


@both
def test_traces_name_the_model_and_options(cls):
    llm = cls(model="a", temperature=0.5, max_tokens=9, stop=["x"])
    params = llm._get_ls_params()
    assert params["ls_provider"] == "mlx"
    assert params["ls_model_name"] == "a"
    assert params["ls_temperature"] == 0.5
    assert params["ls_max_tokens"] == 9
    assert params["ls_stop"] == ["x"]
    called = llm._get_ls_params(stop=["y"], model="b", temperature=1, max_tokens=2)
    assert called["ls_model_name"] == "b"
    assert called["ls_temperature"] == 1
    assert called["ls_max_tokens"] == 2
    assert called["ls_stop"] == ["y"]


@both
def test_traces_name_the_model_that_no_option_names(cls):
    assert cls()._get_ls_params()["ls_model_name"] == "bundled"
    assert cls(engine=MockEngine())._get_ls_params()["ls_model_name"] == "mock"
    assert "mlx-backends" in cls().metadata["lc_versions"]


@both
def test_identifying_params_leave_out_what_was_not_set(cls):
    params = cls(model="a", top_k=5)._identifying_params
    assert {**params, "template_options": {}} == {
        "model": "a",
        "device": "auto",
        "dtype": "auto",
        "top_k": 5,
        "template_options": {},
    }


@load_is_beta
@both
def test_serialisation_round_trip(cls):
    llm = cls(model="a", device="cpu", **EVERY_OPTION)
    revived = load(dumpd(llm), allowed_objects=[cls], valid_namespaces=["mlx_backends"])
    assert revived == llm
    assert dumpd(revived) == dumpd(llm)


@load_is_beta
@both
def test_a_passed_engine_is_serialised_as_its_models_name(cls):
    data = dumpd(cls(engine=MockEngine(model_name="a"), top_k=5))
    revived = load(data, allowed_objects=[cls], valid_namespaces=["mlx_backends"])
    assert revived == cls(model="a", top_k=5)


@both
def test_options_can_be_configured_at_run_time(cls):
    engine = MockEngine()
    llm = cls(engine=engine).configurable_fields(temperature=ConfigurableField(id="heat"))
    llm.invoke("Hi", config={"configurable": {"heat": 0.9}})
    assert engine.calls[0].sampling_params.temperature == 0.9


@both
def test_sampling_options_are_the_engines(cls):
    names = {field.name for field in dataclasses.fields(SamplingParams)}
    assert set(EVERY_OPTION) == names & set(cls.model_fields)


def test_kv_bits_reach_the_engine():
    llm = ChatMLX(model="a", kv_bits=8)
    assert llm._engine_config("a").cache.kv_bits == 8
    with pytest.raises(ValidationError, match="kv_bits must be 8, 4 or None"):
        ChatMLX(model="a", kv_bits=3)
