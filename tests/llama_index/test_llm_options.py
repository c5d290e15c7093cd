"""``MLXLLM``: what its constructor takes, and which engine that names."""

import pickle
import time
from pathlib import Path

import pytest
from llama_index.core.base.llms.types import ChatMessage
from llama_index.core.constants import DEFAULT_NUM_OUTPUTS
from pydantic import ValidationError

from mlx_backends import registry
from mlx_backends.config import EngineConfig
from mlx_backends.core import SamplingParams
from mlx_backends.engine.mock import MockEngine
from mlx_backends.llama_index import MLXLLM

REPLY = "It holds a copper engine."
HISTORY = [ChatMessage(content="What is there?")]
EVERY_OPTION = {
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


async def test_every_option_of_the_constructor_or_a_call_reaches_the_engine(engine):
    assert EVERY_OPTION.keys() == SamplingParams.__dataclass_fields__.keys() & MLXLLM.model_fields
    expected = SamplingParams.from_options(**EVERY_OPTION)
    called, constructed = MLXLLM(engine=engine), MLXLLM(engine=engine, **EVERY_OPTION)
    for llm, options in ((called, EVERY_OPTION), (constructed, {})):
        llm.chat(HISTORY, **options)
        llm.complete("Hi", **options)
        list(llm.stream_chat(HISTORY, **options))
        await llm.achat(HISTORY, **options)
        await llm.acomplete("Hi", **options)
    assert [call.sampling_params for call in engine.calls] == [expected] * 10


def test_options_of_a_call_win_over_those_of_the_constructor(engine):
    llm = MLXLLM(engine=engine, temperature=0.5, max_tokens=2, seed=3)
    assert llm.chat(HISTORY, temperature=0.9).message.content == "It holds "
    assert llm.chat(HISTORY, max_tokens=None).message.content == REPLY
    assert engine.calls[0].sampling_params == SamplingParams(temperature=0.9, max_tokens=2, seed=3)
    assert engine.calls[1].sampling_params == SamplingParams(temperature=0.5, seed=3)


@pytest.mark.parametrize(
    "options",
    [{"temprature": 0.5}, {"temperature": -1}, {"top_logprobs": 101}, {"device": "tpu"}],
)
def test_bad_option_of_the_constructor_is_an_error(options):
    with pytest.raises(ValidationError, match=next(iter(options))):
        MLXLLM(**options)


def test_engine_and_model_together_are_an_error(engine):
    with pytest.raises(ValidationError, match="leave out engine"):
        MLXLLM(engine=engine, model="other")


def test_constructor_loads_nothing_and_takes_no_time():
    options = {"model": "does/not-exist", "temperature": 0.5, "stop": ["\n"]}
    MLXLLM(**options)
    started = time.perf_counter()
    for _ in range(100):
        MLXLLM(**options)
    assert (time.perf_counter() - started) / 100 < 0.001


def test_options_name_the_shared_engine(monkeypatch, tmp_path):
    engines = {}

    def get_engine(config: EngineConfig) -> MockEngine:
        return engines.setdefault(config, MockEngine([str(len(engines))]))

    monkeypatch.setattr(registry, "get_engine", get_engine)
    llm = MLXLLM(model=tmp_path, revision="v1", device="cpu", dtype="float32", max_model_len=64)
    assert llm.complete("Hi").text == "0"
    assert llm.complete("Hi", model="other").text == "1"
    assert llm.complete("Hi").text == "0"
    assert list(engines) == [
        EngineConfig(
            model=str(tmp_path), revision="v1", device="cpu", dtype="float32", max_model_len=64
        ),
        EngineConfig(model="other", device="cpu", dtype="float32", max_model_len=64),
    ]


def test_model_can_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("MLX_BACKENDS_MODEL", "from/environment")
    assert MLXLLM().model == "from/environment"
    assert MLXLLM(model="given").model == "given"


def test_template_options_reach_the_template(engine, monkeypatch):
    seen = []
    encode_chat = engine.tokenizer.encode_chat

    def spy(messages, *, tools=None, **options):
        seen.append(options)
        return encode_chat(messages, **options)

    monkeypatch.setattr(engine.tokenizer, "encode_chat", spy)
    llm = MLXLLM(engine=engine, template_options={"enable_thinking": True, "style": "a"})
    llm.chat(HISTORY)
    llm.complete("Hi", template_options={"enable_thinking": False})
    assert seen == [
        {"enable_thinking": True, "style": "a"},
        {"enable_thinking": False, "style": "a"},
    ]
    assert llm.template_options == {"enable_thinking": True, "style": "a"}


def test_metadata_describes_the_model(engine):
    metadata = MLXLLM(engine=engine).metadata
    assert metadata.context_window == 100_000
    assert metadata.num_output == DEFAULT_NUM_OUTPUTS
    assert metadata.is_chat_model
    assert metadata.is_function_calling_model
    assert metadata.model_name == "mock"
    assert MLXLLM(engine=engine, max_tokens=17).metadata.num_output == 17


def test_dictionary_makes_the_same_model_again(engine):
    llm = MLXLLM(
        model="some/model", temperature=0.5, stop=["\n"], template_options={"enable_thinking": True}
    )
    data = llm.to_dict()
    assert data["class_name"] == "MLXLLM"
    for again in (
        MLXLLM.from_dict(data),
        MLXLLM.from_json(llm.to_json()),
        pickle.loads(pickle.dumps(llm)),
    ):
        assert again.to_dict() == data
    own = MLXLLM(engine=engine, temperature=0.5)
    assert "engine" not in own.to_dict()
    assert MLXLLM.from_dict(own.to_dict(), engine=engine).complete("Hi").text == REPLY


def test_path_of_a_model_is_kept_as_text(tmp_path: Path):
    assert MLXLLM(model=tmp_path).to_dict()["model"] == str(tmp_path)


def test_json_schema_lists_the_options():
    properties = MLXLLM.model_json_schema()["properties"]
    assert {"model", "temperature", "template_options"} <= properties.keys()
    assert "engine" not in properties


def test_kv_bits_reach_the_engine():
    assert MLXLLM(model="a", kv_bits=4)._engine_config().cache.kv_bits == 4
    assert MLXLLM(model="a", kv_bits=4).to_payload()["kv_bits"] == 4
    with pytest.raises(ValueError, match="kv_bits must be 8, 4 or None"):
        MLXLLM(model="a", kv_bits=2)
